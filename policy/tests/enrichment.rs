//! Joins: what a catalogue may declare, what a row fills, and what becomes of an event without one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::collections::BTreeMap;
use std::time::Duration;

use folder::{attributes, bearer, load};
use policy::{Awaited, Catalogues, Question, Reference, Row, Rows, Unjoined};
use proptest::prelude::*;
use schemas::avro::AvroSchema;
use schemas::grant::Grant;
use schemas::id::EventType;
use schemas::time::Timestamp;
use serde_json::{Value, json};

const TASK: &str = r#"{"type": "record", "name": "desk.Task", "fields": [
  {"name": "by", "type": {"type": "record", "name": "Who", "fields": [
    {"name": "id", "type": ["null", "string"], "default": null},
    {"name": "name", "type": ["string", "null"], "default": "?"}]}, "default": {"id": null, "name": "?"}},
  {"name": "to", "type": ["null", "desk.Who"], "default": null},
  {"name": "number", "type": "long", "default": 0},
  {"name": "phone", "type": ["null", "string"], "default": null, "labels": ["contact"], "mask": "last_four"},
  {"name": "age", "type": ["null", "int"], "default": null},
  {"name": "floor", "type": "int", "default": 0}
]}"#;
const PERSON: &str = r#"{"type": "record", "name": "desk.Person", "fields": [
  {"name": "phone", "type": ["null", "string"], "default": null},
  {"name": "name", "type": "string"},
  {"name": "age", "type": "long", "default": 0}
]}"#;

struct Table(BTreeMap<String, Row>);

impl Rows for Table {
    fn row(&self, _: &Reference, key: &str) -> Row {
        self.0.get(key).cloned().unwrap_or(Row::Missing)
    }
}

fn person(name: &str, phone: Option<&str>) -> Row {
    let row = json!({ "name": name, "phone": phone });
    Row::Found(AvroSchema::parse(PERSON).unwrap().from_json(&row).unwrap())
}

fn table(rows: &[(&str, Row)]) -> Table {
    Table(rows.iter().map(|(key, row)| ((*key).to_owned(), row.clone())).collect())
}

/// A catalogue whose one type has these joins, and these further entries.
fn declared(joins: &str, entries: &str) -> Result<Catalogues, String> {
    let text = format!(
        "name: desk\nchannels: {{desk: {{subscribe: 'true'}}}}\nroles: {{lead: [contact]}}\nreferences:\n  people:\n    schema: \
         person.avsc\n    samples: {{ada: {{name: Ada, phone: '555-1234'}}}}\ntypes:\n  desk.task:\n    schema: task.avsc\n    channel: \
         desk\n    enrich: {joins}\n{entries}"
    );
    load(&[("catalogue.yaml", &text), ("task.avsc", TASK), ("person.avsc", PERSON)])
}

fn enriched(joins: &str, data: &Value, rows: &Table, waited: Duration) -> Result<Value, Unjoined> {
    let catalogues = declared(joins, "").unwrap();
    let policy = catalogues.event_type(&EventType::parse("desk.task").unwrap()).unwrap();
    let mut payload = policy.schema().from_json(data).unwrap();
    let before = payload.clone();
    let result = policy.enrich(&mut payload, rows, waited);
    if result.is_err() {
        assert_eq!(payload, before);
    }
    result.map(|()| {
        let mut out = Vec::new();
        policy.schema().write_json(&payload, &policy.schema().labels(), &mut out);
        serde_json::from_slice(&out).unwrap()
    })
}

