//! A value of the writer's schema → a value of the reader's, by Avro's rules of schema resolution.
//!
//! Values are moved, not copied. Besides Avro's rules, timestamps of different units are converted: read as they stand they
//! would be off by a thousand times.

use std::collections::HashMap;

use apache_avro::types::Value;

use super::DecodeError;
use super::budget::{Budget, MEMBER_COST, VALUE_COST};
use super::promote::promote;
use super::shape::{EnumShape, FieldShape, Names, Node, NodeId, RecordShape, Shape};

/// Resolves a value of the writer's schema to the reader's.
pub(super) fn resolve(value: Value, writer: &Shape, reader: &Shape, budget: &mut Budget) -> Result<Value, DecodeError> {
    Resolver { writer, reader, budget }.value(value, writer.root, reader.root)
}

/// How well a writer's type fits a branch of a reader's union; the best comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Same,
    OtherNamespace,
    Promoted,
}

struct Resolver<'a> {
    writer: &'a Shape,
    reader: &'a Shape,
    budget: &'a mut Budget,
}

impl Resolver<'_> {
    fn value(&mut self, value: Value, from: NodeId, to: NodeId) -> Result<Value, DecodeError> {
        let (writer, reader) = (self.writer, self.reader);
        match (writer.node(from), reader.node(to), value) {
            (Node::Union(branches), _, Value::Union(index, inner)) => {
                let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
                let branch = *branch.ok_or_else(|| DecodeError::undecodable("a union has no such branch"))?;
                self.value(*inner, branch, to)
            }
            (_, Node::Union(branches), value) => self.union(value, from, branches),
            (Node::Record(theirs), Node::Record(ours), Value::Record(members)) => self.record(members, theirs, ours),
            (Node::Array(theirs), Node::Array(ours), Value::Array(items)) => {
                let items = items.into_iter().map(|item| self.value(item, *theirs, *ours));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            (Node::Map(theirs), Node::Map(ours), Value::Map(members)) => {
                let members = members
                    .into_iter()
                    .map(|(name, value)| Ok((name, self.value(value, *theirs, *ours)?)))
                    .collect::<Result<HashMap<_, _>, DecodeError>>()?;
                Ok(Value::Map(members))
            }
            (Node::Enum(theirs), Node::Enum(ours), Value::Enum(_, symbol)) => symbol_of(symbol, theirs, ours),
            (theirs @ Node::Fixed(_), ours @ Node::Fixed(_), value) => {
                fit(theirs, ours).map(|_| value).ok_or_else(|| DecodeError::mismatch(differ(theirs, ours)))
            }
            (theirs, ours, value) => {
                promote(value, theirs, ours).ok_or_else(|| DecodeError::mismatch(differ(theirs, ours)))
            }
        }
    }

    fn union(&mut self, value: Value, from: NodeId, branches: &[NodeId]) -> Result<Value, DecodeError> {
        let theirs = self.writer.node(from);
        let fits =
            branches.iter().enumerate().filter_map(|(at, to)| fit(theirs, self.reader.node(*to)).map(|fit| (fit, at)));
        let (_, at) = fits.min().ok_or_else(|| {
            DecodeError::mismatch(format_args!("no branch of the catalogue's union takes {}", theirs.kind()))
        })?;
        self.budget.pay(VALUE_COST)?;
        let inner = self.value(value, from, branches[at])?;
        Ok(Value::Union(u32::try_from(at).unwrap_or(u32::MAX), Box::new(inner)))
    }

    fn record(
        &mut self,
        mut members: Vec<(String, Value)>,
        theirs: &RecordShape,
        ours: &RecordShape,
    ) -> Result<Value, DecodeError> {
        check_names(&theirs.names, &ours.names)?;
        let mut resolved = Vec::with_capacity(ours.fields.len());
        for (place, field) in ours.fields.iter().enumerate() {
            let from = theirs_of(field, place, theirs);
            let value = match from.and_then(|from| Some((from, members.get_mut(from)?))) {
                Some((from, (_, value))) => {
                    let value = std::mem::replace(value, Value::Null);
                    self.value(value, theirs.fields[from].node, field.node)
                        .map_err(|error| error.within(&field.name))?
                }
                None => self.default(field)?,
            };
            resolved.push((field.name.clone(), value));
        }
        Ok(Value::Record(resolved))
    }

    fn default(&mut self, field: &FieldShape) -> Result<Value, DecodeError> {
        let (value, cost) = field.default.as_ref().ok_or_else(|| {
            DecodeError::mismatch(format_args!("{}: the writer has no such field, and it has no default", field.name))
        })?;
        self.budget.pay(MEMBER_COST + field.name.len() + cost)?;
        Ok(value.clone())
    }
}

/// Where the writer has a field of ours: mostly in the same place.
fn theirs_of(field: &FieldShape, place: usize, theirs: &RecordShape) -> Option<usize> {
    if theirs.fields.get(place).is_some_and(|own| own.name == field.name) {
        return Some(place);
    }
    std::iter::once(&field.name).chain(&field.aliases).find_map(|name| theirs.places.get(name).copied())
}

fn same_name(theirs: &Names, ours: &Names) -> bool {
    theirs.short == ours.short || ours.aliases.iter().any(|alias| *alias == theirs.full || *alias == theirs.short)
}

fn check_names(theirs: &Names, ours: &Names) -> Result<(), DecodeError> {
    if same_name(theirs, ours) {
        return Ok(());
    }
    Err(DecodeError::mismatch(format_args!("it is {}, and the catalogue has {}", theirs.full, ours.full)))
}

fn symbol_of(symbol: String, theirs: &EnumShape, ours: &EnumShape) -> Result<Value, DecodeError> {
    check_names(&theirs.names, &ours.names)?;
    let known = ours.index(&symbol).map(|index| (index, symbol));
    let default = || ours.default.as_ref().and_then(|default| Some((ours.index(default)?, default.clone())));
    known
        .or_else(default)
        .map(|(index, symbol)| Value::Enum(index, symbol))
        .ok_or_else(|| DecodeError::mismatch(format_args!("{} has no such symbol, and no default", ours.names.full)))
}

fn fit(theirs: &Node, ours: &Node) -> Option<Fit> {
    let named = |theirs: &Names, ours: &Names| match theirs.full == ours.full {
        true => Some(Fit::Same),
        false => same_name(theirs, ours).then_some(Fit::OtherNamespace),
    };
    match (theirs, ours) {
        (Node::Record(theirs), Node::Record(ours)) => named(&theirs.names, &ours.names),
        (Node::Enum(theirs), Node::Enum(ours)) => named(&theirs.names, &ours.names),
        (Node::Fixed(theirs), Node::Fixed(ours)) if theirs.size == ours.size => named(&theirs.names, &ours.names),
        (Node::Fixed(_), Node::Fixed(_)) => None,
        (theirs, ours) => match (theirs.kind(), ours.kind()) {
            (theirs, ours) if theirs == ours => Some(Fit::Same),
            ("int", "long" | "float" | "double") | ("long", "float" | "double") | ("float", "double") => {
                Some(Fit::Promoted)
            }
            ("string", "bytes") | ("bytes", "string") => Some(Fit::Promoted),
            _ => None,
        },
    }
}

fn differ(theirs: &Node, ours: &Node) -> String {
    let (theirs, ours) = (theirs.kind(), ours.kind());
    if theirs == ours {
        return format!("the {theirs} is not one that the catalogue takes");
    }
    format!("it is {theirs}, and the catalogue has {ours}")
}
