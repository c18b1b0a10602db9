//! What producers may post, what takes its default, and how each mismatch is told.

use apache_avro::types::Value;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{everything, record_of, schema, something, written};
use crate::avro::Mismatch;

fn read(kind: &Json, posted: &Json) -> Option<Value> {
    schema(kind).from_json(posted).ok()
}

fn logical(kind: &str, logical: &str) -> Json {
    json!({"type": kind, "logicalType": logical})
}

fn pointers(mismatches: Vec<Mismatch>) -> Vec<String> {
    mismatches.into_iter().map(|mismatch| mismatch.pointer).collect()
}

#[test]
fn whole_numbers_keep_their_range() {
    for (posted, int, long) in [
        (json!(2_147_483_647), true, true),
        (json!(2_147_483_648_i64), false, true),
        (json!(i64::MAX), false, true),
        (json!(9_223_372_036_854_775_808_u64), false, false),
        (json!(7.0), true, true),
        (json!(7.5), false, false),
        (json!(1e300), false, false),
        (json!(-0.0), true, true),
        (json!("7"), false, false),
        (json!(null), false, false),
    ] {
        assert_eq!(read(&json!("int"), &posted).is_some(), int, "{posted}");
        assert_eq!(read(&json!("long"), &posted).is_some(), long, "{posted}");
    }
}

#[test]
fn floats_take_any_number_that_they_can_hold() {
    assert_eq!(read(&json!("double"), &json!(1)), Some(Value::Double(1.0)));
    assert_eq!(read(&json!("float"), &json!(0.1)), Some(Value::Float(0.1)));
    assert_eq!(read(&json!("float"), &json!(1e300)), None);
    assert_eq!(read(&json!("double"), &json!("1")), None);
}

#[test]
fn times_are_taken_as_texts_and_as_numbers() {
    let cases = [
        (logical("long", "timestamp-millis"), json!("1970-01-01T01:00:00.0019+01:00"), Value::TimestampMillis(1)),
        (logical("long", "timestamp-millis"), json!(-5), Value::TimestampMillis(-5)),
        (logical("long", "timestamp-micros"), json!("1970-01-01T00:00:00Z"), Value::TimestampMicros(0)),
        (logical("long", "local-timestamp-millis"), json!("1970-01-01T00:00:01"), Value::LocalTimestampMillis(1000)),
        (logical("int", "date"), json!("1970-01-03"), Value::Date(2)),
        (logical("int", "date"), json!(2), Value::Date(2)),
        (logical("int", "time-millis"), json!("00:00:01.5"), Value::TimeMillis(1500)),
        (logical("long", "time-micros"), json!("00:00:01"), Value::TimeMicros(1_000_000)),
    ];
    for (kind, posted, value) in cases {
        assert_eq!(read(&kind, &posted), Some(value), "{posted}");
    }
    for (kind, posted) in [
        (logical("long", "timestamp-millis"), json!("1970-01-01")),
        (logical("long", "timestamp-millis"), json!(1.5)),
        (logical("long", "local-timestamp-millis"), json!("1970-01-01T00:00:01Z")),
        (logical("int", "date"), json!("1970-1-3")),
        (logical("int", "time-millis"), json!("25:00:00")),
    ] {
        assert_eq!(read(&kind, &posted), None, "{posted}");
    }
}

#[test]
fn bytes_words_and_uuids_are_taken_exactly() {
    let fixed = json!({"type": "fixed", "name": "F", "size": 2});
    let suit = json!({"type": "enum", "name": "S", "symbols": ["A", "B"]});
    assert_eq!(read(&json!("bytes"), &json!("AP8=")), Some(Value::Bytes(vec![0, 255])));
    assert_eq!(read(&fixed, &json!("AP8=")), Some(Value::Fixed(2, vec![0, 255])));
    assert_eq!(read(&suit, &json!("B")), Some(Value::Enum(1, "B".to_owned())));
    for (kind, posted) in [
        (json!("bytes"), json!("AP8")),
        (json!("bytes"), json!("not base64")),
        (fixed, json!("AA==")),
        (suit, json!("C")),
        (logical("string", "uuid"), json!("none")),
        (json!("string"), json!(1)),
        (json!("boolean"), json!("true")),
    ] {
        assert_eq!(read(&kind, &posted), None, "{posted}");
    }
}

#[test]
fn decimals_are_texts_within_their_digits() {
    let price = json!({"type": {"type": "fixed", "name": "P", "size": 1}, "logicalType": "decimal", "precision": 2, "scale": 1});
    let free = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    let shown = |kind: &Json, posted: &str| read(kind, &json!(posted)).map(|value| written(&schema(kind), &value));
    assert_eq!(shown(&free, "1"), Some(json!("1.00")));
    assert_eq!(shown(&free, "-99.99"), Some(json!("-99.99")));
    assert_eq!(shown(&free, "100"), None);
    assert_eq!(shown(&free, "0.001"), None);
    assert_eq!(read(&free, &json!(1.5)), None);
    let price = schema(&price);
    assert!(price.from_json(&json!("9.9")).is_ok());
}