#[test]
fn a_row_fills_the_places_that_are_declared_at_any_depth_and_nothing_else() {
    let joins = "[{from: people, key: by.id, into: {by.name: name, phone: phone}}, {from: people, key: to.id, into: {to.name: name}}]";
    let rows = table(&[("ada", person("Ada", Some("555-1234"))), ("ben", person("Ben", None))]);
    let data = json!({"by": {"id": "ada", "name": "forged"}, "to": {"id": "ben"}, "floor": 3});
    let whole = enriched(joins, &data, &rows, Duration::ZERO).unwrap();
    assert_eq!(whole["by"], json!({"id": "ada", "name": "Ada"}));
    assert_eq!(
        (&whole["to"]["name"], &whole["phone"], &whole["floor"]),
        (&json!("Ben"), &json!("555-1234"), &json!(3))
    );
    let absent =
        enriched(joins, &json!({"by": {"id": "ben"}, "to": null, "phone": "forged"}), &rows, Duration::ZERO).unwrap();
    assert_eq!(
        (&absent["to"], &absent["phone"]),
        (&Value::Null, &Value::Null),
        "a row may hold nothing, a record may be absent"
    );
}

#[test]
fn a_missing_row_is_what_the_catalogue_says() {
    let joins = |missing: &str| format!("[{{from: people, key: number, into: {{by.name: name}}, missing: {missing}}}]");
    let (data, nobody) = (json!({"number": 7, "by": {"id": null, "name": "forged"}}), table(&[]));
    let after = |missing: &str, waited| enriched(&joins(missing), &data, &nobody, Duration::from_secs(waited));
    let name = |result: Result<Value, Unjoined>| result.map(|whole| whole["by"]["name"].clone());
    let dead = Err(Unjoined::DeadLetter { reference: "people".to_owned() });
    let key = Some("7".to_owned());
    let wait = Awaited { reference: "people".to_owned(), key, within: Some(Duration::from_secs(5)) };
    assert_eq!(name(after("pass", 0)), Ok(Value::Null));
    assert_eq!(after("dead-letter", 0), dead);
    assert_eq!(after("{park: 5s, then: pass}", 4), Err(Unjoined::Wait(wait.clone())));
    assert_eq!(name(after("{park: 5s, then: pass}", 5)), Ok(Value::Null));
    assert_eq!(after("{park: 5s, then: dead-letter}", 4), Err(Unjoined::Wait(wait)));
    assert_eq!(after("{park: 5s, then: dead-letter}", 5), dead);
    let unread = table(&[("7", Row::Unread)]);
    let waits = enriched(&joins("pass"), &data, &unread, Duration::MAX);
    assert_eq!(waits, Err(Unjoined::Wait(Awaited { reference: "people".to_owned(), key: None, within: None })));
}

#[test]
fn an_event_that_names_no_row_waits_for_none() {
    let joins = "[{from: people, key: by.id, into: {phone: phone}, missing: {park: 5s, then: dead-letter}}]";
    let dead = enriched(joins, &json!({}), &table(&[]), Duration::ZERO);
    assert_eq!(dead, Err(Unjoined::DeadLetter { reference: "people".to_owned() }));
}

#[test]
fn filled_fields_obey_labels_and_masks_and_an_explanation_names_the_row() {
    let catalogues = declared("[{from: people, key: by.id, into: {phone: phone}, missing: dead-letter}]", "").unwrap();
    let event = attributes("desk.task", "desk:1");
    let explain = |roles: &[&str], who: &str, rows: &BTreeMap<String, BTreeMap<String, Value>>| {
        let (reader, at) = (bearer(roles, &[]), Timestamp::default());
        let data = json!({"by": {"id": who}});
        let question = Question {
            event: &event,
            data: &data,
            publisher: None,
            reader: &reader,
            granted: &Grant::nothing(),
            filter: None,
            rows,
            routed_at: at,
            read_at: at,
        };
        catalogues.explain(&question)
    };
    let phone = |explanation: policy::Explanation| explanation.seen.unwrap().data["phone"].clone();
    let samples = BTreeMap::new();
    assert_eq!(phone(explain(&["lead"], "ada", &samples)), json!("555-1234"));
    assert_eq!(phone(explain(&[], "ada", &samples)), json!("****1234"));
    let given = BTreeMap::from([(
        "people".to_owned(),
        BTreeMap::from([("zed".to_owned(), json!({"name": "Z", "phone": "12345678"}))]),
    )]);
    assert_eq!(phone(explain(&["lead"], "zed", &given)), json!("12345678"));
    let missing = explain(&["lead"], "ada", &given);
    assert_eq!(missing.stopped().map(|step| step.step), Some("enrich"));
    let said: Vec<String> = explain(&["lead"], "ada", &samples).steps.into_iter().map(|step| step.why).collect();
    assert!(said.iter().any(|why| why == "people has a row \"ada\": it fills phone"), "{said:?}");
}

