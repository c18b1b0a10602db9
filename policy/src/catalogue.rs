//! Catalogues: loaded, checked as a whole, and asked.
//!
//! In: sources, claims, channels, types. Out: decisions. What passed the check never changes; nothing here does I/O after
//! [`Catalogues::load`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::avro::MaskKey;
use schemas::channel::{Channel, ChannelPattern};
use schemas::event::Attributes;
use schemas::id::{EventType, Label, Tenant};
use schemas::lane::Lane;
use schemas::limits;

use crate::channel_rule::{Asked, ChannelPolicy, ChannelRule, Refusal};
use crate::check::{self, Compiled};
use crate::claims::Claims;
use crate::enrichment::Reference;
use crate::event_rule::{TypePolicy, Wishes};
use crate::files::{self, BUNDLE_BYTES, CatalogueFiles, CatalogueSource, CatalogueVersion, Folder};
use crate::generator::Generator;
use crate::grants::History;
use crate::reader::Reader;
use crate::report::{CatalogueErrors, Place, Report};
use crate::telling::{Matter, Telling};

/// The name that problems of a bundle as a whole stand under.
const BUNDLE: &str = "bundle";

/// All catalogues of a deployment, as one policy.
///
/// Roles of one name in several catalogues are one role that holds the labels of all. Kinds, types and names are unique.
#[derive(Debug)]
pub struct Catalogues {
    compiled: Compiled,
    version: CatalogueVersion,
    mask_key: MaskKey,
}

/// Why an event is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitRefusal {
    /// It says another tenant than its publisher's.
    #[error("other_tenant")]
    OtherTenant,
    /// Its publisher may not publish to the channel.
    #[error(transparent)]
    Channel(#[from] Refusal),
}

/// Why no policy is found for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// Nobody declares its type.
    #[error("no catalogue declares the event's type")]
    Type,
    /// Nobody declares its channel's kind.
    #[error("no catalogue declares the channel's kind")]
    Kind,
    /// Its type is for channels of another kind.
    #[error("the type is not for channels of this kind")]
    OtherKind,
}

impl Catalogues {
    /// Loads and checks.
    ///
    /// # Errors
    /// Everything that is wrong, in all files.
    pub fn load(sources: &[CatalogueSource]) -> Result<Self, CatalogueErrors> {
        Self::of(CatalogueFiles::read(sources))
    }

    /// Checks files that were read.
    ///
    /// # Errors
    /// Everything that is wrong, in all files.
    pub fn of(files: CatalogueFiles) -> Result<Self, CatalogueErrors> {
        Self::check(files.folders, files.report)
    }

    fn check(folders: Vec<Folder>, mut report: Report) -> Result<Self, CatalogueErrors> {
        let compiled = check::compile(folders, &mut report);
        let catalogues = Self { version: files::version_of(&compiled.folders), compiled, mask_key: check::no_key() };
        let size = catalogues.bundle().len();
        if size > BUNDLE_BYTES {
            let place = Place { file: BUNDLE.into(), line: 1 };
            report.add(&place, format!("all catalogues together have {size} bytes, more than {BUNDLE_BYTES}"));
        }
        report.finish()?;
        Ok(catalogues)
    }

    /// The same, with another limit for an event as rendered, at most [`limits::EVENT_BYTES_HARD`]. The limit is the deployment's,
    /// not the catalogue's, so it changes no version; without this call it is [`limits::EVENT_BYTES_DEFAULT`].
    #[must_use]
    pub fn with_event_bytes_max(mut self, bytes: usize) -> Self {
        for policy in self.compiled.types.values_mut() {
            policy.event_bytes_max = bytes.min(limits::EVENT_BYTES_HARD);
        }
        self
    }

    /// The same, with the deployment's secret for fields that are masked by `hash`. All routers of a deployment need the same one.
    #[must_use]
    pub fn with_mask_key(mut self, key: &MaskKey) -> Self {
        for policy in self.compiled.types.values_mut() {
            policy.mask_key = key.clone();
        }
        self.mask_key = key.clone();
        self
    }

    /// The secret of these catalogues: another version of them needs the same.
    #[must_use]
    pub fn mask_key(&self) -> &MaskKey {
        &self.mask_key
    }

