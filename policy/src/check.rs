//! The check of all catalogues of a deployment as one: what they declare must make sense together.
//!
//! In: the files. Out: the policy, compiled, as far as it goes; everything that is wrong is in the report, and nothing is
//! served where the report is not empty.

mod enrichment;
mod event_rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::audit::DELIVERIES;
use schemas::avro::MaskKey;
use schemas::budget::{Budget, Rate, Scope};
use schemas::id::EventType;
use schemas::lane::Lane;
use schemas::limits;
use schemas::time::Timestamp;

use enrichment::References;
use event_rules::EventRules;

use crate::channel_rule::{ChannelPolicy, ChannelRule};
use crate::declaration::{Declaration, DeclaredChannel, DeclaredReference, DeclaredRequires, DeclaredType, start_of};
use crate::event_rule::{LaneRule, TypePolicy};
use crate::example::Example;
use crate::files::{CATALOGUE_FILE, Folder, GENERATOR_FILE, MAP_FILE};
use crate::generator::{Generator, Made};
use crate::grants::History;
use crate::map::EventMap;
use crate::payload_schema::PayloadSchema;
use crate::report::{Located, Report};
use crate::telling::{self, Matter, Tellings};
use crate::view::{LabelSet, label_sets};

/// Pseudonyms are made with it where no deployment's key is at hand: in examples and explanations.
const NO_KEY: &[u8] = b"tidegate: the key of examples";

/// A producer's repeat is recognised for so long at the most: a router that takes a partition over reads back as far.
const DEDUPE_WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * MINUTE_SECONDS);
const MINUTE_SECONDS: u64 = 60;

/// The key of examples.
pub(crate) fn no_key() -> MaskKey {
    MaskKey::new(NO_KEY)
}

/// Everything that was declared, compiled.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) folders: BTreeMap<String, Folder>,
    pub(crate) channels: BTreeMap<String, ChannelPolicy>,
    pub(crate) references: References,
    pub(crate) types: BTreeMap<EventType, TypePolicy>,
    pub(crate) roles: BTreeMap<String, LabelSet>,
    pub(crate) examples: Vec<Example>,
    pub(crate) generators: Vec<Generator>,
}

/// Checks and compiles.
pub(crate) fn compile(folders: Vec<Folder>, report: &mut Report) -> Compiled {
    let declared: Vec<(Folder, Declaration)> = folders.into_iter().map(|folder| declare(folder, report)).collect();
    let mut compiled = Compiled::default();
    for (_, declaration) in &declared {
        for (role, labels) in &declaration.roles {
            let held = compiled.roles.entry(role.value.clone()).or_default();
            held.extend(labels.iter().map(|label| label.value.clone()));
        }
        for channel in &declaration.channels {
            let policy = channel_policy(channel, report);
            if compiled.channels.insert(channel.kind.value.clone(), policy).is_some() {
                report.add(&channel.kind.place, format!("the kind {} is declared twice", channel.kind.value));
            }
        }
    }
    let mut generators = Vec::new();
    for (folder, _) in &declared {
        let text = folder.text(GENERATOR_FILE);
        generators.extend(text.and_then(|text| Generator::read(&folder.file(GENERATOR_FILE), text, report)));
    }
    for (folder, declaration) in &declared {
        for reference in &declaration.references {
            compiled.add_reference(folder, reference, report);
        }
    }
    let mut records = BTreeMap::new();
    for (folder, declaration) in &declared {
        for event_type in &declaration.types {
            compiled.add_type(folder, event_type, &mut records, report);
        }
    }
    let declarations: Vec<&Declaration> = declared.iter().map(|(_, declaration)| declaration).collect();
    compiled.check_labels(&declarations, report);
    compiled.add_tellings(&declarations, report);
    compiled.add_generators(generators, report);
    for (folder, declaration) in declared {
        compiled.add_examples(declaration.examples, report);
        compiled.add_folder(folder, declaration.name, report);
    }
    compiled
}

fn declare(folder: Folder, report: &mut Report) -> (Folder, Declaration) {
    let file = folder.file(CATALOGUE_FILE);
    let declaration = match folder.text(CATALOGUE_FILE) {
        Some(text) => Declaration::read(&file, text, report),
        None => {
            report.add(&start_of(&file), "there is no such file");
            Declaration::default()
        }
    };
    if let Some(text) = folder.text(MAP_FILE) {
        EventMap::read(&folder.file(MAP_FILE), text, report);
    }
    (folder, declaration)
}

impl Compiled {
    fn add_folder(&mut self, folder: Folder, name: Option<Located<String>>, report: &mut Report) {
        let Some(Located { value: name, place }) = name else { return };
        if self.folders.insert(name.clone(), folder).is_some() {
            report.add(&place, format!("the catalogue {name} is loaded twice"));
        }
    }