#[test]
fn what_cannot_be_joined_is_refused_with_its_line() {
    let refused = |joins: &str, entries: &str| declared(joins, entries).err().unwrap_or_default();
    for (joins, problem) in [
        ("[{from: nobody, key: by.id, into: {phone: phone}}]", "no catalogue declares the reference \"nobody\""),
        ("[{from: people, key: by.nick, into: {phone: phone}}]", "there is no field by.nick"),
        ("[{from: people, key: by, into: {phone: phone}}]", "by cannot be a key"),
        ("[{from: people, key: by.id, into: {floor: age}}]", "floor must be optional"),
        ("[{from: people, key: by.id, into: {age: age}}]", "age and the row's age must be of the same plain type"),
        ("[{from: people, key: by.id, into: {phone: fax}}]", "the row: there is no field fax"),
        ("[{from: people, key: by.id, into: {}}]", "into is missing"),
        (
            "[{from: people, key: by.id, into: {phone: phone, by.id: name}}]",
            "by.id is filled itself, and cannot be a key",
        ),
        (
            "[{from: people, key: by.id, into: {phone: phone}, missing: later}]",
            "\"later\": a missing row is pass, dead-letter or",
        ),
        (
            "[{from: people, key: by.id, into: {phone: phone}, missing: {park: 2m, then: pass}}]",
            "at most 60s are waited",
        ),
    ] {
        let said = refused(joins, "");
        assert!(said.contains(problem), "{joins}: {said}");
        assert!(said.starts_with("DIR/catalogue.yaml:1"), "{said}");
    }
}

#[test]
fn neither_a_lane_nor_who_gets_an_event_hangs_on_a_row_that_may_be_missing() {
    let joins = |missing: &str| format!("[{{from: people, key: by.id, into: {{phone: phone}}, missing: {missing}}}]");
    let lane = "    lane: \"payload.phone == null ? 'low' : 'high'\"\n";
    let users = "    only_users: payload.phone\n";
    for missing in ["pass", "dead-letter"] {
        let said = declared(&joins(missing), lane).err().unwrap();
        assert!(said.contains("the lane hangs on phone, which a row fills: it must not"), "{said}");
    }
    for missing in ["pass", "{park: 1s, then: pass}"] {
        let said = declared(&joins(missing), users).err().unwrap();
        assert!(said.contains("who gets the event hangs on phone"), "{said}");
    }
    for missing in ["dead-letter", "{park: 1s, then: dead-letter}"] {
        assert!(declared(&joins(missing), users).is_ok());
    }
}

proptest! {
    /// Whatever a producer wrote in a place, a reader gets the row's, or null.
    #[test]
    fn no_producer_speaks_in_a_rows_place(written in proptest::option::of(".{0,8}"), known: bool, of_row in proptest::option::of(".{0,8}")) {
        let rows = if known { table(&[("ada", person("Ada", of_row.as_deref()))]) } else { table(&[]) };
        let data = json!({"by": {"id": "ada"}, "phone": written});
        let joins = "[{from: people, key: by.id, into: {phone: phone}}]";
        let whole = enriched(joins, &data, &rows, Duration::ZERO).unwrap();
        prop_assert_eq!(&whole["phone"], &json!(of_row.filter(|_| known)));
    }
}
