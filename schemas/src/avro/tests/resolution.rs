//! Schema resolution: what a catalogue makes of what another schema wrote.

use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use super::{record_of, schema, written};
use crate::avro::{AvroSchema, DecodeError};

/// Reads with one schema what another wrote, and shows it as JSON.
fn read_as(reader: &Json, writer: &Json, posted: &Json) -> Result<Json, DecodeError> {
    let (reader, writer) = (schema(reader), schema(writer));
    let body = writer.encode(&writer.from_json(posted).unwrap()).unwrap();
    reader.decode(&writer, &body).map(|value| written(&reader, &value))
}

fn logical(kind: &str, logical: &str) -> Json {
    json!({"type": kind, "logicalType": logical})
}

fn suit(name: &str, symbols: Json) -> Json {
    json!({"type": "enum", "name": name, "symbols": symbols})
}

#[test]
fn types_are_promoted_as_avro_says() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    let uuid = logical("string", "uuid");
    let one_uuid = json!("67e55044-10b1-426f-9247-bb680e5fe0c8");
    let cases = [
        (json!("long"), json!("int"), json!(7), json!(7)),
        (json!("float"), json!("int"), json!(7), json!(7.0)),
        (json!("double"), json!("long"), json!(7), json!(7.0)),
        (json!("double"), json!("float"), json!(0.5), json!(0.5)),
        (json!("bytes"), json!("string"), json!("abc"), json!("YWJj")),
        (json!("string"), json!("bytes"), json!("YWJj"), json!("abc")),
        (json!("string"), uuid.clone(), one_uuid.clone(), one_uuid.clone()),
        (uuid, json!("string"), one_uuid.clone(), one_uuid),
        (json!("bytes"), decimal.clone(), json!("1.00"), json!("ZA==")),
        (decimal, json!("bytes"), json!("ZA=="), json!("1.00")),
        (logical("int", "date"), json!("int"), json!(0), json!("1970-01-01")),
        (json!("long"), logical("int", "date"), json!("1970-01-02"), json!(1)),
        (logical("long", "timestamp-millis"), json!("long"), json!(1), json!("1970-01-01T00:00:00.001Z")),
        (json!("long"), logical("long", "timestamp-micros"), json!(5), json!(5)),
    ];
    for (reader, writer, posted, expected) in cases {
        assert_eq!(read_as(&reader, &writer, &posted), Ok(expected), "{writer} as {reader}");
    }
}

#[test]
fn timestamps_of_another_unit_are_the_same_moment() {
    let at = json!("2015-09-12T00:46:58.771Z");
    for unit in ["timestamp-micros", "timestamp-nanos"] {
        let read = read_as(&logical("long", "timestamp-millis"), &logical("long", unit), &at);
        assert_eq!(read.as_ref(), Ok(&at), "{unit}");
        let finer = read_as(&logical("long", unit), &logical("long", "timestamp-millis"), &at).unwrap();
        assert!(finer.as_str().unwrap().starts_with("2015-09-12T00:46:58.771000"), "{finer}");
    }
}

#[test]
fn what_avro_does_not_read_so_is_a_mismatch() {
    let fixed = |name: &str, size: usize| json!({"type": "fixed", "name": name, "size": size});
    let decimal = |scale: usize| json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": scale});
    let array = |items: &str| json!({"type": "array", "items": items});
    let cases = [
        (json!("int"), json!("long"), json!(7)),
        (json!("int"), json!("string"), json!("7")),
        (json!("string"), json!("int"), json!(7)),
        (json!("float"), json!("double"), json!(1.5)),
        (json!("boolean"), json!("int"), json!(1)),
        (json!("string"), json!("bytes"), json!("/w==")),
        (json!("string"), json!(["null", "string"]), json!(null)),
        (json!(["int", "string"]), json!("boolean"), json!(true)),
        (array("int"), array("string"), json!(["x"])),
        (array("int"), json!({"type": "map", "values": "int"}), json!({})),
        (fixed("A", 2), fixed("A", 1), json!("AA==")),
        (fixed("A", 1), fixed("B", 1), json!("AA==")),
        (decimal(1), decimal(2), json!("1.00")),
        (suit("S", json!(["A"])), suit("S", json!(["A", "B"])), json!("B")),
        (suit("S", json!(["A"])), suit("T", json!(["A"])), json!("A")),
        (logical("string", "uuid"), json!("string"), json!("none")),
        (record_of(&[("a", json!("int"))]), record_of(&[("b", json!("int"))]), json!({"b": 1})),
        (record_of(&[("a", json!("int"))]), record_of(&[("a", json!("string"))]), json!({"a": "x"})),
    ];
    for (reader, writer, posted) in cases {
        let read = read_as(&reader, &writer, &posted);
        assert!(matches!(read, Err(DecodeError::TypeMismatch { .. })), "{writer} as {reader}: {read:?}");
    }
}

