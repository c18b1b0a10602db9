//! The check of all catalogues of a deployment as one: what they declare must make sense together.
//!
//! In: the files. Out: the policy, compiled, as far as it goes; everything that is wrong is in the report, and nothing is
//! served where the report is not empty.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::LiteralValue;
use schemas::id::EventType;
use schemas::lane::Lane;
use schemas::limits;

use crate::channel_rule::{ChannelPolicy, ChannelRule, channel_holds};
use crate::declaration::{Declaration, DeclaredChannel, DeclaredType, start_of};
use crate::event_rule::{EVENT_FIELDS, LaneRule, TypePolicy};
use crate::example::Example;
use crate::files::{CATALOGUE_FILE, Folder, MAP_FILE};
use crate::map::EventMap;
use crate::payload_schema::PayloadSchema;
use crate::reads::{Holds, Reads, Variables};
use crate::report::{Located, Report};
use crate::rule::Rule;
use crate::view::{LabelSet, label_sets};

/// Everything that was declared, compiled.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) folders: BTreeMap<String, Folder>,
    pub(crate) channels: BTreeMap<String, ChannelPolicy>,
    pub(crate) types: BTreeMap<EventType, TypePolicy>,
    pub(crate) roles: BTreeMap<String, LabelSet>,
    pub(crate) examples: Vec<Example>,
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
    let mut records = BTreeMap::new();
    for (folder, declaration) in &declared {
        for event_type in &declaration.types {
            compiled.add_type(folder, event_type, &mut records, report);
        }
    }
    let declarations: Vec<&Declaration> = declared.iter().map(|(_, declaration)| declaration).collect();
    compiled.check_labels(&declarations, report);
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
        let fields = schema.as_ref().map_or(Holds::Anything, |schema| Holds::Fields(schema.fields.clone()));
        let variables = variables(fields);
        let lane = declared.lane.as_ref().and_then(|lane| lane_rule(lane, &variables, report));
        let conflate =
            declared.conflate.as_ref().and_then(|rule| conflate_rule(rule, &variables, schema.as_ref(), report));
        let (Some(schema), Some(kind)) = (schema, &declared.channel) else { return };
        let sets = label_sets(&schema.schema.labels(), self.roles.values());
        let views = report.check(&name.place, sets).unwrap_or_default();
        let lane = lane.unwrap_or(LaneRule::Producer);
        let policy = TypePolicy {
            event_type: name.value.clone(),
            schema: schema.schema,
            channel_kind: kind.value.clone(),
            reads: reads(&lane, conflate.as_ref()),
            lane,
            requires: declared.requires.iter().map(|label| label.value.clone()).collect(),
            expires: declared.expires,
            conflate,
            views,
            event_bytes_max: limits::EVENT_BYTES_DEFAULT,
        };
        if self.types.insert(name.value.clone(), policy).is_some() {
            report.add(&name.place, format!("the type {} is declared twice", name.value));
        }
    }

    /// A label that a role holds must open something, and one that an event requires must be somebody's.
    fn check_labels(&self, declarations: &[&Declaration], report: &mut Report) {
        let held: LabelSet = self.roles.values().flatten().cloned().collect();
        let mut opening: LabelSet = self.types.values().flat_map(|policy| policy.schema.labels()).collect();
        let required =
            declarations.iter().flat_map(|declaration| &declaration.types).flat_map(|declared| &declared.requires);
        for label in required {
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

fn channel_policy(declared: &DeclaredChannel, report: &mut Report) -> ChannelPolicy {
    let mut rule = |text: &Option<Located<String>>| {
        let compiled = ChannelRule::compile(text.as_ref().map(|text| text.value.as_str()));
        let place = text.as_ref().map_or(&declared.kind.place, |text| &text.place);
        compiled.unwrap_or_else(|problems| {
            problems.iter().for_each(|problem| report.add(place, problem));
            ChannelRule::Never
        })
    };
    ChannelPolicy { subscribe: rule(&declared.subscribe), publish: rule(&declared.publish) }
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

/// What an event's rule reads.
fn variables(payload: Holds) -> Variables {
    Variables::from([("payload", payload), ("event", Holds::fields(&EVENT_FIELDS)), ("channel", channel_holds())])
}

fn compile_rule(text: &Located<String>, variables: &Variables, report: &mut Report) -> Option<Rule> {
    let compiled = Rule::compile(&text.value, variables);
    compiled.map_err(|problems| problems.iter().for_each(|problem| report.add(&text.place, problem))).ok()
}

/// A lane's word, or a rule whose literal results are lanes' words.
fn lane_rule(text: &Located<String>, variables: &Variables, report: &mut Report) -> Option<LaneRule> {
    match Lane::parse(&text.value) {
        Ok(lane) => return Some(LaneRule::Fixed(lane)),
        Err(error) if text.value.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            report.add(&text.place, error);
            return None;
        }
        Err(_) => {}
    }
    let rule = compile_rule(text, variables, report)?;
    for literal in rule.literal_results() {
        match literal {
            LiteralValue::String(word) => drop(report.check(&text.place, Lane::parse(word.inner()))),
            LiteralValue::Boolean(_)
            | LiteralValue::Bytes(_)
            | LiteralValue::Double(_)
            | LiteralValue::Int(_)
            | LiteralValue::Null
            | LiteralValue::UInt(_) => report.add(&text.place, "a lane is high, medium or low"),
        }
    }
    Some(LaneRule::Rule(rule))
}

/// The key goes to every reader, so nothing of a labelled field may be in it.
fn conflate_rule(
    text: &Located<String>,
    variables: &Variables,
    schema: Option<&PayloadSchema>,
    report: &mut Report,
) -> Option<Rule> {
    let rule = compile_rule(text, variables, report)?;
    let none = BTreeSet::new();
    let labelled = schema.map_or(&none, |schema| &schema.labelled);
    if let Some(read) = rule.reads().of("payload") {
        for field in labelled.iter().filter(|field| read.reads(field)) {
            report.add(&text.place, format!("a conflation key is shown to every reader, and {field} carries labels"));
        }
    }
    Some(rule)
}

fn reads(lane: &LaneRule, conflate: Option<&Rule>) -> Reads {
    let mut reads = conflate.map(|rule| rule.reads().clone()).unwrap_or_default();
    match lane {
        LaneRule::Rule(rule) => reads.join(rule.reads()),
        LaneRule::Producer | LaneRule::Fixed(_) => {}
    }
    reads
}
