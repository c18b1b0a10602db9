//! A schema made ready for work: its types in one list, references as places in it, labels and defaults prepared.
//!
//! Made once per schema; every event only walks it. It knows nothing of texts, bytes or JSON but what each field is called.

use std::collections::{BTreeSet, HashMap};

use apache_avro::types::Value;

use crate::id::Label;

use super::mask::Mask;
use super::moment::Unit;

/// A place in [`Shape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) usize);

/// All types of a schema.
#[derive(Debug)]
pub(super) struct Shape {
    /// The types.
    pub(super) nodes: Vec<Node>,
    /// The type of the whole.
    pub(super) root: NodeId,
    /// Whether some type holds itself.
    pub(super) recursive: bool,
    /// Schemas of the same layout have the same values.
    pub(super) layout: String,
}

/// One type.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Date,
    TimeMillis,
    TimeMicros,
    Timestamp(Unit),
    LocalTimestamp(Unit),
    Uuid(UuidForm),
    Decimal(DecimalShape),
    Fixed(FixedShape),
    Enum(EnumShape),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(RecordShape),
}

/// How a UUID is written.
#[derive(Debug)]
pub(super) enum UuidForm {
    Text,
    Bytes,
    Fixed(FixedShape),
}

/// A decimal number.
#[derive(Debug)]
pub(super) struct DecimalShape {
    /// Digits, at most 38.
    pub(super) precision: usize,
    /// Digits behind the point.
    pub(super) scale: usize,
    /// How it is written: none is `bytes`.
    pub(super) fixed: Option<FixedShape>,
}

/// What a named type is called.
#[derive(Debug)]
pub(super) struct Names {
    /// With its namespace.
    pub(super) full: String,
    /// Without.
    pub(super) short: String,
    /// Other names that a writer may call it by, each with and without its namespace.
    pub(super) aliases: Vec<String>,
}

/// Bytes of a fixed number.
#[derive(Debug)]
pub(super) struct FixedShape {
    pub(super) names: Names,
    pub(super) size: usize,
}

/// One of several words.
#[derive(Debug)]
pub(super) struct EnumShape {
    pub(super) names: Names,
    pub(super) symbols: Vec<String>,
    /// What an unknown word of a writer becomes.
    pub(super) default: Option<String>,
}

/// A record.
#[derive(Debug)]
pub(super) struct RecordShape {
    pub(super) names: Names,
    pub(super) fields: Vec<FieldShape>,
    /// Where a field stands.
    pub(super) places: HashMap<String, usize>,
}

/// A field of a record.
#[derive(Debug)]
pub(super) struct FieldShape {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) node: NodeId,
    /// What a reader must hold to see it.
    pub(super) labels: Vec<Label>,
    /// What stands in its place for a reader who does not hold such a label.
    pub(super) masks: Vec<(Label, Mask)>,
    /// As the schema says it.
    pub(super) default_json: Option<serde_json::Value>,
    /// The default, and what it costs.
    pub(super) default: Option<(Value, usize)>,
    /// `"name":`, ready to be written.
    pub(super) json_key: Vec<u8>,
}

/// What a field is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is shown.
    Whole,
    /// This is left of it.
    Masked(Mask),
    /// It is absent.
    Withheld,
}

impl FieldShape {
    /// What it is to a holder of these labels. Where several labels are missing, all must leave the same, or nothing is left.
    pub(super) fn sight(&self, held: &BTreeSet<Label>) -> Sight {
        let mut missing = self.labels.iter().filter(|label| !held.contains(*label)).map(|label| self.mask_of(label));
        match missing.next() {
            None => Sight::Whole,
            Some(Some(first)) if missing.all(|mask| mask == Some(first)) => Sight::Masked(first),
            Some(_) => Sight::Withheld,
        }
    }

    fn mask_of(&self, label: &Label) -> Option<Mask> {
        self.masks.iter().find(|(of, _)| of == label).map(|(_, mask)| *mask)
    }
}

