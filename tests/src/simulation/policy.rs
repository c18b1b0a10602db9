//! The catalogue of a run, in two versions whose plans differ: the second puts every event into another lane.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::Catalogues;

/// The event's type.
pub const EVENT_TYPE: &str = "sim.event";
/// The topic's domain.
pub const DOMAIN: &str = "sim";

/// The schema of the type.
pub const SCHEMA: &str = r#"{"type": "record", "name": "Event", "namespace": "sim", "fields": [
    {"name": "lane", "type": "string"}, {"name": "nth", "type": "long"}]}"#;
/// The same with another text, so that it has another id: the one that the registry does not always know.
pub const FLAKY_SCHEMA: &str = r#"{"type": "record", "name": "Event", "namespace": "sim", "doc": "flaky", "fields": [
    {"name": "lane", "type": "string"}, {"name": "nth", "type": "long"}, {"name": "more", "type": "string", "default": ""}]}"#;

const LANES: [&str; 2] = ["payload.lane", "payload.lane == 'high' ? 'low' : payload.lane == 'low' ? 'medium' : 'high'"];

/// The catalogues of a version, 0 or 1.
///
/// # Panics
/// They are refused, which is a fault of the test.
#[must_use]
pub fn catalogues(version: usize) -> Arc<Catalogues> {
    let yaml = format!(
        "name: sim\nchannels:\n  sim:\n    subscribe: \"true\"\n    publish: \"true\"\ntypes:\n  {EVENT_TYPE}:\n    \
         schema: event.avsc\n    channel: sim\n    lane: \"{}\"\n",
        LANES[version]
    );
    let files = BTreeMap::from([("catalogue.yaml", yaml), ("event.avsc", SCHEMA.to_owned())]);
    let bundle = serde_json::json!({ "sim": files }).to_string();
    match Catalogues::from_bundle(bundle.as_bytes()) {
        Ok(catalogues) => Arc::new(catalogues),
        Err(errors) => panic!("{errors}"),
    }
}
