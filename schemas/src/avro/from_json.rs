//! Plain JSON → value, by a schema: what producers post, and the defaults that schemas hold.
//!
//! JSON enters; a value leaves, or every place where the JSON does not fit. Costs are bounded as in decoding, also those of
//! trying the branches of a union. It never says what a value was, only where it stood and what was expected.

use std::collections::HashMap;

use apache_avro::types::Value;
use serde_json::{Map, Value as Json};

use crate::limits;

use super::Mismatch;
use super::budget::{Budget, MEMBER_COST, Overspent, VALUE_COST};
use super::scalar::{self, Spelling};
use super::shape::{FieldShape, Node, NodeId, RecordShape, Shape};

/// Reads a payload.
pub(super) fn payload(shape: &Shape, json: &Json) -> Result<Value, Vec<Mismatch>> {
    let mut budget = Budget::of_one_value();
    let mut reader = Reader::new(shape, Spelling::Payload, &mut budget);
    let value = reader.value(json, shape.root);
    match value {
        Some(value) if reader.mismatches.is_empty() => Ok(value),
        Some(_) | None => Err(reader.mismatches),
    }
}

/// Reads the default of a field; none where it does not fit.
pub(super) fn default(shape: &Shape, node: NodeId, json: &Json, budget: &mut Budget) -> Option<Value> {
    Reader::new(shape, Spelling::Default, budget).value(json, node)
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Name(&'a str),
    Index(usize),
}

struct Reader<'a> {
    shape: &'a Shape,
    spelling: Spelling,
    budget: &'a mut Budget,
    path: Vec<Segment<'a>>,
    mismatches: Vec<Mismatch>,
    /// The budget is spent: nothing more is looked at.
    stopped: bool,
}

impl<'a> Reader<'a> {
    fn new(shape: &'a Shape, spelling: Spelling, budget: &'a mut Budget) -> Self {
        Self { shape, spelling, budget, path: Vec::new(), mismatches: Vec::new(), stopped: false }
    }

    /// None where it does not fit; why is then noted.
    fn value(&mut self, json: &'a Json, id: NodeId) -> Option<Value> {
        self.pay(VALUE_COST)?;
        let node = self.shape.node(id);
        match (node, json) {
            (Node::Union(branches), json) => self.union(branches, json),
            (Node::Record(record), Json::Object(members)) => self.nested(|reader| reader.record(record, members)),
            (Node::Map(values), Json::Object(members)) => self.nested(|reader| reader.map(*values, members)),
            (Node::Array(items), Json::Array(values)) => self.nested(|reader| reader.array(*items, values)),
            (node, json) => {
                self.pay(json.as_str().map_or(0, str::len))?;
                let value = scalar::read(node, json, self.spelling);
                if value.is_none() {
                    self.note(format!("expected {}", node.expectation()));
                }
                value
            }
        }
    }

