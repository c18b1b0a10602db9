//! A schema's text → what apache-avro parses → [`Shape`].
//!
//! Texts from a registry are not trusted: length, nesting and defaults are bounded before the parser sees them. Labels that
//! cannot be read refuse the schema, because a field without its labels would be shown to everyone.

use std::collections::{HashMap, HashSet};

use apache_avro::Schema;
use apache_avro::schema::{
    Alias, DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, UuidSchema,
};
use serde_json::Value as Json;

use crate::id::Label;
use crate::json_line::put_string;
use crate::limits;

use super::SchemaError;
use super::budget::{Budget, cost_of};
use super::from_json;
use super::layout::layout;
use super::mask::Mask;
use super::moment::Unit;
use super::shape::{
    DecimalShape, EnumShape, FieldShape, FixedShape, Names, Node, NodeId, RecordShape, Shape, UuidForm,
};

/// Parses a text that is not trusted.
pub(super) fn parse(text: &str) -> Result<Schema, SchemaError> {
    if text.len() > limits::SCHEMA_BYTES {
        return Err(SchemaError::of(format_args!("it has more than {} bytes", limits::SCHEMA_BYTES)));
    }
    let json: Json = serde_json::from_str(text).map_err(SchemaError::of)?;
    if nesting(&json) > limits::VALUE_DEPTH {
        return Err(SchemaError::of(format_args!("its JSON is nested deeper than {}", limits::VALUE_DEPTH)));
    }
    if default_objects(&json) > limits::SCHEMA_DEFAULT_OBJECTS {
        let limit = limits::SCHEMA_DEFAULT_OBJECTS;
        return Err(SchemaError::of(format_args!("its defaults hold more than {limit} objects")));
    }
    Schema::parse(&json).map_err(SchemaError::of)
}

/// Makes a parsed schema ready for work.
pub(super) fn compile(schema: &Schema) -> Result<Shape, SchemaError> {
    let mut compiler = Compiler::default();
    let root = compiler.add(schema)?;
    let layout = layout(&compiler.nodes, root);
    let mut shape = Shape { nodes: compiler.nodes, root, recursive: compiler.recursive, layout };
    check_masks(&shape)?;
    prepare_defaults(&mut shape)?;
    Ok(shape)
}

/// What a mask can be applied to is known once all types are.
fn check_masks(shape: &Shape) -> Result<(), SchemaError> {
    let unfit = |field: &&FieldShape| field.masks.iter().any(|(_, mask)| !mask.suits(shape, field.node));
    match shape.records().flat_map(|record| &record.fields).find(unfit) {
        Some(field) => Err(SchemaError::in_field(&field.name, "the mask does not suit the type")),
        None => Ok(()),
    }
}

fn nesting(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Json::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}

