//! The texts of an event's attributes by their CloudEvents names, before they are parsed.
//!
//! Texts enter from headers or JSON, [`Attributes`] leave. It never keeps an attribute that Tidegate does not know.

use std::fmt::Display;

use crate::channel::Channel;
use crate::event::Attributes;
use crate::id::{self, EventId, EventType, NameError, Source, Tenant};
use crate::lane::Lane;
use crate::limits;
use crate::time::Timestamp;

use super::CloudEventError;

/// The version of CloudEvents that is spoken.
pub(super) const SPEC_VERSION: &str = "1.0";

/// Texts of the attributes that were given; of a repeated one the last counts.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    specversion: Option<&'a str>,
    id: Option<&'a str>,
    event_type: Option<&'a str>,
    source: Option<&'a str>,
    subject: Option<&'a str>,
    time: Option<&'a str>,
    tenant: Option<&'a str>,
    priority: Option<&'a str>,
    expires: Option<&'a str>,
    conflation_key: Option<&'a str>,
    author: Option<&'a str>,
    traceparent: Option<&'a str>,
    /// No attribute: set by the ingest, in a header of its own.
    pub(super) principal: Option<&'a str>,
}

impl<'a> Texts<'a> {
    /// Where the text of an attribute goes, with the attribute's name; none for an attribute that is not known.
    pub(super) fn place(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'a str>)> {
        Some(match name {
            "specversion" => ("specversion", &mut self.specversion),
            "id" => ("id", &mut self.id),
            "type" => ("type", &mut self.event_type),
            "source" => ("source", &mut self.source),
            "subject" => ("subject", &mut self.subject),
            "time" => ("time", &mut self.time),
            "tenant" => ("tenant", &mut self.tenant),
            "priority" => ("priority", &mut self.priority),
            "expires" => ("expires", &mut self.expires),
            "conflationkey" => ("conflationkey", &mut self.conflation_key),
            "author" => ("author", &mut self.author),
            "traceparent" => ("traceparent", &mut self.traceparent),
            _ => return None,
        })
    }

    /// Parses them all.
    ///
    /// # Errors
    /// The first one that is missing or malformed.
    pub(super) fn parse(&self) -> Result<Attributes, CloudEventError> {
        if self.specversion.is_some_and(|version| version != SPEC_VERSION) {
            return Err(CloudEventError::malformed("specversion", "it is not 1.0"));
        }
        Ok(Attributes {
            id: required("id", self.id, EventId::parse)?,
            source: required("source", self.source, Source::parse)?,
            event_type: required("type", self.event_type, EventType::parse)?,
            channel: required("subject", self.subject, Channel::parse)?,
            tenant: optional("tenant", self.tenant, Tenant::parse)?.unwrap_or_else(Tenant::default_tenant),
            time: optional("time", self.time, parse_time)?,
            priority: optional("priority", self.priority, parse_lane)?,
            expires: optional("expires", self.expires, parse_time)?,
            conflation_key: optional("conflationkey", self.conflation_key, |text| parse_text("the key", text))?,
            author: optional("author", self.author, |text| parse_text("the author", text))?,
            traceparent: self.traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
            principal: optional("tg_principal", self.principal, |text| parse_text("the principal", text))?,
        })
    }
}

fn required<T, E: Display>(
    attribute: &'static str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, CloudEventError> {
    optional(attribute, text, parse)?.ok_or(CloudEventError::Missing { attribute })
}

fn optional<T, E: Display>(
    attribute: &'static str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, CloudEventError> {
    text.map(parse).transpose().map_err(|error| CloudEventError::malformed(attribute, error))
}

// These two have errors of their own, which hold the text.
fn parse_time(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).map_err(|_| "it is not an RFC 3339 time")
}

fn parse_lane(text: &str) -> Result<Lane, &'static str> {
    Lane::parse(text).map_err(|_| "it is not high, medium or low")
}

fn parse_text(what: &'static str, text: &str) -> Result<String, NameError> {
    id::check(what, text, limits::ATTRIBUTE_BYTES, char::is_control)?;
    Ok(text.to_owned())
}

/// Whether the text is a trace context that may be continued. W3C Trace Context 3.2.2: another one is ignored, and so
/// never costs an event.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, size: usize| {
        part.len() == size && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    match *text.split('-').collect::<Vec<_>>() {
        [version, trace, parent, flags] => {
            hex(version, 2)
                && version != "ff"
                && hex(trace, 32)
                && set(trace)
                && hex(parent, 16)
                && set(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_context_that_w3c_allows_is_continued() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(text), "{text:?}");
        }
    }
}