    fn add_examples(&mut self, examples: Vec<Example>, report: &mut Report) {
        for example in examples {
            let event_type = &example.event.event_type;
            if !self.types.contains_key(&event_type.value) {
                report.add(&event_type.place, format!("no catalogue declares the type {}", event_type.value));
            }
            self.examples.push(example);
        }
    }

    /// Each event is made once, so that what would not fit its type is found here and not at run time.
    fn add_generators(&mut self, generators: Vec<Generator>, report: &mut Report) {
        for generator in generators {
            for made in generator.events() {
                if let Err(problem) = self.try_out(&generator, made) {
                    report.add(made.place(), problem);
                }
            }
            self.generators.push(generator);
        }
    }

    fn try_out(&self, generator: &Generator, made: &Made) -> Result<(), String> {
        let name = &made.event_type;
        let policy = self.types.get(name).ok_or_else(|| format!("no catalogue declares the type {name}"))?;
        let event = generator.make(made, 0, Timestamp::default())?;
        if event.channel.kind() != policy.channel_kind() {
            return Err(format!("{name} is for channels {}:…, not {}", policy.channel_kind(), event.channel));
        }
        let fits = policy.schema().from_json(&event.data).map(drop);
        fits.map_err(|wrong| {
            let words = wrong.iter().map(ToString::to_string);
            format!("the data does not fit the schema: {}", words.collect::<Vec<_>>().join("; "))
        })
    }

    fn add_reference(&mut self, folder: &Folder, declared: &DeclaredReference, report: &mut Report) {
        let Some(reference) = enrichment::reference(folder, declared, report) else { return };
        if self.references.insert(reference.name.clone(), Arc::new(reference)).is_some() {
            report.add(&declared.name.place, format!("the reference {} is declared twice", declared.name.value));
        }
    }

    fn add_type(
        &mut self,
        folder: &Folder,
        declared: &DeclaredType,
        records: &mut BTreeMap<String, String>,
        report: &mut Report,
    ) {
        let name = &declared.event_type;
        if let Some(kind) = declared.channel.as_ref().filter(|kind| !self.channels.contains_key(&kind.value)) {
            report.add(&kind.place, format!("no catalogue declares the channel kind {:?}", kind.value));
        }
        let schema = declared.schema.as_ref().and_then(|file| read_schema(folder, file, records, report));
        let rules = event_rules::compile(declared, schema.as_ref(), report);
        let (Some(schema), Some(kind)) = (schema, &declared.channel) else { return };
        let sets = label_sets(&schema.schema.labels(), self.roles.values());
        let views = report.check(&name.place, sets).unwrap_or_default();
        let joins = enrichment::compile(&declared.enrich, &schema, &self.references, &rules, report);
        let reads = rules.reads();
        let EventRules { lane, wishes, audience, expires, conflate } = rules;
        let budgets = self.budgets(declared, &kind.value, &lane, report);
        let dedupe = declared.dedupe.as_ref().and_then(|text| report.check(&text.place, dedupe_window(&text.value)));
        let policy = TypePolicy {
            event_type: name.value.clone(),
            schema: schema.schema,
            channel_kind: kind.value.clone(),
            reads,
            lane,
            wishes,
            audience,
            expires,
            conflate,
            budgets,
            audits_deliveries: audits_deliveries(declared.audit.as_ref(), report),
            takes_receipts: false,
            joins,
            dedupe,
            views,
            event_bytes_max: limits::EVENT_BYTES_DEFAULT,
            mask_key: no_key(),
        };
        if self.types.insert(name.value.clone(), policy).is_some() {
            report.add(&name.place, format!("the type {} is declared twice", name.value));
        }
    }

    /// What kinds tell, once all types are there. What tells of people takes no receipts itself: they would be told of for ever.
    fn add_tellings(&mut self, declarations: &[&Declaration], report: &mut Report) {
        for declared in declarations.iter().flat_map(|declaration| &declaration.channels) {
            let kind = &declared.kind.value;
            let tells = telling::compile(kind, &declared.tells, &self.types, report);
            if tells.contains_key(&Matter::Receipts) {
                let told =
                    |policy: &&mut TypePolicy| tells.values().any(|telling| telling.event_type() == &policy.event_type);
                let of_kind = self.types.values_mut().filter(|policy| policy.channel_kind == *kind);
                of_kind.filter(|policy| !told(policy)).for_each(|policy| policy.takes_receipts = true);
            }
            if let Some(policy) = self.channels.get_mut(kind) {
                policy.tells = tells;
            }
        }
    }