/// Objects within all values of `default`. Each may be a record whose own defaults are filled in, so that they multiply
/// where they are in one another; an empty one for a map is none.
fn default_objects(json: &Json) -> usize {
    match json {
        Json::Array(items) => items.iter().map(default_objects).sum(),
        Json::Object(members) => {
            let of_map = members.get("type").and_then(|kind| kind.get("type")).is_some_and(|kind| kind == "map");
            let own = members.get("default").map_or(0, objects).saturating_sub(of_map.into());
            own + members
                .iter()
                .filter(|(name, _)| *name != "default")
                .map(|(_, value)| default_objects(value))
                .sum::<usize>()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}

fn objects(json: &Json) -> usize {
    match json {
        Json::Array(items) => items.iter().map(objects).sum(),
        Json::Object(members) => 1 + members.values().map(objects).sum::<usize>(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}

#[derive(Debug, Default)]
struct Compiler {
    nodes: Vec<Node>,
    names: HashMap<String, NodeId>,
    /// Records whose fields are being added: a reference to one of them closes a circle.
    open: HashSet<usize>,
    recursive: bool,
}

impl Compiler {
    fn add(&mut self, schema: &Schema) -> Result<NodeId, SchemaError> {
        if let Schema::Ref { name } = schema {
            return self.refer(name);
        }
        if let Schema::Record(record) = schema {
            return self.add_record(record);
        }
        let node = self.node(schema)?;
        let id = NodeId(self.nodes.len());
        if let Some(names) = node.names() {
            register(&mut self.names, names, id)?;
        }
        self.nodes.push(node);
        Ok(id)
    }

    fn refer(&mut self, name: &Name) -> Result<NodeId, SchemaError> {
        let full = name.fullname(None);
        let id = *self.names.get(&full).ok_or_else(|| SchemaError::of(format_args!("{full} is not defined")))?;
        self.recursive |= self.open.contains(&id.0);
        Ok(id)
    }

    fn node(&mut self, schema: &Schema) -> Result<Node, SchemaError> {
        Ok(match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int => Node::Int,
            Schema::Long => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes | Schema::BigDecimal => Node::Bytes,
            Schema::String => Node::String,
            Schema::Date => Node::Date,
            Schema::TimeMillis => Node::TimeMillis,
            Schema::TimeMicros => Node::TimeMicros,
            Schema::TimestampMillis => Node::Timestamp(Unit::Millis),
            Schema::TimestampMicros => Node::Timestamp(Unit::Micros),
            Schema::TimestampNanos => Node::Timestamp(Unit::Nanos),
            Schema::LocalTimestampMillis => Node::LocalTimestamp(Unit::Millis),
            Schema::LocalTimestampMicros => Node::LocalTimestamp(Unit::Micros),
            Schema::LocalTimestampNanos => Node::LocalTimestamp(Unit::Nanos),
            Schema::Uuid(UuidSchema::String) => Node::Uuid(UuidForm::Text),
            Schema::Uuid(UuidSchema::Bytes) => Node::Uuid(UuidForm::Bytes),
            Schema::Uuid(UuidSchema::Fixed(schema)) => Node::Uuid(UuidForm::Fixed(fixed(schema))),
            Schema::Fixed(schema) | Schema::Duration(schema) => Node::Fixed(fixed(schema)),
            Schema::Decimal(schema) => Node::Decimal(decimal(schema)?),
            Schema::Enum(schema) => Node::Enum(enumeration(schema)),
            Schema::Array(schema) => Node::Array(self.add(&schema.items)?),
            Schema::Map(schema) => Node::Map(self.add(&schema.types)?),
            Schema::Union(schema) => {
                Node::Union(schema.variants().iter().map(|branch| self.add(branch)).collect::<Result<_, _>>()?)
            }
            Schema::Record(_) | Schema::Ref { .. } => return Err(SchemaError::of("a type stands where it cannot")),
        })
    }

    fn add_record(&mut self, record: &RecordSchema) -> Result<NodeId, SchemaError> {
        let names = names(&record.name, record.aliases.as_deref());
        let id = NodeId(self.nodes.len());
        register(&mut self.names, &names, id)?;
        self.nodes.push(Node::Null); // until its fields are known
        self.open.insert(id.0);
        let fields = record.fields.iter().map(|field| self.field(field)).collect::<Result<Vec<_>, _>>()?;
        self.open.remove(&id.0);
        let places = fields.iter().enumerate().map(|(place, field)| (field.name.clone(), place)).collect();
        self.nodes[id.0] = Node::Record(RecordShape { names, fields, places });
        Ok(id)
    }

    fn field(&mut self, field: &RecordField) -> Result<FieldShape, SchemaError> {
        let mut json_key = Vec::with_capacity(field.name.len() + 3);
        put_string(&field.name, &mut json_key);
        json_key.push(b':');
        let labels = labels(field)?;
        Ok(FieldShape {
            name: field.name.clone(),
            aliases: field.aliases.clone(),
            node: self.add(&field.schema)?,
            masks: masks(field, &labels)?,
            labels,
            default_json: field.default.clone(),
            default: None,
            json_key,
        })
    }
}

fn register(all: &mut HashMap<String, NodeId>, names: &Names, id: NodeId) -> Result<(), SchemaError> {
    if all.insert(names.full.clone(), id).is_some() {
        return Err(SchemaError::of(format_args!("{} is defined twice", names.full)));
    }
    for alias in &names.aliases {
        all.entry(alias.clone()).or_insert(id);
    }
    Ok(())
}

fn names(name: &Name, aliases: Option<&[Alias]>) -> Names {
    let both = |alias: &Alias| [alias.fullname(None), alias.name().to_owned()];
    Names {
        full: name.fullname(None),
        short: name.name().to_owned(),
        aliases: aliases.unwrap_or_default().iter().flat_map(both).collect(),
    }
}

fn fixed(schema: &FixedSchema) -> FixedShape {
    FixedShape { names: names(&schema.name, schema.aliases.as_deref()), size: schema.size }
}

fn enumeration(schema: &EnumSchema) -> EnumShape {
    EnumShape {
        names: names(&schema.name, schema.aliases.as_deref()),
        symbols: schema.symbols.clone(),
        default: schema.default.clone(),
    }
}

fn decimal(schema: &DecimalSchema) -> Result<DecimalShape, SchemaError> {
    if schema.precision > limits::DECIMAL_DIGITS {
        return Err(SchemaError::of(format_args!("a decimal has more than {} digits", limits::DECIMAL_DIGITS)));
    }
    let fixed = match &schema.inner {
        InnerDecimalSchema::Bytes => None,
        InnerDecimalSchema::Fixed(schema) => Some(fixed(schema)),
    };
    Ok(DecimalShape { precision: schema.precision, scale: schema.scale, fixed })
}

fn labels(field: &RecordField) -> Result<Vec<Label>, SchemaError> {
    let Some(property) = field.custom_attributes.get("labels") else {
        return Ok(Vec::new());
    };
    let words: Option<Vec<&str>> = property.as_array().and_then(|words| words.iter().map(Json::as_str).collect());
    let parsed = words.and_then(|words| words.into_iter().map(|word| Label::parse(word).ok()).collect());
    parsed.ok_or_else(|| SchemaError::of(format_args!("the labels of the field {} are no list of labels", field.name)))
}

/// A word for all labels of the field, or a word for each.
fn masks(field: &RecordField, labels: &[Label]) -> Result<Vec<(Label, Mask)>, SchemaError> {
    let fail = |problem: &str| Err(SchemaError::in_field(&field.name, problem));
    let words: Vec<(&str, &Json)> = match field.custom_attributes.get("mask") {
        None => return Ok(Vec::new()),
        Some(Json::Object(words)) => words.iter().map(|(label, word)| (label.as_str(), word)).collect(),
        Some(word) => labels.iter().map(|label| (label.as_str(), word)).collect(),
    };
    if words.is_empty() {
        return fail("a mask needs labels beside it");
    }
    let mut masks = Vec::new();
    for (label, word) in words {
        let Some(mask) = word.as_str().and_then(Mask::parse) else {
            return fail("a mask is null, last_four, hash, truncate:<0 to 8> or truncate:<hour|day|month|year>");
        };
        let Some(label) = labels.iter().find(|own| own.as_str() == label) else {
            return fail("a mask is for a label that the field does not carry");
        };
        masks.push((label.clone(), mask));
    }
    Ok(masks)
}

/// Turns the defaults' JSON into values, once all types are known.
fn prepare_defaults(shape: &mut Shape) -> Result<(), SchemaError> {
    let mut budget = Budget::of_one_value();
    let mut prepared = Vec::new();
    for (at, node) in shape.nodes.iter().enumerate() {
        let Node::Record(record) = node else { continue };
        for (place, field) in record.fields.iter().enumerate() {
            let Some(json) = &field.default_json else { continue };
            let unfit = || SchemaError::of(format_args!("the default of the field {} does not fit", field.name));
            let value = from_json::default(shape, field.node, json, &mut budget).ok_or_else(unfit)?;
            prepared.push((at, place, value));
        }
    }
    for (at, place, value) in prepared {
        if let Node::Record(record) = &mut shape.nodes[at] {
            let cost = cost_of(&value);
            record.fields[place].default = Some((value, cost));
        }
    }
    Ok(())
}
