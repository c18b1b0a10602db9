//! Each limit is reached: nesting, memory, schemas. None of it may end the process.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{everything, linked_list, record_of, schema};
use crate::avro::{AvroSchema, DecodeError};
use crate::limits;

/// Small enough that an unbounded descent into 200 kB of nesting would end it.
const SMALL_STACK_BYTES: usize = 256 * 1024;

fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(SMALL_STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

/// A list of so many records in one another.
fn nested(records: usize) -> Vec<u8> {
    let mut body = vec![2; records - 1];
    body.push(0);
    body
}

fn nested_json(records: usize) -> Json {
    (0..records).fold(Json::Null, |next, _| json!({ "next": next }))
}

fn error_of(text: &str) -> String {
    AvroSchema::parse(text).unwrap_err().detail
}

#[test]
fn a_recursive_value_of_200_kilobytes_is_too_deep_and_ends_nothing() {
    let decoded = on_a_small_stack(|| linked_list().decode(&linked_list(), &nested(200_000)));
    assert_eq!(decoded, Err(DecodeError::TooDeep));
}

#[test]
fn a_value_may_be_nested_as_deep_as_the_limit_and_no_deeper() {
    let list = linked_list();
    assert!(list.is_recursive());
    let deepest = on_a_small_stack(|| linked_list().decode(&linked_list(), &nested(limits::VALUE_DEPTH)));
    let deepest = deepest.unwrap();
    assert_eq!(list.from_json(&nested_json(limits::VALUE_DEPTH)), Ok(deepest));
    assert_eq!(list.decode(&list, &nested(limits::VALUE_DEPTH + 1)), Err(DecodeError::TooDeep));
    let mismatches = list.from_json(&nested_json(limits::VALUE_DEPTH + 1)).unwrap_err();
    assert_eq!(mismatches.len(), 1);
    assert!(mismatches[0].detail.contains("deeper than 64"), "{mismatches:?}");
}

#[test]
fn a_flat_chain_of_many_records_is_no_deeper_than_the_limit_either() {
    let link = |n: usize| {
        let to = if n == 0 { json!("null") } else { json!(format!("L{}", n - 1)) };
        json!({"type": "record", "name": format!("L{n}"), "fields": [{"name": "next", "type": to}]})
    };
    let fields: Vec<Json> = (0..1000).map(|n| json!({"name": format!("f{n}"), "type": link(n)})).collect();
    let text = json!({"type": "record", "name": "R", "fields": fields}).to_string();
    let decoded = on_a_small_stack(move || {
        let chain = AvroSchema::parse(&text).unwrap();
        assert!(!chain.is_recursive());
        chain.decode(&chain, &[])
    });
    assert_eq!(decoded, Err(DecodeError::TooDeep));
}

#[test]
fn items_that_take_no_bytes_end_with_the_budget() {
    let empty = json!({"type": "record", "name": "Empty", "fields": []});
    for items in [json!("null"), empty, json!({"type": "fixed", "name": "None", "size": 0})] {
        let array = schema(&json!({"type": "array", "items": items}));
        let mut body = Vec::new();
        crate::wire::put_long(i64::MAX, &mut body);
        match array.decode(&array, &body) {
            Err(DecodeError::Undecodable { detail }) => assert!(detail.contains("bytes of memory"), "{detail}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn records_that_double_without_bytes_end_with_the_budget() {
    let pair = |n: usize| {
        let of = if n == 0 { json!("null") } else { json!(format!("P{}", n - 1)) };
        let fields = json!([{"name": "a", "type": of}, {"name": "b", "type": of}]);
        json!({"name": format!("f{n}"), "type": {"type": "record", "name": format!("P{n}"), "fields": fields}})
    };
    let fields: Vec<Json> = (0..50).map(pair).collect();
    let bomb = schema(&json!({"type": "record", "name": "R", "fields": fields}));
    assert!(matches!(bomb.decode(&bomb, &[]), Err(DecodeError::Undecodable { .. })));
}

#[test]
fn a_length_beyond_the_body_is_refused_before_it_is_made() {
    let mut body = Vec::new();
    crate::wire::put_long(1 << 40, &mut body);
    for kind in ["bytes", "string"] {
        let schema = schema(&json!(kind));
        assert!(matches!(schema.decode(&schema, &body), Err(DecodeError::Undecodable { .. })), "{kind}");
    }
    let fixed = schema(&json!({"type": "fixed", "name": "Huge", "size": 1_u64 << 60}));
    assert!(matches!(fixed.decode(&fixed, &[0; 9]), Err(DecodeError::Undecodable { .. })));
}

#[test]
fn a_catalogues_defaults_are_paid_for_each_time() {
    let wide: Vec<Json> =
        (0..500).map(|n| json!({"name": format!("f{n}"), "type": "string", "default": "x"})).collect();
    let items =
        |fields: &[Json]| schema(&json!({"type": "array", "items": {"type": "record", "name": "W", "fields": fields}}));
    let (writer, reader) = (items(&[]), items(&wide));
    let mut body = Vec::new();
    crate::wire::put_long(10_000, &mut body);
    body.push(0);
    assert!(writer.decode(&writer, &body).is_ok());
    assert!(matches!(reader.decode(&writer, &body), Err(DecodeError::Undecodable { .. })));
    let posted = Json::Array(vec![json!({}); 10_000]);
    assert_eq!(reader.from_json(&posted).unwrap_err().len(), 1);
}

#[test]
fn a_union_whose_branches_all_nearly_fit_ends_with_the_budget() {
    let branch = |name: &str, last: &str| {
        let fields = json!([{"name": "next", "type": ["A", "B"]}, {"name": "last", "type": last}]);
        json!({"type": "record", "name": name, "fields": fields})
    };
    let next = json!(["null", {"type": "record", "name": "B", "fields": [
        {"name": "next", "type": ["null", "A", "B"]}, {"name": "last", "type": "int"}]}, "A"]);
    let mut text = branch("A", "int");
    text["fields"][0]["type"] = next;
    let ambiguous = schema(&text);
    let posted = (0..60).fold(json!("no record"), |next, _| json!({"next": next, "last": 1}));
    assert!(ambiguous.from_json(&posted).is_err());
}

#[test]
fn a_schema_over_a_limit_is_refused_by_the_limits_name() {
    let padded = |bytes: usize| format!("{}\"string\"", " ".repeat(bytes - 8));
    assert!(AvroSchema::parse(&padded(limits::SCHEMA_BYTES)).is_ok());
    assert!(error_of(&padded(limits::SCHEMA_BYTES + 1)).contains("more than 262144 bytes"));

    let arrays = |depth: usize| (0..depth).fold(json!("int"), |items, _| json!({"type": "array", "items": items}));
    assert!(AvroSchema::parse(&arrays(limits::VALUE_DEPTH).to_string()).is_ok());
    assert!(error_of(&arrays(limits::VALUE_DEPTH + 1).to_string()).contains("nested deeper than 64"));
    assert!(on_a_small_stack(|| AvroSchema::parse(&"[".repeat(200_000)).is_err()));

    let decimal = |digits: usize| json!({"type": "bytes", "logicalType": "decimal", "precision": digits}).to_string();
    assert!(AvroSchema::parse(&decimal(limits::DECIMAL_DIGITS)).is_ok());
    assert!(error_of(&decimal(limits::DECIMAL_DIGITS + 1)).contains("more than 38 digits"));
}

#[test]
fn defaults_that_multiply_are_refused_before_they_are_made() {
    let layer = |n: usize| {
        let of = if n == 0 { json!("int") } else { json!(format!("P{}", n - 1)) };
        let default = if n == 0 { json!(0) } else { json!({}) };
        let fields =
            json!([{"name": "a", "type": of, "default": default}, {"name": "b", "type": of, "default": default}]);
        json!({"name": format!("f{n}"), "type": {"type": "record", "name": format!("P{n}"), "fields": fields}})
    };
    let tower = |layers: usize| {
        let fields: Vec<Json> = (0..layers).map(layer).collect();
        json!({"type": "record", "name": "R", "fields": fields}).to_string()
    };
    let within = limits::SCHEMA_DEFAULT_OBJECTS / 2 + 1;
    assert!(AvroSchema::parse(&tower(within)).is_ok());
    assert!(error_of(&tower(within + 1)).contains("defaults hold more than 16 objects"));
    let maps: Vec<_> = (0..40)
        .map(|n| json!({"name": format!("m{n}"), "type": {"type": "map", "values": "int"}, "default": {}}))
        .collect();
    assert!(AvroSchema::parse(&json!({"type": "record", "name": "M", "fields": maps}).to_string()).is_ok());
}

#[test]
fn a_default_that_holds_itself_is_refused() {
    let own = json!({"name": "own", "type": "R", "default": {}});
    let text = json!({"type": "record", "name": "R", "fields": [own]}).to_string();
    assert!(on_a_small_stack(move || AvroSchema::parse(&text).is_err()));
}

#[test]
fn at_most_32_mismatches_are_listed() {
    let array = schema(&json!({"type": "array", "items": "int"}));
    let listed = |count: usize| array.from_json(&json!(vec!["x"; count])).unwrap_err().len();
    assert_eq!(listed(limits::MISMATCHES), limits::MISMATCHES);
    assert_eq!(listed(limits::MISMATCHES + 1), limits::MISMATCHES);
}

#[test]
fn labels_that_cannot_be_read_refuse_the_schema() {
    let with = |labels: Json| {
        let mut text = record_of(&[("city", json!("string"))]);
        text["fields"][0]["labels"] = labels;
        text.to_string()
    };
    for labels in [json!("place"), json!([1]), json!([""]), json!(["two words"]), json!({}), json!(null)] {
        assert!(error_of(&with(labels)).contains("labels of the field city"));
    }
    assert!(AvroSchema::parse(&with(json!([]))).unwrap().labels().is_empty());
}

#[test]
fn what_is_no_schema_is_refused() {
    let twice = json!(["null", {"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 2}]);
    let unknown = record_of(&[("x", json!("Unknown"))]);
    let unfit = json!({"type": "record", "name": "R", "fields": [{"name": "x", "type": "int", "default": "y"}]});
    for text in ["", "{}", "null", "\"strin\"", "[1]", &twice.to_string(), &unknown.to_string(), &unfit.to_string()] {
        assert!(AvroSchema::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_error_stays_brief_whatever_a_schema_calls_its_fields() {
    let long = schema(&record_of(&[(&"x".repeat(100_000), json!("int"))]));
    assert!(long.decode(&long, &[]).unwrap_err().to_string().len() < 600);
    assert!(error_of(&json!("y".repeat(100_000)).to_string()).len() < 600);
}

proptest! {
    #[test]
    fn a_damaged_schema_is_refused_or_taken_and_ends_nothing(
        from: prop::sample::Index, size in 0_usize..30, other in "[\\]\\[{}\":,a-z0-9 ]{0,12}") {
        let text = everything().text().to_owned();
        let from = from.index(text.len());
        let to = (from + size).min(text.len());
        if let Ok(schema) = AvroSchema::parse(&format!("{}{other}{}", &text[..from], &text[to..])) {
            let _ = schema.decode(&schema, &[0; 64]);
            let _ = schema.from_json(&json!({}));
        }
    }
}