    /// The type's own budget, and that of each channel of its kind.
    fn budgets(&self, declared: &DeclaredType, kind: &str, lane: &LaneRule, report: &mut Report) -> Vec<Budget> {
        if let (Some(budget), LaneRule::Fixed(lane @ (Lane::High | Lane::Medium))) = (&declared.budget, lane) {
            report.add(&budget.place, format!("a budget counts in the low lane, and all its events are {lane}"));
        }
        let of_type = rate(declared.budget.as_ref(), report).map(|rate| Budget { scope: Scope::Type, rate });
        let of_channel = self.channels.get(kind).and_then(|policy| policy.budget);
        of_type.into_iter().chain(of_channel.map(|rate| Budget { scope: Scope::Channel, rate })).collect()
    }

    /// A label that a role holds must open something, and one that an event requires must be somebody's.
    fn check_labels(&self, declarations: &[&Declaration], report: &mut Report) {
        let held: LabelSet = self.roles.values().flatten().cloned().collect();
        let mut opening: LabelSet = self.types.values().flat_map(|policy| policy.schema.labels()).collect();
        opening.extend(self.types.values().flat_map(TypePolicy::labels_of_rules));
        let types = declarations.iter().flat_map(|declaration| &declaration.types);
        let required = types.filter_map(|declared| match &declared.requires {
            DeclaredRequires::Labels(labels) => Some(labels),
            DeclaredRequires::Rule(_) => None,
        });
        for label in required.flatten() {
            opening.insert(label.value.clone());
            if !held.contains(&label.value) {
                report.add(&label.place, format!("no role holds the label {}", label.value));
            }
        }
        for label in declarations.iter().flat_map(|declaration| &declaration.roles).flat_map(|(_, labels)| labels) {
            if !opening.contains(&label.value) {
                report
                    .add(&label.place, format!("no schema carries the label {}, and no type requires it", label.value));
            }
        }
    }
}

/// How far back a grant shows: to its own moment, or `all`.
fn history(declared: &DeclaredChannel, report: &mut Report) -> History {
    match declared.history.as_ref().map(|word| (word, word.value.as_str())) {
        None | Some((_, "granted")) => History::SinceGranted,
        Some((_, "all")) => History::All,
        Some((word, other)) => {
            report.add(&word.place, format!("history is granted or all, not {other:?}"));
            History::default()
        }
    }
}

/// Whole minutes, so that nobody takes it for something exact.
fn dedupe_window(text: &str) -> Result<Duration, String> {
    let most = DEDUPE_WINDOW_MAX.as_secs() / MINUTE_SECONDS;
    let window = humantime::parse_duration(text).ok().filter(|window| {
        window.subsec_nanos() == 0
            && window.as_secs().is_multiple_of(MINUTE_SECONDS)
            && !window.is_zero()
            && *window <= DEDUPE_WINDOW_MAX
    });
    window.ok_or_else(|| format!("{text:?} is not 1 to {most} whole minutes, such as 30m or 6h"))
}

fn channel_policy(declared: &DeclaredChannel, report: &mut Report) -> ChannelPolicy {
    let mut rule = |text: &Option<Located<String>>| {
        let compiled = ChannelRule::compile(text.as_ref().map(|text| text.value.as_str()));
        let place = text.as_ref().map_or(&declared.kind.place, |text| &text.place);
        compiled.unwrap_or_else(|problems| {
            problems.iter().for_each(|problem| report.add(place, problem));
            ChannelRule::Never
        })
    };
    let (subscribe, publish) = (rule(&declared.subscribe), rule(&declared.publish));
    ChannelPolicy {
        subscribe,
        publish,
        history: history(declared, report),
        tells: Tellings::new(),
        budget: rate(declared.budget.as_ref(), report),
    }
}

/// Only deliveries can be asked for: whatever else is recorded is so for every type.
fn audits_deliveries(word: Option<&Located<String>>, report: &mut Report) -> bool {
    let Some(word) = word else { return false };
    if word.value != DELIVERIES {
        report.add(&word.place, format!("audit is {DELIVERIES}, or absent"));
    }
    true
}

fn rate(text: Option<&Located<String>>, report: &mut Report) -> Option<Rate> {
    let text = text?;
    report.check(&text.place, text.value.trim().parse())
}

/// One record's name is one subject in the registry, so all that say it must mean the same.
fn read_schema(
    folder: &Folder,
    file: &Located<String>,
    records: &mut BTreeMap<String, String>,
    report: &mut Report,
) -> Option<PayloadSchema> {
    let Some(text) = folder.text(&file.value) else {
        report.add(&file.place, format!("there is no file {} beside the catalogue", file.value));
        return None;
    };
    match PayloadSchema::parse(text) {
        Ok(schema) => {
            let first = records.entry(schema.full_name.clone()).or_insert_with(|| text.to_owned());
            if first != text {
                report.add(&file.place, format!("the record {} is declared twice, differently", schema.full_name));
            }
            Some(schema)
        }
        Err(problems) => {
            problems.iter().for_each(|(line, problem)| report.add(&folder.place(&file.value, *line), problem));
            None
        }
    }
}
