//! How values of a schema lie in memory and in bytes, as one text: two schemas of the same layout need no resolution.
//!
//! A registry hands a schema back in another spelling than the catalogue has; comparing layouts is what makes that cheap.
//! Labels, defaults, aliases and docs are no part of it.

use std::fmt::{self, Write};

use super::shape::{DecimalShape, EnumShape, FixedShape, Node, NodeId, RecordShape, UuidForm};

/// The layout of a list of types whose whole is `root`.
pub(super) fn layout(nodes: &[Node], root: NodeId) -> String {
    let mut out = root.0.to_string();
    for node in nodes {
        // Writing into a String does not fail.
        let written = put_node(node, &mut out);
        debug_assert!(written.is_ok());
    }
    out
}

fn put_node(node: &Node, out: &mut String) -> fmt::Result {
    match node {
        Node::Null
        | Node::Boolean
        | Node::Int
        | Node::Long
        | Node::Float
        | Node::Double
        | Node::Bytes
        | Node::String
        | Node::Date
        | Node::TimeMillis
        | Node::TimeMicros
        | Node::Timestamp(_)
        | Node::LocalTimestamp(_) => write!(out, ";{node:?}"),
        Node::Uuid(UuidForm::Text) => write!(out, ";uuid text"),
        Node::Uuid(UuidForm::Bytes) => write!(out, ";uuid bytes"),
        Node::Uuid(UuidForm::Fixed(fixed)) => write!(out, ";uuid ").and_then(|()| put_fixed(fixed, out)),
        Node::Decimal(DecimalShape { precision, scale, fixed }) => {
            write!(out, ";decimal {precision} {scale} ")?;
            fixed.as_ref().map_or(Ok(()), |fixed| put_fixed(fixed, out))
        }
        Node::Fixed(fixed) => write!(out, ";").and_then(|()| put_fixed(fixed, out)),
        Node::Enum(EnumShape { names, symbols, .. }) => write!(out, ";enum {} {symbols:?}", names.full),
        Node::Array(items) => write!(out, ";array {}", items.0),
        Node::Map(values) => write!(out, ";map {}", values.0),
        Node::Union(branches) => write!(out, ";union {branches:?}"),
        Node::Record(RecordShape { names, fields, .. }) => {
            write!(out, ";record {}", names.full)?;
            fields.iter().try_for_each(|field| write!(out, " {}:{}", field.name, field.node.0))
        }
    }
}

fn put_fixed(fixed: &FixedShape, out: &mut String) -> fmt::Result {
    write!(out, "fixed {} {}", fixed.names.full, fixed.size)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::avro::AvroSchema;

    fn layout(json: &Json) -> String {
        AvroSchema::parse(&json.to_string()).unwrap().shape.layout.clone()
    }

    fn record(name: &str, field: Json) -> Json {
        json!({"type": "record", "name": name, "namespace": "t", "fields": [field]})
    }

    #[test]
    fn only_what_says_how_values_lie_makes_a_layout() {
        let plain = layout(&record("R", json!({"name": "a", "type": "int"})));
        let adorned =
            json!({"name": "a", "type": {"type": "int"}, "default": 3, "labels": ["x"], "doc": "d", "aliases": ["b"]});
        assert_eq!(layout(&record("R", adorned)), plain);
        for other in [
            record("S", json!({"name": "a", "type": "int"})),
            record("R", json!({"name": "b", "type": "int"})),
            record("R", json!({"name": "a", "type": "long"})),
            record("R", json!({"name": "a", "type": {"type": "int", "logicalType": "date"}})),
            record("R", json!({"name": "a", "type": ["int"]})),
        ] {
            assert_ne!(layout(&other), plain, "{other}");
        }
    }

    #[test]
    fn names_sizes_symbols_and_units_are_told_apart() {
        let fixed = |size: usize| json!({"type": "fixed", "name": "F", "size": size});
        let suit = |symbols: Json| json!({"type": "enum", "name": "E", "symbols": symbols});
        let logical = |logical: &str| json!({"type": "long", "logicalType": logical});
        let decimal = |scale: usize| json!({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": scale});
        for (one, other) in [
            (fixed(1), fixed(2)),
            (suit(json!(["A", "B"])), suit(json!(["B", "A"]))),
            (logical("timestamp-millis"), logical("timestamp-micros")),
            (logical("timestamp-millis"), logical("local-timestamp-millis")),
            (decimal(1), decimal(2)),
            (json!({"type": "array", "items": "int"}), json!({"type": "map", "values": "int"})),
            (json!(["null", "int"]), json!(["int", "null"])),
        ] {
            assert_ne!(layout(&one), layout(&other), "{one} {other}");
        }
    }
}
