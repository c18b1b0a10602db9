//! A catalogue in a directory of its own, written by a test.
#![allow(dead_code, clippy::unwrap_used, reason = "tests; each uses a part of it")]

use policy::{CatalogueSource, Catalogues, Claims};
use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::id::{EventId, EventType, Label, Source, Tenant};

/// Loads a catalogue of these files; problems are shown with `DIR` for the directory.
pub fn load(files: &[(&str, &str)]) -> Result<Catalogues, String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let loaded = Catalogues::load(&[CatalogueSource::Directory(directory.path().to_owned())]);
    loaded.map_err(|errors| errors.to_string().replace(&directory.path().display().to_string(), "DIR"))
}

/// A bearer of these roles and labels.
pub fn bearer(roles: &[&str], labels: &[&str]) -> Claims {
    Claims {
        sub: Some("ada".to_owned()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        labels: labels.iter().map(|label| Label::parse(label).unwrap()).collect(),
        ..Claims::anonymous()
    }
}

/// An event of this type for this channel, with nothing else said.
pub fn attributes(event_type: &str, channel: &str) -> Attributes {
    Attributes {
        id: EventId::parse("1").unwrap(),
        source: Source::parse("/test").unwrap(),
        event_type: EventType::parse(event_type).unwrap(),
        channel: Channel::parse(channel).unwrap(),
        tenant: Tenant::default_tenant(),
        time: None,
        priority: None,
        expires: None,
        conflation_key: None,
        author: None,
        traceparent: None,
        principal: None,
    }
}
