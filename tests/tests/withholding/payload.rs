//! Payloads of any shape: their types with labels and masks, their values, and what the plainest code shows of them.
//!
//! In: chance. Out: an Avro schema, Avro bytes written by the foreign library, and the line of JSON that a holder of some labels sees.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use aws_lc_rs::hmac;
use schemas::time::Timestamp;
use serde_json::json;

use super::chance::{Chance, WORDS};

/// The deployment's secret for masks.
pub const MASK_KEY: &[u8] = b"what the pseudonyms of this test are made with";
/// The words of enums.
const SYMBOLS: [&str; 3] = ["RED", "BLUE", "GREEN"];
/// Records within records.
const DEPTH: usize = 2;

pub type Labels = BTreeSet<String>;

#[derive(Debug, Clone)]
pub enum Type {
    Text,
    Long,
    Double,
    Bool,
    Moment,
    /// One of [`SYMBOLS`], under a name of its own.
    Word(String),
    Nullable(Box<Type>),
    /// Null, a text or a number.
    Either,
    List(Box<Type>),
    Map(Box<Type>),
    Record(Record),
}

#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub of: Type,
    pub labels: Vec<String>,
    /// What is left for whom a label is missing, by label.
    pub masks: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Null,
    Text(String),
    Long(i64),
    Double(f64),
    Bool(bool),
    Moment(i64),
    List(Vec<Data>),
    Map(BTreeMap<String, Data>),
    Record(Vec<Data>),
}

/// Draws types; named ones get names of their own.
pub struct Types<'a> {
    pub chance: &'a mut Chance,
    pub labels: &'a [&'static str],
    pub named: usize,
}

impl Types<'_> {
    pub fn field(&mut self, name: String, depth: usize) -> Field {
        let of = self.any(depth);
        let labels: Vec<String> = self.chance.some(self.labels, 3).into_iter().map(str::to_owned).collect();
        let masks = self.masks(&of, &labels);
        Field { name, of, labels, masks }
    }

    fn masks(&mut self, of: &Type, labels: &[String]) -> BTreeMap<String, String> {
        let fitting = masks_of(of);
        match self.chance.below(5) {
            0 | 1 => BTreeMap::new(),
            2 | 3 => {
                let one = self.chance.pick(&fitting);
                labels.iter().map(|label| (label.clone(), one.to_owned())).collect()
            }
            _ => labels.iter().map(|label| (label.clone(), self.chance.pick(&fitting).to_owned())).collect(),
        }
    }

    fn name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what}{}", self.named)
    }

    fn any(&mut self, depth: usize) -> Type {
        let deep = if depth < DEPTH { 14 } else { 9 };
        match self.chance.below(deep) {
            0..3 => Type::Text,
            3 => Type::Long,
            4 => Type::Double,
            5 => Type::Bool,
            6 => Type::Moment,
            7 => Type::Word(self.name("Word")),
            8 => Type::Either,
            9 => Type::Nullable(Box::new(self.not_nullable(depth + 1))),
            10 => Type::List(Box::new(self.any(depth + 1))),
            11 => Type::Map(Box::new(self.any(depth + 1))),
            _ => self.record(depth + 1),
        }
    }

    fn not_nullable(&mut self, depth: usize) -> Type {
        match self.any(depth) {
            Type::Nullable(inner) => *inner,
            Type::Either => Type::Text,
            other @ (Type::Text
            | Type::Long
            | Type::Double
            | Type::Bool
            | Type::Moment
            | Type::Word(_)
            | Type::List(_)
            | Type::Map(_)
            | Type::Record(_)) => other,
        }
    }

    fn record(&mut self, depth: usize) -> Type {
        let name = self.name("Part");
        let fields = 1 + self.chance.below(3);
        Type::Record(Record { name, fields: (0..fields).map(|at| self.field(format!("p{at}"), depth)).collect() })
    }
}

/// The masks that suit a type, as the documentation has them.
fn masks_of(of: &Type) -> Vec<&'static str> {
    match of {
        Type::Text => vec!["null", "last_four", "hash", "truncate:3", "truncate:0"],
        Type::Double => vec!["null", "hash", "truncate:1"],
        Type::Moment => vec!["null", "hash", "truncate:hour", "truncate:day", "truncate:month", "truncate:year"],
        Type::Long | Type::Word(_) | Type::Either => vec!["null", "hash"],
        Type::Bool | Type::Map(_) | Type::Record(_) => vec!["null"],
        Type::Nullable(inner) | Type::List(inner) => masks_of(inner),
    }
}

impl Record {
    /// Every label in it.
    pub fn labels(&self) -> Labels {
        let own = self.fields.iter().flat_map(|field| field.labels.iter().cloned());
        own.chain(self.fields.iter().flat_map(|field| field.of.labels())).collect()
    }

