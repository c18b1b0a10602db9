//! How a line of a file becomes an event: `map.yaml`, each entry a CEL expression over `line` and `line_number`.

use schemas::channel::Channel;
use schemas::id::{EventId, EventType};
use schemas::time::Timestamp;

use crate::catalogue::CatalogueErrors;

/// A compiled map.
#[derive(Debug)]
pub struct EventMap {
    _private: (),
}

/// What a line became.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedEvent {
    /// `type`.
    pub event_type: EventType,
    /// `subject`.
    pub channel: Channel,
    /// `id`.
    pub id: EventId,
    /// `time`.
    pub time: Option<Timestamp>,
    /// `data`.
    pub data: serde_json::Value,
}

impl EventMap {
    /// The map of a catalogue that ships.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub fn shipped(name: &str) -> Result<Self, CatalogueErrors> {
        let _ = name;
        todo!()
    }

    /// Parses `map.yaml`; `file` is for errors.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, CatalogueErrors> {
        let _ = (file, text);
        todo!()
    }

    /// Maps one line (1-based number).
    ///
    /// # Errors
    /// What is wrong with the line, in words.
    pub fn map(&self, line: &serde_json::Value, line_number: u64) -> Result<MappedEvent, String> {
        let _ = (line, line_number);
        todo!()
    }
}
