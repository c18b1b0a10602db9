//! Catalogues: loaded, checked as a whole, and asked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemas::avro::AvroSchema;
use schemas::channel::{Channel, ChannelPattern};
use schemas::id::{EventType, Label};

use crate::channel_rule::Refusal;
use crate::claims::Claims;

/// Where a catalogue comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueSource {
    /// One that ships in the binary.
    Shipped(String),
    /// A directory with `catalogue.yaml` and its schemas.
    Directory(PathBuf),
}

/// 64 bits over everything in the catalogues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CatalogueVersion(pub u64);

/// Everything that is wrong, each with file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines.join("\n"))]
pub struct CatalogueErrors {
    /// `file:line: what is wrong`.
    pub lines: Vec<String>,
}

/// All catalogues of a deployment, as one policy.
#[derive(Debug)]
pub struct Catalogues {
    _private: (),
}

/// The policy of one event type.
#[derive(Debug)]
pub struct TypePolicy {
    _private: (),
}

impl Catalogues {
    /// Loads and checks.
    ///
    /// # Errors
    /// Everything that is wrong, in all files.
    pub fn load(sources: &[CatalogueSource]) -> Result<Self, CatalogueErrors> {
        let _ = sources;
        todo!()
    }

    /// The names of the catalogues that ship.
    #[must_use]
    pub fn shipped() -> Vec<String> {
        todo!()
    }

    /// All files of these catalogues in one text, from which [`Catalogues::from_bundle`] makes the same again.
    #[must_use]
    pub fn bundle(&self) -> Vec<u8> {
        todo!()
    }

    /// Loads a bundle.
    ///
    /// # Errors
    /// It is none, or does not pass the checks.
    pub fn from_bundle(bundle: &[u8]) -> Result<Self, CatalogueErrors> {
        let _ = bundle;
        todo!()
    }

    /// What identifies the policy: the same files, the same version.
    #[must_use]
    pub fn version(&self) -> CatalogueVersion {
        todo!()
    }

    /// The domains of all types, sorted: one topic `events.<domain>` each.
    #[must_use]
    pub fn domains(&self) -> Vec<String> {
        todo!()
    }

    /// All types.
    pub fn types(&self) -> impl Iterator<Item = &TypePolicy> {
        std::iter::empty()
    }

    /// The policy of a type.
    #[must_use]
    pub fn event_type(&self, event_type: &EventType) -> Option<&TypePolicy> {
        let _ = event_type;
        todo!()
    }

    /// Whether a kind is declared.
    #[must_use]
    pub fn declares_kind(&self, kind: &str) -> bool {
        let _ = kind;
        todo!()
    }

    /// Whether the bearer may subscribe.
    ///
    /// # Errors
    /// Why not.
    pub fn may_subscribe(&self, claims: &Claims, pattern: &ChannelPattern) -> Result<(), Refusal> {
        let _ = (claims, pattern);
        todo!()
    }

    /// Whether the bearer may publish.
    ///
    /// # Errors
    /// Why not.
    pub fn may_publish(&self, claims: &Claims, channel: &Channel) -> Result<(), Refusal> {
        let _ = (claims, channel);
        todo!()
    }

    /// The labels that the bearer holds: the token's own and those of their roles.
    #[must_use]
    pub fn labels_of(&self, claims: &Claims) -> BTreeSet<Label> {
        let _ = claims;
        todo!()
    }

    /// Runs the examples; what differs, `file:line: …` each. Empty means that all hold.
    #[must_use]
    pub fn run_examples(&self) -> (usize, Vec<String>) {
        todo!()
    }
}

impl TypePolicy {
    /// The type.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        todo!()
    }

    /// Its schema in the catalogue: what payloads are resolved to, and whose labels count.
    #[must_use]
    pub fn schema(&self) -> &AvroSchema {
        todo!()
    }

    /// The kind of channel that its events go to.
    #[must_use]
    pub fn channel_kind(&self) -> &str {
        todo!()
    }
}