    pub fn avsc(&self) -> serde_json::Value {
        let field = |field: &Field| {
            let mut said = json!({"name": field.name, "type": field.of.avsc()});
            if !field.labels.is_empty() {
                said["labels"] = json!(field.labels);
            }
            if !field.masks.is_empty() {
                said["mask"] = json!(field.masks);
            }
            said
        };
        json!({"type": "record", "name": self.name, "namespace": "w", "fields": self.fields.iter().map(field).collect::<Vec<_>>()})
    }

    pub fn draw(&self, chance: &mut Chance) -> Data {
        Data::Record(self.fields.iter().map(|field| field.of.draw(chance)).collect())
    }

    /// The bytes of a value, by the foreign library.
    pub fn bytes(&self, schema: &Schema, data: &Data) -> Vec<u8> {
        let writer = GenericDatumWriter::builder(schema).build().expect("a writer");
        writer.write_value_to_vec(avro(&Type::Record(self.clone()), data)).expect("a value of the schema")
    }

    /// What a holder of these labels sees, as one line of JSON.
    pub fn shown(&self, data: &Data, held: &Labels, tenant: &str) -> String {
        let Data::Record(values) = data else { panic!("a record") };
        let mut members = Vec::new();
        for (field, value) in self.fields.iter().zip(values) {
            let missing: Vec<Option<&String>> = field
                .labels
                .iter()
                .filter(|label| !held.contains(*label))
                .map(|label| field.masks.get(label))
                .collect();
            let shown = match missing.first() {
                None => shown(&field.of, value, held, tenant),
                Some(Some(mask)) if missing.iter().all(|other| *other == Some(*mask)) => {
                    masked(&field.of, value, mask, tenant)
                }
                Some(_) => continue,
            };
            members.push(format!("{}:{shown}", text(&field.name)));
        }
        format!("{{{}}}", members.join(","))
    }
}

impl Type {
    fn labels(&self) -> Labels {
        match self {
            Self::Record(record) => record.labels(),
            Self::Nullable(inner) | Self::List(inner) | Self::Map(inner) => inner.labels(),
            Self::Text | Self::Long | Self::Double | Self::Bool | Self::Moment | Self::Word(_) | Self::Either => {
                Labels::new()
            }
        }
    }

    fn avsc(&self) -> serde_json::Value {
        match self {
            Self::Text => json!("string"),
            Self::Long => json!("long"),
            Self::Double => json!("double"),
            Self::Bool => json!("boolean"),
            Self::Moment => json!({"type": "long", "logicalType": "timestamp-millis"}),
            Self::Word(name) => json!({"type": "enum", "name": name, "symbols": SYMBOLS}),
            Self::Nullable(inner) => json!(["null", inner.avsc()]),
            Self::Either => json!(["null", "string", "long"]),
            Self::List(items) => json!({"type": "array", "items": items.avsc()}),
            Self::Map(values) => json!({"type": "map", "values": values.avsc()}),
            Self::Record(record) => record.avsc(),
        }
    }

    fn draw(&self, chance: &mut Chance) -> Data {
        let several = |chance: &mut Chance| chance.below(4);
        match self {
            Self::Text if chance.one_in(3) => Data::Text(chance.word()),
            Self::Text => Data::Text(chance.secret()),
            Self::Long => Data::Long(chance.number(-9, 9)),
            Self::Double => Data::Double(chance.fraction()),
            Self::Bool => Data::Bool(chance.one_in(2)),
            Self::Moment => Data::Moment(chance.number(0, 4_000_000_000_000)),
            Self::Word(_) => Data::Text(chance.pick(&SYMBOLS).to_owned()),
            Self::Nullable(_) if chance.one_in(3) => Data::Null,
            Self::Nullable(inner) => inner.draw(chance),
            Self::Either => chance.pick(&[Data::Null, Data::Text(WORDS[0].to_owned()), Data::Long(7)]),
            Self::List(items) => Data::List((0..several(chance)).map(|_| items.draw(chance)).collect()),
            Self::Map(values) => {
                let keys = chance.some(&["k", "l", "a\"b"], 2);
                Data::Map(keys.into_iter().map(|key| (key.to_owned(), values.draw(chance))).collect())
            }
            Self::Record(record) => record.draw(chance),
        }
    }
}