    /// The types with a field that is masked by `hash`, so that [`Catalogues::with_mask_key`] is needed before an event is routed; sorted.
    pub fn hashed_types(&self) -> impl Iterator<Item = &EventType> {
        self.compiled.types.values().filter(|policy| policy.schema.hashes()).map(TypePolicy::event_type)
    }

    /// The names of the catalogues that ship, sorted.
    #[must_use]
    pub fn shipped() -> Vec<String> {
        files::shipped_names()
    }

    /// The names of these catalogues, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.compiled.folders.keys().map(String::as_str)
    }

    /// All files of these catalogues in one text, at most [`BUNDLE_BYTES`], from which [`Catalogues::from_bundle`] makes the same
    /// again: JSON, texts by file by catalogue.
    #[must_use]
    pub fn bundle(&self) -> Vec<u8> {
        let folders = self.compiled.folders.iter();
        let texts: serde_json::Map<_, _> =
            folders.map(|(name, folder)| (name.clone(), serde_json::json!(folder.texts()))).collect();
        serde_json::Value::Object(texts).to_string().into_bytes()
    }

    /// Loads a bundle. A new build may refuse what an older one took.
    ///
    /// # Errors
    /// It is none, or does not pass the checks.
    pub fn from_bundle(bundle: &[u8]) -> Result<Self, CatalogueErrors> {
        let mut report = Report::default();
        let place = Place { file: BUNDLE.into(), line: 1 };
        let texts: Result<BTreeMap<String, BTreeMap<String, String>>, _> = serde_json::from_slice(bundle);
        let texts = report.check(&place, texts.map_err(|error| format!("not a bundle: {error}"))).unwrap_or_default();
        Self::check(texts.into_iter().map(|(name, texts)| Folder::bundled(&name, texts)).collect(), report)
    }

    /// What identifies the policy: the same files, the same version, whatever the directory or the order of the sources.
    #[must_use]
    pub fn version(&self) -> CatalogueVersion {
        self.version
    }

    /// The domains of all types, sorted: one topic `events.<domain>` each.
    #[must_use]
    pub fn domains(&self) -> Vec<String> {
        let domains: BTreeSet<&str> = self.compiled.types.keys().map(EventType::domain).collect();
        domains.into_iter().map(str::to_owned).collect()
    }

    /// The tables that types are enriched from, sorted: one topic `reference.<name>` each.
    pub fn references(&self) -> impl Iterator<Item = &Arc<Reference>> {
        self.compiled.references.values()
    }

    /// All types, sorted.
    pub fn types(&self) -> impl Iterator<Item = &TypePolicy> {
        self.compiled.types.values()
    }

    /// The policy of a type.
    #[must_use]
    pub fn event_type(&self, event_type: &EventType) -> Option<&TypePolicy> {
        self.compiled.types.get(event_type)
    }

    /// Whether a kind is declared.
    #[must_use]
    pub fn declares_kind(&self, kind: &str) -> bool {
        self.compiled.channels.contains_key(kind)
    }

    /// Whether the bearer may subscribe: the token must leave room for it, and the catalogue's rule must say yes.
    ///
    /// # Errors
    /// Why not.
    pub fn may_subscribe(&self, claims: &Claims, pattern: &ChannelPattern) -> Result<(), Refusal> {
        let policy = self.kind(pattern.kind())?;
        let room = claims.channels.leaves_subscribe(pattern);
        self.ask(room, &policy.subscribe, claims, pattern.kind(), pattern.id())
    }

    /// Whether the bearer may publish: the token must leave room for it, and the catalogue's rule must say yes.
    ///
    /// # Errors
    /// Why not.
    pub fn may_publish(&self, claims: &Claims, channel: &Channel) -> Result<(), Refusal> {
        let policy = self.kind(channel.kind())?;
        let room = claims.channels.leaves_publish(channel);
        self.ask(room, &policy.publish, claims, channel.kind(), channel.id())
    }

    /// Lets an event in under these claims: it gets their tenant and their principal, whatever it said itself, and loses a wish that does
    /// not count.
    ///
    /// # Errors
    /// Why not; the event is as it was.
    pub fn admit(&self, claims: &Claims, event: &mut Attributes) -> Result<(), AdmitRefusal> {
        if event.tenant != claims.tenant && event.tenant != Tenant::default_tenant() {
            return Err(AdmitRefusal::OtherTenant);
        }
        self.may_publish(claims, &event.channel)?;
        event.tenant = claims.tenant.clone();
        event.principal.clone_from(&claims.sub);
        let counts = |lane: &Lane| self.may_wish(claims, &event.event_type, &event.channel, *lane);
        event.priority = event.priority.filter(counts);
        Ok(())
    }

    /// The policy of an event: its type's, which must be for channels of its kind.
    ///
    /// # Errors
    /// There is none.
    pub fn place(&self, event: &Attributes) -> Result<&TypePolicy, Unplaced> {
        let policy = self.event_type(&event.event_type).ok_or(Unplaced::Type)?;
        let kind = event.channel.kind();
        if !self.declares_kind(kind) {
            return Err(Unplaced::Kind);
        }
        if policy.channel_kind() == kind { Ok(policy) } else { Err(Unplaced::OtherKind) }
    }

    /// Whether the bearer's wish for a lane counts. One that does not is as if it had not been said: the event is published all the same.
    #[must_use]
    pub fn may_wish(&self, claims: &Claims, event_type: &EventType, channel: &Channel, lane: Lane) -> bool {
        match self.event_type(event_type).map(|policy| &policy.wishes) {
            None => false,
            Some(Wishes::Anyone) => true,
            Some(Wishes::By(rules)) => {
                rules.get(&lane).is_some_and(|rule| self.ask(true, rule, claims, channel.kind(), channel.id()).is_ok())
            }
        }
    }

    /// How a matter is told in the channels of a kind; none where the kind is unknown or says nothing of it.
    #[must_use]
    pub fn telling(&self, kind: &str, matter: Matter) -> Option<&Telling> {
        self.compiled.channels.get(kind)?.tells.get(&matter)
    }

    /// What is told, as the bearer may see it by the labels that they hold: what a label or a mask withholds is not in it. None where it does not
    /// fit the type, or the type requires labels that they do not hold.
    #[must_use]
    pub fn shown(&self, telling: &Telling, said: serde_json::Value, claims: &Claims) -> Option<serde_json::Value> {
        let (policy, held) = (self.event_type(telling.event_type())?, self.labels_of(claims));
        let known = policy.audience.requires_of_all().is_none_or(|required| required.is_subset(&held));
        if known { policy.shown(&telling.data(said), &held, &claims.tenant) } else { None }
    }

    /// Who reads with these claims.
    #[must_use]
    pub fn reader(&self, claims: &Claims) -> Reader {
        Reader::new(claims, self.labels_of(claims))
    }

    /// How far back someone sees who was granted a channel of this kind.
    pub(crate) fn history(&self, kind: &str) -> History {
        self.kind(kind).map_or(History::default(), |policy| policy.history)
    }

    fn kind(&self, kind: &str) -> Result<&ChannelPolicy, Refusal> {
        self.compiled.channels.get(kind).ok_or(Refusal::UnknownKind)
    }

    fn ask(&self, room: bool, rule: &ChannelRule, claims: &Claims, kind: &str, id: &str) -> Result<(), Refusal> {
        let allowed = room
            && match rule {
                ChannelRule::Always => true,
                ChannelRule::Never => false,
                ChannelRule::Rule(_) => rule.allows(&Asked { claims, labels: &self.labels_of(claims), kind, id }),
            };
        if allowed { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// The labels that the bearer holds: the token's own and those of their roles.
    #[must_use]
    pub fn labels_of(&self, claims: &Claims) -> BTreeSet<Label> {
        let roles = claims.roles.iter().filter_map(|role| self.compiled.roles.get(role));
        roles.flatten().chain(&claims.labels).cloned().collect()
    }

    /// The events that these catalogues make up.
    #[must_use]
    pub fn generators(&self) -> &[Generator] {
        &self.compiled.generators
    }

    /// Runs the examples: how many there are, and what differs, `file:line: …` each. None means that all hold.
    #[must_use]
    pub fn run_examples(&self) -> (usize, Vec<String>) {
        let examples = &self.compiled.examples;
        let failures = examples.iter().flat_map(|example| {
            example.run(self).into_iter().map(|difference| format!("{}: {difference}", example.place))
        });
        (examples.len(), failures.collect())
    }
}
