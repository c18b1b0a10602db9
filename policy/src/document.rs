//! A YAML document as a tree in which every value knows its line, and the questions that are asked of it.
//!
//! In: the text of a file. Out: values of the shape that was asked for. What has another shape goes to the [`Report`], and
//! the asking goes on: that is why this is a tree and not a derived `Deserialize`, which ends at the first problem.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::report::{Located, Place, Report};

/// A value and its line.
#[derive(Debug)]
pub(crate) struct Node {
    line: u64,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

/// Asks a document of one file.
pub(crate) struct Reader<'report> {
    file: Arc<str>,
    report: &'report mut Report,
}

/// A mapping whose keys are all known.
#[derive(Debug)]
pub(crate) struct Fields<'node> {
    /// Where it begins.
    pub(crate) place: Place,
    entries: Vec<(&'node str, &'node Node)>,
}

impl Fields<'_> {
    /// The value of a key; none where it is absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| *node)
    }
}

impl<'report> Reader<'report> {
    /// Parses the text; what is no YAML is one problem, and there is nothing to ask.
    pub(crate) fn open(file: &Arc<str>, text: &str, report: &'report mut Report) -> Option<(Self, Node)> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            strict_booleans: true,
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Node>(text, options) {
            Ok(node) => Some((Self { file: Arc::clone(file), report }, node)),
            Err(error) => {
                let line = error.location().map_or(1, |location| location.line());
                let place = Place { file: Arc::clone(file), line };
                report.add(&place, format!("not YAML: {}", error.without_snippet()));
                None
            }
        }
    }

    pub(crate) fn report(&mut self) -> &mut Report {
        self.report
    }

    pub(crate) fn place(&self, node: &Node) -> Place {
        Place { file: Arc::clone(&self.file), line: node.line }
    }

    fn expected(&mut self, node: &Node, what: &str, shape: &str) {
        let place = self.place(node);
        self.report.add(&place, format!("{what}: {shape} is expected, not {}", node.shape.words()));
    }

    /// A mapping with only these keys; other keys are problems.
    pub(crate) fn fields<'node>(&mut self, node: &'node Node, what: &str, known: &[&str]) -> Option<Fields<'node>> {
        let entries = self.entries(node, what)?;
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.value)) {
            self.report.add(&key.place, format!("unknown key {:?} in {what}; known: {}", key.value, known.join(", ")));
        }
        let entries = entries.into_iter().map(|(key, node)| (key.value, node)).collect();
        Some(Fields { place: self.place(node), entries })
    }

    /// A mapping with any keys; null is the empty one.
    pub(crate) fn entries<'node>(
        &mut self,
        node: &'node Node,
        what: &str,
    ) -> Option<Vec<(Located<&'node str>, &'node Node)>> {
        match &node.shape {
            Shape::Map(entries) => Some(entries.iter().map(|(key, value)| (self.locate(key), value)).collect()),
            Shape::Null => Some(Vec::new()),
            Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::List(_) => {
                self.expected(node, what, "a mapping");
                None
            }
        }
    }

    fn locate<'node>(&self, key: &'node Spanned<String>) -> Located<&'node str> {
        Located { value: &key.value, place: Place { file: Arc::clone(&self.file), line: key.referenced.line() } }
    }

    /// A list; null is the empty one.
    pub(crate) fn list<'node>(&mut self, node: &'node Node, what: &str) -> &'node [Node] {
        match &node.shape {
            Shape::List(items) => items,
            Shape::Null => &[],
            Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Map(_) => {
                self.expected(node, what, "a list");
                &[]
            }
        }
    }

    /// A text. `true` and `false` are taken as the text that they are, because rules are expressions.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<Located<String>> {
        let value = match &node.shape {
            Shape::Text(text) => text.clone(),
            Shape::Bool(flag) => flag.to_string(),
            Shape::Null | Shape::Number(_) | Shape::List(_) | Shape::Map(_) => {
                self.expected(node, what, "a text");
                return None;
            }
        };
        Some(Located { value, place: self.place(node) })
    }

    /// The text that a value is; none where it has another shape, which is no problem.
    pub(crate) fn text_of(&self, node: &Node) -> Option<Located<String>> {
        match &node.shape {
            Shape::Text(text) => Some(Located { value: text.clone(), place: self.place(node) }),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::List(_) | Shape::Map(_) => None,
        }
    }

    /// A list of texts; an item of another shape is a problem.
    pub(crate) fn texts(&mut self, node: &Node, what: &str) -> Vec<Located<String>> {
        let item = format!("an item of {what}");
        self.list(node, what).iter().filter_map(|node| self.text(node, &item)).collect()
    }

    /// The text of a key; a missing key is a problem, too.
    pub(crate) fn required(&mut self, fields: &Fields<'_>, key: &str) -> Option<Located<String>> {
        match fields.get(key) {
            Some(node) => self.text(node, key),
            None => {
                self.report.add(&fields.place, format!("{key} is missing"));
                None
            }
        }
    }

    /// The text of a key, where it is there and not null.
    pub(crate) fn optional(&mut self, fields: &Fields<'_>, key: &str) -> Option<Located<String>> {
        fields.get(key).filter(|node| !matches!(node.shape, Shape::Null)).and_then(|node| self.text(node, key))
    }
}

impl Node {
    /// The same as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.shape {
            Shape::Null => serde_json::Value::Null,
            Shape::Bool(flag) => (*flag).into(),
            Shape::Number(number) => number.clone().into(),
            Shape::Text(text) => text.clone().into(),
            Shape::List(items) => items.iter().map(Self::to_json).collect(),
            Shape::Map(entries) => entries.iter().map(|(key, node)| (key.value.clone(), node.to_json())).collect(),
        }
    }
}

impl Shape {
    fn words(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: shape, referenced, .. } = Spanned::<Shape>::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), shape })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Shape, E> {
        Ok(Shape::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Shape, E> {
        Ok(Shape::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Shape, E> {
        Ok(Shape::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Shape, E> {
        serde_json::Number::from_f64(number).map(Shape::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        Ok(Shape::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Shape::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            nodes.push(entry);
        }
        Ok(Shape::Map(nodes))
    }
}
