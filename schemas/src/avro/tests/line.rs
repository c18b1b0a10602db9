//! The line that readers get: labels at every depth, and what JSON cannot say.

use std::collections::BTreeSet;

use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use super::schema;
use crate::avro::AvroSchema;
use crate::id::Label;

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
