//! What Avro ⇄ JSON promises, by theme.

mod wikipedia;
mod bounds;
mod bytes;
mod resolution;
mod payload;
mod line;

use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use super::AvroSchema;

/// A schema from JSON.
fn schema(json: &Json) -> AvroSchema {
    AvroSchema::parse(&json.to_string()).unwrap()
}

/// A record `t.R` with these fields, as pairs of name and type.
fn record_of(fields: &[(&str, Json)]) -> Json {
    let fields: Vec<Json> = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    json!({"type": "record", "name": "R", "namespace": "t", "fields": fields})
}

/// A list that holds itself.
fn linked_list() -> AvroSchema {
    let next = json!({"name": "next", "type": ["null", "Node"], "default": null});
    schema(&json!({"type": "record", "name": "Node", "fields": [next]}))
}

/// One field of every kind there is.
fn everything() -> AvroSchema {
    let logical = |kind: &str, logical: &str| json!({"type": kind, "logicalType": logical});
    let decimal = |kind: Json| {
        let mut decimal = kind;
        decimal["logicalType"] = json!("decimal");
        decimal["precision"] = json!(9);
        decimal["scale"] = json!(2);
        decimal
    };
    let fixed = |name: &str, size: usize| json!({"type": "fixed", "name": name, "size": size});
    let inner = json!({"type": "record", "name": "Inner", "fields": [{"name": "text", "type": "string"}]});
    schema(&record_of(&[
        ("nothing", json!("null")),
        ("yes", json!("boolean")),
        ("int", json!("int")),
        ("long", json!("long")),
        ("float", json!("float")),
        ("double", json!("double")),
        ("bytes", json!("bytes")),
        ("string", json!("string")),
        ("date", logical("int", "date")),
        ("time_millis", logical("int", "time-millis")),
        ("time_micros", logical("long", "time-micros")),
        ("millis", logical("long", "timestamp-millis")),
        ("micros", logical("long", "timestamp-micros")),
        ("nanos", logical("long", "timestamp-nanos")),
        ("local_millis", logical("long", "local-timestamp-millis")),
        ("local_micros", logical("long", "local-timestamp-micros")),
        ("uuid", logical("string", "uuid")),
        ("decimal", decimal(json!({"type": "bytes"}))),
        ("fixed_decimal", decimal(fixed("Price", 6))),
        ("fixed", fixed("Four", 4)),
        ("again", json!("Four")),
        ("enum", json!({"type": "enum", "name": "Suit", "symbols": ["SPADES", "HEARTS"]})),
        ("array", json!({"type": "array", "items": inner})),
        ("map", json!({"type": "map", "values": "Inner"})),
        ("optional", json!(["null", "string"])),
        ("either", json!(["long", "string", "Inner"])),
    ]))
}

/// JSON that fits [`everything`].
fn something() -> Json {
    json!({
        "nothing": null, "yes": true, "int": -7, "long": 9_007_199_254_740_993_i64, "float": 0.1, "double": -2.5e300,
        "bytes": "AP8=", "string": "é\n", "date": "2015-09-12", "time_millis": "23:59:59.999",
        "time_micros": "00:00:00.000001", "millis": "2015-09-12T00:46:58.771Z", "micros": "2015-09-12T00:46:58.771002Z",
        "nanos": "2015-09-12T00:46:58.771002003Z", "local_millis": "2015-09-12T00:46:58.771",
        "local_micros": "2015-09-12T00:46:58.771002", "uuid": "67e55044-10b1-426f-9247-bb680e5fe0c8",
        "decimal": "-12.34", "fixed_decimal": "1234567.89", "fixed": "AAECAw==", "again": "/////w==", "enum": "HEARTS",
        "array": [{"text": "a"}, {"text": "b"}], "map": {"k": {"text": "v"}, "a": {"text": ""}}, "optional": "o",
        "either": {"text": "third"},
    })
}

/// A value as JSON, for a holder of all labels.
fn written(schema: &AvroSchema, value: &Value) -> Json {
    let mut out = Vec::new();
    schema.write_json(value, &schema.labels(), &mut out);
    serde_json::from_slice(&out).unwrap()
}