    fn record(&mut self, record: &'a RecordShape, members: &'a Map<String, Json>) -> Option<Value> {
        self.pay(record.fields.len() * MEMBER_COST)?;
        let mut values = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            self.pay(field.name.len())?;
            let value = self.at(Segment::Name(&field.name), |reader| match members.get(&field.name) {
                Some(json) => reader.value(json, field.node),
                None => reader.absent(field),
            });
            values.extend(value.map(|value| (field.name.clone(), value)));
        }
        for name in members.keys().filter(|name| !record.places.contains_key(*name)) {
            self.at(Segment::Name(name), |reader| reader.note("there is no such field".to_owned()));
        }
        (values.len() == record.fields.len()).then_some(Value::Record(values))
    }

    /// What a field is that the JSON does not have: its default, else null where it may be.
    fn absent(&mut self, field: &'a FieldShape) -> Option<Value> {
        if let Some((value, cost)) = &field.default {
            self.pay(*cost)?;
            return Some(value.clone());
        }
        match (&field.default_json, self.shape.node(field.node)) {
            (Some(json), _) => self.value(json, field.node), // while defaults are being prepared
            (None, Node::Union(branches)) if self.null_branch(branches).is_some() => {
                self.value(&Json::Null, field.node)
            }
            (None, _) => {
                self.note("it is required".to_owned());
                None
            }
        }
    }

    fn map(&mut self, values: NodeId, members: &'a Map<String, Json>) -> Option<Value> {
        let mut read = HashMap::new();
        for (name, json) in members {
            self.pay(MEMBER_COST + name.len())?;
            let value = self.at(Segment::Name(name), |reader| reader.value(json, values));
            read.extend(value.map(|value| (name.clone(), value)));
        }
        (read.len() == members.len()).then_some(Value::Map(read))
    }

    fn array(&mut self, items: NodeId, values: &'a [Json]) -> Option<Value> {
        let mut read = Vec::new();
        for (index, json) in values.iter().enumerate() {
            read.extend(self.at(Segment::Index(index), |reader| reader.value(json, items)));
            if self.stopped {
                return None;
            }
        }
        (read.len() == values.len()).then_some(Value::Array(read))
    }

    /// The first branch that fits. Where only one can be meant, its own mismatches are told.
    fn union(&mut self, branches: &'a [NodeId], json: &'a Json) -> Option<Value> {
        let meant: Vec<usize> =
            (0..branches.len()).filter(|at| could_fit(self.shape.node(branches[*at]), json)).collect();
        let others: Vec<usize> = (0..branches.len()).filter(|at| Some(*at) != self.null_branch(branches)).collect();
        match (&meant[..], &others[..]) {
            ([only], _) | ([], [only]) => self.branch(branches, *only, json),
            _ => meant.iter().find_map(|at| self.try_branch(branches, *at, json)).or_else(|| {
                self.note("no type of the union fits".to_owned());
                None
            }),
        }
    }

    fn branch(&mut self, branches: &'a [NodeId], at: usize, json: &'a Json) -> Option<Value> {
        let inner = self.value(json, branches[at])?;
        Some(Value::Union(u32::try_from(at).ok()?, Box::new(inner)))
    }

    fn try_branch(&mut self, branches: &'a [NodeId], at: usize, json: &'a Json) -> Option<Value> {
        let noted = self.mismatches.len();
        let value = self.branch(branches, at, json).filter(|_| self.mismatches.len() == noted);
        if !self.stopped {
            self.mismatches.truncate(noted);
        }
        value
    }

    fn null_branch(&self, branches: &[NodeId]) -> Option<usize> {
        branches.iter().position(|branch| matches!(self.shape.node(*branch), Node::Null))
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        let entered = self.budget.enter();
        self.within_budget(entered)?;
        let value = read(self);
        self.budget.leave();
        value
    }

    fn at<T>(&mut self, segment: Segment<'a>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let read = read(self);
        self.path.pop();
        read
    }

    fn pay(&mut self, bytes: usize) -> Option<()> {
        let paid = self.budget.pay(bytes);
        self.within_budget(paid)
    }

    fn within_budget(&mut self, spent: Result<(), Overspent>) -> Option<()> {
        if self.stopped {
            return None;
        }
        spent
            .map_err(|overspent| {
                self.note(overspent.to_string());
                self.stopped = true;
            })
            .ok()
    }

    fn note(&mut self, detail: String) {
        if self.mismatches.len() < limits::MISMATCHES {
            self.mismatches.push(Mismatch { pointer: pointer(&self.path), detail });
        }
    }
}

/// Whether a branch of a union can be meant by JSON of this type.
fn could_fit(node: &Node, json: &Json) -> bool {
    match json {
        Json::Null => matches!(node, Node::Null),
        Json::Bool(_) => matches!(node, Node::Boolean),
        Json::Array(_) => matches!(node, Node::Array(_)),
        Json::Object(_) => matches!(node, Node::Record(_) | Node::Map(_)),
        Json::Number(_) | Json::String(_) => {
            !matches!(node, Node::Null | Node::Boolean | Node::Array(_) | Node::Record(_) | Node::Map(_))
        }
    }
}

/// RFC 6901.
fn pointer(path: &[Segment<'_>]) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Name(name) => format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
        Segment::Index(index) => format!("{pointer}/{index}"),
    })
}
