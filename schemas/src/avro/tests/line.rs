//! The line that readers get: labels at every depth, and what JSON cannot say.

use std::collections::BTreeSet;

use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use super::schema;
use crate::avro::{AvroSchema, MaskKey, Masking};
use crate::id::{Label, Tenant};

fn held(labels: &[&str]) -> BTreeSet<Label> {
    labels.iter().map(|label| Label::parse(label).unwrap()).collect()
}

fn line(schema: &AvroSchema, value: &Value, labels: &[&str]) -> String {
    let mut out = Vec::new();
    schema.write_json(value, &held(labels), &mut out);
    String::from_utf8(out).unwrap()
}

/// A record that stands in a field, an array, a map and a union, and has a secret in it.
fn nested() -> AvroSchema {
    let inner = json!({"type": "record", "name": "Inner", "fields": [
        {"name": "open", "type": "int"},
        {"name": "secret", "type": "int", "labels": ["inner"]}]});
    schema(&json!({"type": "record", "name": "Outer", "fields": [
        {"name": "both", "type": "int", "labels": ["a", "b"]},
        {"name": "field", "type": inner},
        {"name": "array", "type": {"type": "array", "items": "Inner"}},
        {"name": "map", "type": {"type": "map", "values": "Inner"}, "labels": ["a"]},
        {"name": "union", "type": ["null", "Inner"]}]}))
}