#[test]
fn absent_fields_take_their_default_else_null_where_it_may_be() {
    let inner = json!({"type": "record", "name": "I", "fields": [
        {"name": "x", "type": "int", "default": 4}, {"name": "y", "type": "string"}]});
    let fields = json!([
        {"name": "a", "type": "string", "default": "d"},
        {"name": "b", "type": ["null", "string"]},
        {"name": "c", "type": ["string", "null"], "default": "first"},
        {"name": "d", "type": "bytes", "default": "\u{ff}A"},
        {"name": "e", "type": inner, "default": {"y": "z"}},
        {"name": "f", "type": {"type": "array", "items": "int"}, "default": [1, 2]},
        {"name": "g", "type": {"type": "fixed", "name": "F", "size": 1}, "default": "\u{0}"},
        {"name": "h", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "default": "d"},
        {"name": "i", "type": {"type": "map", "values": "I"}, "default": {}},
    ]);
    let schema = schema(&json!({"type": "record", "name": "R", "fields": fields}));
    let value = schema.from_json(&json!({})).unwrap();
    let expected = json!({"a": "d", "b": null, "c": "first", "d": "/0E=", "e": {"x": 4, "y": "z"}, "f": [1, 2], "g": "AA==",
        "h": "1.00", "i": {}});
    assert_eq!(written(&schema, &value), expected);
    assert!(schema.encode(&value).is_ok());
}

#[test]
fn a_union_takes_the_first_branch_that_fits() {
    let inner =
        |name: &str, field: &str| json!({"type": "record", "name": name, "fields": [{"name": field, "type": "int"}]});
    let kind = json!(["null", "int", "double", "string", inner("A", "a"), inner("B", "b")]);
    let index = |value| if let Value::Union(index, _) = value { Some(index) } else { None };
    let branch = |posted: Json| read(&kind, &posted).and_then(index);
    assert_eq!(branch(json!(null)), Some(0));
    assert_eq!(branch(json!(1)), Some(1));
    assert_eq!(branch(json!(1.5)), Some(2));
    assert_eq!(branch(json!("x")), Some(3));
    assert_eq!(branch(json!({"a": 1})), Some(4));
    assert_eq!(branch(json!({"b": 1})), Some(5));
    assert_eq!(branch(json!({"c": 1})), None);
    assert_eq!(branch(json!([])), None);
}

#[test]
fn every_mismatch_is_told_where_it_stands_and_what_was_expected() {
    let mut posted = something();
    posted["int"] = json!("seven");
    posted["date"] = json!("soon");
    posted["array"] = json!([{"text": "a"}, {"text": 1, "more": 2}]);
    posted["map"] = json!({"a/b~c": {}});
    posted["optional"] = json!(5);
    posted["either"] = json!({"text": 1});
    posted["unknown"] = json!(1);
    posted.as_object_mut().unwrap().remove("string");
    let mismatches = everything().from_json(&posted).unwrap_err();
    insta::assert_snapshot!(mismatches.iter().map(|m| format!("{}: {}\n", m.pointer, m.detail)).collect::<String>(), @r"
    /int: expected a whole number of 32 bits
    /string: it is required
    /date: expected a date YYYY-MM-DD, or days since 1970
    /array/1/text: expected a string
    /array/1/more: there is no such field
    /map/a~1b~0c/text: it is required
    /optional: expected a string
    /either/text: expected a string
    /unknown: there is no such field
    ");
}

#[test]
fn a_union_of_several_tells_only_that_none_fits_unless_one_is_meant() {
    let inner = |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "x", "type": "int"}]});
    let of = |kind: Json, posted: Json| {
        pointers(schema(&record_of(&[("u", kind)])).from_json(&json!({ "u": posted })).unwrap_err())
    };
    assert_eq!(of(json!(["null", inner("A")]), json!({"x": "1"})), ["/u/x"]);
    assert_eq!(of(json!(["string", inner("A")]), json!({"x": "1"})), ["/u/x"]);
    assert_eq!(of(json!([inner("A"), inner("B")]), json!({"x": "1"})), ["/u"]);
    assert_eq!(of(json!(["null", "int"]), json!("x")), ["/u"]);
}

proptest! {
    #[test]
    fn a_mismatch_never_holds_the_value(secret in "[a-z]{12}") {
        let posted: Json = something().as_object().unwrap().keys().map(|name| (name.clone(), json!([secret]))).collect();
        for mismatch in everything().from_json(&posted).unwrap_err() {
            let shown = format!("{mismatch:?}");
            prop_assert!(!shown.contains(&secret));
        }
    }
}
