//! Bytes there and back: our own codec beside the foreign one, cut and damaged bodies.

use apache_avro::types::Value;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{everything, schema, something, written};
use crate::avro::DecodeError;
use crate::foreign;

fn body_of(json: &Json) -> Vec<u8> {
    let everything = everything();
    everything.encode(&everything.from_json(json).unwrap()).unwrap()
}

/// JSON that fits some of `everything`'s fields, in other ways than `something` does.
fn any_json() -> impl Strategy<Value = Json> {
    let numbers = (any::<i32>(), any::<i64>(), any::<f32>(), any::<f64>());
    let texts = (any::<String>(), proptest::option::of(any::<String>()), any::<bool>());
    let times = (0..86_400_000, 0..86_400_000_000_i64, any::<i64>(), any::<i64>());
    let decimals = -999_999_999_i64..1_000_000_000;
    let either = prop_oneof![
        any::<i64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(|s| json!(s)),
        any::<String>().prop_map(|s| json!({ "text": s })),
    ];
    let inner = || any::<String>().prop_map(|text| json!({ "text": text }));
    let array = proptest::collection::vec(inner(), 0..4);
    let map = proptest::collection::btree_map(any::<String>(), inner(), 0..4);
    (numbers, texts, times, decimals, either, array, map).prop_map(
        |((int, long, float, double), (text, optional, yes), times, decimal, either, array, map)| {
            let mut json = something();
            let fields = json!({
                "int": int, "long": long, "float": float, "double": double, "string": text, "optional": optional,
                "yes": yes, "time_millis": times.0, "time_micros": times.1, "millis": times.2, "nanos": times.3,
                "decimal": format!("{}{}.{:02}", if decimal < 0 { "-" } else { "" }, (decimal / 100).abs(), (decimal % 100).abs()),
                "either": either, "array": array, "map": map,
            });
            json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json
        },
    )
}

#[test]
fn everything_is_written_as_it_was_posted() {
    let everything = everything();
    let value = everything.decode(&everything, &body_of(&something())).unwrap();
    assert_eq!(written(&everything, &value), something());
}

#[test]
fn a_boolean_that_is_neither_an_enum_without_such_a_symbol_and_a_union_without_such_a_branch_are_undecodable() {
    let suit = json!({"type": "enum", "name": "E", "symbols": ["A"]});
    let uuid = json!({"type": "string", "logicalType": "uuid"});
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 9});
    let long = [&[64][..], &[1; 32]].concat();
    let cases: [(Json, &[u8]); 7] = [
        (json!("boolean"), &[2]),
        (suit, &[2]),
        (json!(["null", "int"]), &[4, 0]),
        (json!("string"), &[2, 0xff]),
        (json!("int"), &[0xff, 0xff, 0xff, 0xff, 0x7f]),
        (uuid, &[2, b'x']),
        (decimal, &long),
    ];
    for (kind, body) in cases {
        let schema = schema(&kind);
        assert!(matches!(schema.decode(&schema, body), Err(DecodeError::Undecodable { .. })), "{kind}");
    }
}

#[test]
fn a_value_of_another_schema_is_not_encoded() {
    let everything = everything();
    assert!(everything.encode(&Value::Null).is_err());
    let Value::Record(mut members) = everything.from_json(&something()).unwrap() else { panic!("a record") };
    members.reverse();
    assert_eq!(everything.encode(&Value::Record(members.clone())).unwrap(), body_of(&something()));
    members.pop();
    assert_eq!(everything.encode(&Value::Record(members)).unwrap_err().detail, "nothing: it is missing");
    let cases = [
        (json!("int"), Value::Long(1)),
        (json!("long"), Value::Int(1)),
        (json!(["null", "int"]), Value::Int(1)),
        (json!(["null", "int"]), Value::Union(2, Box::new(Value::Null))),
        (json!({"type": "fixed", "name": "F", "size": 2}), Value::Fixed(2, vec![0])),
        (json!({"type": "enum", "name": "E", "symbols": ["A"]}), Value::Enum(0, "B".to_owned())),
        (json!({"type": "long", "logicalType": "timestamp-millis"}), Value::TimestampMicros(1)),
    ];
    for (kind, value) in cases {
        assert!(schema(&kind).encode(&value).is_err(), "{kind}");
    }
}

#[test]
fn bytes_left_over_are_undecodable() {
    let body = [body_of(&something()), vec![0]].concat();
    let left = everything().decode(&everything(), &body).unwrap_err();
    assert_eq!(left, DecodeError::Undecodable { detail: "bytes are left over".to_owned() });
}

#[test]
fn an_error_names_the_field_and_never_the_value() {
    let mut body = body_of(&something());
    body[0] = 9; // the boolean: the null before it takes no byte
    let error = everything().decode(&everything(), &body).unwrap_err().to_string();
    assert_eq!(error, "the value is not what its schema says: yes: a boolean is neither 0 nor 1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_foreign_implementation_reads_and_writes_the_same(json in any_json()) {
        let everything = everything();
        let value = everything.from_json(&json).unwrap();
        let body = everything.encode(&value).unwrap();
        prop_assert_eq!(&everything.decode(&everything, &body).unwrap(), &value);
        prop_assert_eq!(&foreign::read(everything.parsed(), &body).unwrap(), &value);
        let theirs = foreign::write(everything.parsed(), value.clone()).unwrap();
        prop_assert_eq!(everything.decode(&everything, &theirs).unwrap(), value);
    }

    #[test]
    fn what_is_written_as_json_is_read_back(json in any_json()) {
        let everything = everything();
        let value = everything.from_json(&json).unwrap();
        prop_assert_eq!(everything.from_json(&written(&everything, &value)), Ok(value));
    }

    #[test]
    fn a_cut_body_is_undecodable_never_nulls(json in any_json(), at: prop::sample::Index) {
        let body = body_of(&json);
        let cut = everything().decode(&everything(), &body[..at.index(body.len())]);
        let refused = matches!(cut, Err(DecodeError::Undecodable { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn damaged_bodies_are_read_as_the_foreign_implementation_does_or_refused(
        json in any_json(), at: prop::sample::Index, byte: u8, garbage: Vec<u8>) {
        let everything = everything();
        let mut body = body_of(&json);
        let at = at.index(body.len());
        body[at] = byte;
        for body in [body, garbage] {
            if let Ok(value) = everything.decode(&everything, &body) {
                let again = everything.encode(&value).unwrap();
                // Compared as bytes: a damaged float may be no number, and equals not even itself.
                let theirs = foreign::read(everything.parsed(), &again).unwrap();
                prop_assert_eq!(everything.encode(&theirs).unwrap(), again);
            }
        }
    }
}