fn avro(of: &Type, data: &Data) -> Value {
    match (of, data) {
        (Type::Nullable(_), Data::Null) | (Type::Either, Data::Null) => Value::Union(0, Box::new(Value::Null)),
        (Type::Nullable(inner), data) => Value::Union(1, Box::new(avro(inner, data))),
        (Type::Either, Data::Text(text)) => Value::Union(1, Box::new(Value::String(text.clone()))),
        (Type::Either, Data::Long(number)) => Value::Union(2, Box::new(Value::Long(*number))),
        (Type::Word(_), Data::Text(word)) => {
            let at = SYMBOLS.iter().position(|symbol| symbol == word).expect("a symbol");
            Value::Enum(u32::try_from(at).expect("few"), word.clone())
        }
        (_, Data::Text(text)) => Value::String(text.clone()),
        (_, Data::Long(number)) => Value::Long(*number),
        (_, Data::Double(number)) => Value::Double(*number),
        (_, Data::Bool(yes)) => Value::Boolean(*yes),
        (_, Data::Moment(millis)) => Value::TimestampMillis(*millis),
        (Type::List(items), Data::List(values)) => {
            Value::Array(values.iter().map(|value| avro(items, value)).collect())
        }
        (Type::Map(of), Data::Map(values)) => {
            Value::Map(values.iter().map(|(key, value)| (key.clone(), avro(of, value))).collect())
        }
        (Type::Record(record), Data::Record(values)) => {
            let members = record.fields.iter().zip(values);
            Value::Record(members.map(|(field, value)| (field.name.clone(), avro(&field.of, value))).collect())
        }
        other => panic!("no value of its type: {other:?}"),
    }
}

pub fn text(text: &str) -> String {
    json!(text).to_string()
}

fn list(open: char, items: Vec<String>, close: char) -> String {
    format!("{open}{}{close}", items.join(","))
}

fn shown(of: &Type, data: &Data, held: &Labels, tenant: &str) -> String {
    match (of, data) {
        (Type::Nullable(_), Data::Null) => "null".to_owned(),
        (Type::Nullable(inner), data) => shown(inner, data, held, tenant),
        (Type::List(items), Data::List(values)) => {
            list('[', values.iter().map(|value| shown(items, value, held, tenant)).collect(), ']')
        }
        (Type::Map(of), Data::Map(values)) => {
            let member = |(key, value): (&String, &Data)| format!("{}:{}", text(key), shown(of, value, held, tenant));
            list('{', values.iter().map(member).collect(), '}')
        }
        (Type::Record(record), data) => record.shown(data, held, tenant),
        (_, data) => plain(data),
    }
}

fn plain(data: &Data) -> String {
    match data {
        Data::Null => "null".to_owned(),
        Data::Text(word) => text(word),
        Data::Long(number) => number.to_string(),
        Data::Double(number) => json!(number).to_string(),
        Data::Bool(yes) => yes.to_string(),
        Data::Moment(millis) => text(&Timestamp::from_millis(*millis).to_string()),
        Data::List(_) | Data::Map(_) | Data::Record(_) => panic!("not plain: {data:?}"),
    }
}

/// What a mask leaves; null stays null, and lists are masked item by item.
fn masked(of: &Type, data: &Data, mask: &str, tenant: &str) -> String {
    match (of, data, mask) {
        (_, Data::Null, _) | (_, _, "null") => "null".to_owned(),
        (Type::Nullable(inner), data, _) => masked(inner, data, mask, tenant),
        (Type::List(items), Data::List(values), _) => {
            list('[', values.iter().map(|value| masked(items, value, mask, tenant)).collect(), ']')
        }
        (_, data, "hash") => text(&pseudonym(tenant, &plain(data))),
        (_, Data::Text(whole), "last_four") => {
            let characters: Vec<char> = whole.chars().collect();
            let left = if characters.len() < 8 { &[][..] } else { &characters[characters.len() - 4..] };
            text(&format!("****{}", left.iter().collect::<String>()))
        }
        (_, Data::Text(whole), "truncate:3") => text(&whole.chars().take(3).collect::<String>()),
        (_, Data::Text(_), "truncate:0") => text(""),
        (_, Data::Double(number), "truncate:1") => json!((number * 10.0).trunc() / 10.0).to_string(),
        (_, Data::Moment(millis), span) => {
            let whole = Timestamp::from_millis(*millis).to_string();
            let (kept, rest) = match span {
                "truncate:hour" => (13, ":00:00.000Z"),
                "truncate:day" => (10, "T00:00:00.000Z"),
                "truncate:month" => (7, "-01T00:00:00.000Z"),
                "truncate:year" => (4, "-01-01T00:00:00.000Z"),
                other => panic!("{other}"),
            };
            text(&format!("{}{rest}", &whole[..kept]))
        }
        other => panic!("no mask of its type: {other:?}"),
    }
}

fn pseudonym(tenant: &str, json: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, MASK_KEY);
    let tag = hmac::sign(&key, format!("{tenant}\0{json}").as_bytes());
    tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
