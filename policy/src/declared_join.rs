//! The entries of `references`, and of `enrich`, in a `catalogue.yaml`, read for their shape.
//!
//! In: their nodes. Out: what they declare; what has the wrong shape goes to the report.

use std::time::Duration;

use crate::declaration::{DeclaredJoin, DeclaredReference, parsed};
use crate::document::{Node, Reader};
use crate::enrichment::{Finally, Missing, PARK_MAX, REFERENCE_KEY_BYTES, REFERENCE_NAME_BYTES};
use crate::report::Located;

/// Reads a table.
pub(crate) fn reference(reader: &mut Reader<'_>, key: Located<&str>, node: &Node) -> Option<DeclaredReference> {
    let name = parse_name(key.value);
    let name = reader.report().check(&key.place, name)?;
    let fields = reader.fields(node, "a reference", &["schema", "samples"])?;
    let samples = fields.get("samples").and_then(|node| reader.entries(node, "samples")).unwrap_or_default();
    let long = samples.iter().filter(|(key, _)| key.value.len() > REFERENCE_KEY_BYTES);
    long.for_each(|(key, _)| reader.report().add(&key.place, format!("a key has at most {REFERENCE_KEY_BYTES} bytes")));
    let sample = |(key, node): (Located<&str>, &Node)| {
        (Located { value: key.value.to_owned(), place: key.place }, node.to_json())
    };
    Some(DeclaredReference {
        name: Located { value: name, place: key.place },
        schema: reader.required(&fields, "schema"),
        samples: samples.into_iter().map(sample).collect(),
    })
}

/// Reads the joins of a type.
pub(crate) fn joins(reader: &mut Reader<'_>, node: &Node) -> Vec<DeclaredJoin> {
    reader.list(node, "enrich").iter().filter_map(|node| join(reader, node)).collect()
}

fn join(reader: &mut Reader<'_>, node: &Node) -> Option<DeclaredJoin> {
    let fields = reader.fields(node, "a join", &["from", "key", "into", "missing"])?;
    let (from, key) = (reader.required(&fields, "from"), reader.required(&fields, "key"));
    let entries = fields.get("into").and_then(|node| reader.entries(node, "into")).unwrap_or_default();
    if entries.is_empty() {
        reader.report().add(&fields.place, "into is missing: the fields to fill, and the row's field for each");
    }
    let into = entries.into_iter().filter_map(|(place, node)| {
        let field = reader.text(node, "a row's field")?;
        Some((Located { value: place.value.to_owned(), place: place.place }, field))
    });
    let into = into.collect();
    let missing = fields.get("missing").map_or(Some(Missing::Pass), |node| missing(reader, node))?;
    Some(DeclaredJoin { place: fields.place, from, key, into, missing })
}

/// `pass`, `dead-letter`, or `{park: 5s, then: pass}`.
fn missing(reader: &mut Reader<'_>, node: &Node) -> Option<Missing> {
    if let Some(word) = reader.text_of(node) {
        return parsed(reader, word, finally).map(|word| match word.value {
            Finally::Pass => Missing::Pass,
            Finally::DeadLetter => Missing::DeadLetter,
        });
    }
    let fields = reader.fields(node, "missing", &["park", "then"])?;
    let within = reader.required(&fields, "park").and_then(|text| parsed(reader, text, park));
    let then = reader.required(&fields, "then").and_then(|text| parsed(reader, text, finally));
    Some(Missing::Park(within?.value, then?.value))
}

fn finally(word: &str) -> Result<Finally, String> {
    match word {
        "pass" => Ok(Finally::Pass),
        "dead-letter" => Ok(Finally::DeadLetter),
        other => Err(format!("{other:?}: a missing row is pass, dead-letter or {{park: 5s, then: pass}}")),
    }
}

fn park(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).map_err(|error| format!("{text:?} is no duration: {error}"))?;
    if within > PARK_MAX { Err(format!("at most {}s are waited", PARK_MAX.as_secs())) } else { Ok(within) }
}

/// Part of a topic's name.
fn parse_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(good);
    if fits && text.len() <= REFERENCE_NAME_BYTES {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?}: a reference's name is made of a-z, 0-9, _ and -, begins with a letter, and has at most {REFERENCE_NAME_BYTES} bytes"
    ))
}