#[test]
fn a_mismatch_names_the_field() {
    let inner = |kind: &str| json!({"type": "record", "name": "I", "fields": [{"name": "x", "type": kind}]});
    let read = read_as(
        &record_of(&[("in", inner("int"))]),
        &record_of(&[("in", inner("string"))]),
        &json!({"in": {"x": "1"}}),
    );
    assert_eq!(
        read,
        Err(DecodeError::TypeMismatch { detail: "in: x: it is string, and the catalogue has int".to_owned() })
    );
}

#[test]
fn fields_are_found_by_name_and_alias_others_are_dropped_and_missing_ones_take_their_defaults() {
    let writer = record_of(&[("gone", json!("string")), ("old", json!("int")), ("kept", json!("string"))]);
    let mut reader = record_of(&[("kept", json!("string")), ("new", json!("long")), ("added", json!(["null", "int"]))]);
    reader["fields"][1]["aliases"] = json!(["old"]);
    reader["fields"][2]["default"] = json!(null);
    let read = read_as(&reader, &writer, &json!({"gone": "x", "old": 3, "kept": "k"}));
    assert_eq!(read, Ok(json!({"kept": "k", "new": 3, "added": null})));
}

#[test]
fn records_are_the_same_by_short_name_or_alias() {
    let named = |full: &str, aliases: Json| json!({"type": "record", "name": full, "aliases": aliases, "fields": []});
    let read = |reader: &Json, writer: &Json| read_as(reader, writer, &json!({})).is_ok();
    assert!(read(&named("a.R", json!([])), &named("b.R", json!([]))));
    assert!(read(&named("a.R", json!(["b.Old"])), &named("b.Old", json!([]))));
    assert!(!read(&named("a.R", json!([])), &named("a.Other", json!([]))));
}

#[test]
fn an_unknown_symbol_becomes_the_default() {
    let mut reader = suit("S", json!(["X", "A"]));
    reader["default"] = json!("X");
    let writer = suit("S", json!(["A", "B"]));
    assert_eq!(read_as(&reader, &writer, &json!("B")), Ok(json!("X")));
    assert_eq!(read_as(&reader, &writer, &json!("A")), Ok(json!("A")));
}

#[test]
fn a_union_takes_the_branch_that_fits_best() {
    let of = |reader: Json, writer: Json, posted: Json| {
        let (reader, writer) = (schema(&reader), schema(&writer));
        let body = writer.encode(&writer.from_json(&posted).unwrap()).unwrap();
        reader.decode(&writer, &body).unwrap()
    };
    let chosen = |index, value| Value::Union(index, Box::new(value));
    assert_eq!(of(json!(["null", "double", "int"]), json!("int"), json!(1)), chosen(2, Value::Int(1)));
    assert_eq!(of(json!(["null", "double"]), json!("int"), json!(1)), chosen(1, Value::Double(1.0)));
    assert_eq!(of(json!(["string", "null"]), json!(["null", "string"]), json!(null)), chosen(1, Value::Null));
    assert_eq!(of(json!("long"), json!(["null", "int"]), json!(5)), Value::Long(5));
    let record = |full: &str| json!({"type": "record", "name": full, "fields": []});
    let both = json!([record("x.R"), record("y.R")]);
    assert_eq!(of(both, record("y.R"), json!({})), chosen(1, Value::Record(Vec::new())));
}

#[test]
fn the_same_schema_in_another_spelling_reads_the_same() {
    let spelled = super::everything();
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Json>(spelled.text()).unwrap()).unwrap();
    let pretty = AvroSchema::parse(&pretty).unwrap();
    let value = spelled.from_json(&super::something()).unwrap();
    assert_eq!(pretty.decode(&spelled, &spelled.encode(&value).unwrap()), Ok(value));
}