#[test]
fn a_withheld_field_is_absent_at_every_depth() {
    let schema = nested();
    let inner = json!({"open": 1, "secret": 2});
    let posted =
        json!({"both": 3, "field": inner, "array": [inner, inner], "map": {"z": inner, "a": inner}, "union": inner});
    let value = schema.from_json(&posted).unwrap();
    assert_eq!(schema.labels(), held(&["a", "b", "inner"]));
    insta::assert_snapshot!(line(&schema, &value, &[]), @r#"{"field":{"open":1},"array":[{"open":1},{"open":1}],"union":{"open":1}}"#);
    insta::assert_snapshot!(line(&schema, &value, &["a"]), @r#"{"field":{"open":1},"array":[{"open":1},{"open":1}],"map":{"a":{"open":1},"z":{"open":1}},"union":{"open":1}}"#);
    insta::assert_snapshot!(line(&schema, &value, &["inner", "b"]), @r#"{"field":{"open":1,"secret":2},"array":[{"open":1,"secret":2},{"open":1,"secret":2}],"union":{"open":1,"secret":2}}"#);
    let all: Json = serde_json::from_str(&line(&schema, &value, &["a", "b", "inner"])).unwrap();
    assert_eq!(all, posted);
}

#[test]
fn what_json_or_a_text_cannot_say_is_null_or_a_number() {
    let logical = |kind: &str, logical: &str| schema(&json!({"type": kind, "logicalType": logical}));
    let cases = [
        (schema(&json!("double")), Value::Double(f64::NAN), "null"),
        (schema(&json!("float")), Value::Float(f32::NEG_INFINITY), "null"),
        (schema(&json!("double")), Value::Double(1.0), "1.0"),
        (schema(&json!("float")), Value::Float(0.1), "0.1"),
        (logical("long", "timestamp-millis"), Value::TimestampMillis(i64::MAX), "9223372036854775807"),
        (logical("int", "date"), Value::Date(i32::MIN), "-2147483648"),
        (logical("int", "time-millis"), Value::TimeMillis(86_400_000), "86400000"),
        (logical("long", "time-micros"), Value::TimeMicros(-1), "-1"),
        (schema(&json!("string")), Value::String("\u{0}\r\n\"".to_owned()), r#""\u0000\r\n\"""#),
    ];
    for (schema, value, expected) in cases {
        assert_eq!(line(&schema, &value, &[]), expected);
    }
}

#[test]
fn what_is_not_of_the_schema_is_null_and_shows_nothing() {
    let schema = nested();
    let secret = Value::Record(vec![("secret".to_owned(), Value::Int(2))]);
    assert_eq!(line(&schema, &Value::Union(7, Box::new(secret.clone())), &[]), "null");
    assert_eq!(line(&schema, &Value::Array(vec![secret.clone()]), &[]), "null");
    assert_eq!(line(&schema, &secret, &[]), "{}");
}

fn view(schema: &AvroSchema, posted: &Json, labels: &[&str]) -> Json {
    let (key, tenant) = (MaskKey::new(b"a key of tests"), Tenant::default_tenant());
    let mut out = Vec::new();
    let value = schema.from_json(posted).unwrap();
    schema.write_view(&value, &held(labels), Masking { key: &key, tenant: &tenant }, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// A record of fields that carry the label `x` and have this type and mask.
fn masked(fields: &[(&str, Json, &str)]) -> AvroSchema {
    let fields: Vec<Json> = fields
        .iter()
        .map(|(name, kind, mask)| json!({"name": name, "type": kind, "labels": ["x"], "mask": mask}))
        .collect();
    schema(&json!({"type": "record", "name": "Masked", "fields": fields}))
}

#[test]
fn a_mask_leaves_what_its_word_says_and_the_label_shows_the_whole() {
    let time = json!({"type": "long", "logicalType": "timestamp-millis"});
    let date = json!({"type": "int", "logicalType": "date"});
    let schema = masked(&[
        ("gone", json!(["null", "int"]), "null"),
        ("card", json!(["null", "string"]), "last_four"),
        ("none", json!(["null", "string"]), "last_four"),
        ("names", json!({"type": "array", "items": "string"}), "hash"),
        ("postcode", json!("string"), "truncate:3"),
        ("latitude", json!("double"), "truncate:1"),
        ("longitude", json!("float"), "truncate:0"),
        ("hour", time.clone(), "truncate:hour"),
        ("month", time, "truncate:month"),
        ("born", json!(["null", date]), "truncate:year"),
    ]);
    let posted = json!({
        "gone": 7, "card": "4111111111111234", "none": null, "names": ["Ada", "Ben", "Ada"], "postcode": "10115",
        "latitude": -52.5219, "longitude": 13.75, "hour": "2015-09-12T00:46:58.771Z",
        "month": "2015-09-12T00:46:58.771Z", "born": "1999-05-17",
    });
    let seen = view(&schema, &posted, &[]);
    let names = seen["names"].as_array().unwrap().clone();
    assert_eq!((names.len(), &names[0]), (3, &names[2]));
    assert_ne!(names[0], names[1]);
    let seen = seen.to_string();
    let seen = names.iter().fold(seen, |seen, name| seen.replace(name.as_str().unwrap(), "NAME"));
    insta::assert_snapshot!(seen, @r#"{"born":"1999-01-01","card":"****1234","gone":null,"hour":"2015-09-12T00:00:00.000Z","latitude":-52.5,"longitude":13.0,"month":"2015-09-01T00:00:00.000Z","names":["NAME","NAME","NAME"],"none":null,"postcode":"101"}"#);
    assert_eq!(view(&schema, &posted, &["x"]), posted);
    assert_eq!(line(&schema, &schema.from_json(&posted).unwrap(), &[]), "{}", "without masking they are absent");
}

#[test]
fn where_several_labels_are_missing_all_must_leave_the_same() {
    let schema = schema(&json!({"type": "record", "name": "R", "fields": [
        {"name": "a", "type": "string", "labels": ["x", "y"], "mask": {"x": "truncate:1"}},
        {"name": "b", "type": "string", "labels": ["x", "y"], "mask": {"x": "truncate:1", "y": "truncate:2"}},
        {"name": "c", "type": "string", "labels": ["x", "y"], "mask": "truncate:3"}]}));
    let posted = json!({"a": "12345", "b": "12345", "c": "12345"});
    assert_eq!(view(&schema, &posted, &[]), json!({"c": "123"}));
    assert_eq!(view(&schema, &posted, &["x"]), json!({"b": "12", "c": "123"}));
    assert_eq!(view(&schema, &posted, &["y"]), json!({"a": "1", "b": "1", "c": "123"}));
    assert_eq!(view(&schema, &posted, &["x", "y"]), posted);
}

#[test]
fn a_mask_that_would_protect_nothing_refuses_the_schema() {
    let refused = |field: Json| {
        let record = json!({"type": "record", "name": "R", "fields": [field]});
        AvroSchema::parse(&record.to_string()).err().map(|error| (error.field, error.detail))
    };
    let field = |kind: Json, mask: Json| json!({"name": "f", "type": kind, "labels": ["x"], "mask": mask});
    let date = json!({"type": "int", "logicalType": "date"});
    for (kind, mask) in [
        (json!("int"), json!("last_four")),
        (json!("boolean"), json!("hash")),
        (json!("long"), json!("truncate:1")),
        (json!("string"), json!("truncate:day")),
        (date, json!("truncate:day")),
        (json!(["null", "string", "int"]), json!("last_four")),
        (json!({"type": "map", "values": "string"}), json!("hash")),
        (json!("string"), json!("first")),
        (json!("string"), json!(4)),
        (json!("string"), json!({"y": "hash"})),
        (json!("string"), json!({})),
    ] {
        let problem = refused(field(kind.clone(), mask.clone()));
        assert_eq!(problem.and_then(|(field, _)| field).as_deref(), Some("f"), "{kind} {mask}");
    }
    assert!(refused(json!({"name": "f", "type": "string", "mask": "hash"})).is_some(), "no label");
    assert_eq!(refused(field(json!({"type": "map", "values": "string"}), json!("null"))), None);
}