impl Shape {
    /// The type at a place of this shape.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All records in it.
    pub(super) fn records(&self) -> impl Iterator<Item = &RecordShape> {
        self.nodes.iter().filter_map(|node| if let Node::Record(record) = node { Some(record) } else { None })
    }
}

impl RecordShape {
    /// The member of a value for the field at a place. Values that we make have their fields in order.
    pub(super) fn member<'v>(&self, members: &'v [(String, Value)], place: usize) -> Option<&'v Value> {
        let name = &self.fields[place].name;
        let in_order = members.get(place).filter(|(own, _)| own == name);
        in_order.or_else(|| members.iter().find(|(own, _)| own == name)).map(|(_, value)| value)
    }
}

impl EnumShape {
    /// Where a word stands.
    pub(super) fn index(&self, symbol: &str) -> Option<u32> {
        self.symbols.iter().position(|own| own == symbol).and_then(|place| u32::try_from(place).ok())
    }
}

impl DecimalShape {
    /// Bytes of a value, where they are fixed.
    pub(super) fn size(&self) -> Option<usize> {
        self.fixed.as_ref().map(|fixed| fixed.size)
    }
}

impl Node {
    /// What it is called, where it is a named type.
    pub(super) fn names(&self) -> Option<&Names> {
        if let Self::Enum(EnumShape { names, .. })
        | Self::Record(RecordShape { names, .. })
        | Self::Fixed(FixedShape { names, .. })
        | Self::Uuid(UuidForm::Fixed(FixedShape { names, .. }))
        | Self::Decimal(DecimalShape { fixed: Some(FixedShape { names, .. }), .. }) = self
        {
            Some(names)
        } else {
            None
        }
    }

    /// Avro's word for the type that is written.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int | Self::Date | Self::TimeMillis => "int",
            Self::Long | Self::TimeMicros | Self::Timestamp(_) | Self::LocalTimestamp(_) => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Uuid(UuidForm::Text) => "string",
            Self::Uuid(UuidForm::Bytes) => "bytes",
            Self::Uuid(UuidForm::Fixed(_)) | Self::Fixed(_) => "fixed",
            Self::Decimal(decimal) => {
                if decimal.fixed.is_some() {
                    "fixed"
                } else {
                    "bytes"
                }
            }
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }

    /// What a producer has to write here, in words.
    pub(super) fn expectation(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Int => "a whole number of 32 bits".to_owned(),
            Self::Long => "a whole number of 64 bits".to_owned(),
            Self::Float | Self::Double => "a number".to_owned(),
            Self::Bytes => "bytes in base64".to_owned(),
            Self::String => "a string".to_owned(),
            Self::Date => "a date YYYY-MM-DD, or days since 1970".to_owned(),
            Self::TimeMillis => "a time HH:MM:SS.sss, or milliseconds of the day".to_owned(),
            Self::TimeMicros => "a time HH:MM:SS.ssssss, or microseconds of the day".to_owned(),
            Self::Timestamp(unit) => format!("an RFC 3339 time, or {} since 1970", unit.word()),
            Self::LocalTimestamp(unit) => format!("a time YYYY-MM-DDTHH:MM:SS, or {} since 1970", unit.word()),
            Self::Uuid(_) => "a UUID".to_owned(),
            Self::Decimal(DecimalShape { precision, scale, .. }) => {
                format!("a decimal as a string, with at most {precision} digits, {scale} of them behind the point")
            }
            Self::Fixed(FixedShape { size, .. }) => format!("{size} bytes in base64"),
            Self::Enum(EnumShape { symbols, .. }) => format!("one of {}", symbols.join(", ")),
            Self::Array(_) => "an array".to_owned(),
            Self::Map(_) | Self::Record(_) => "an object".to_owned(),
            Self::Union(_) => "one of the types of the union".to_owned(),
        }
    }
}
