//! Rules and filters twice: as CEL, and as code that anybody can follow.
//!
//! A term is true, false, or fails; `&&` and `||` pass over a failure where the other side decides, as CEL says.

use serde_json::Value;

use super::chance::Chance;
use super::payload::text;

/// What a rule looks at.
pub struct Scope<'a> {
    /// The payload, or what a reader sees of it.
    pub data: &'a Value,
    pub event_type: &'a str,
    /// The lane that was wished for, in a rule; the event's own, in a filter.
    pub lane: Option<&'a str>,
    pub channel_id: &'a str,
}

/// The names under which rules and filters find the same.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub data: &'static str,
    pub lane: &'static str,
}

pub const IN_RULES: Names = Names { data: "payload", lane: "event.priority" };
pub const IN_FILTERS: Names = Names { data: "data", lane: "event.lane" };

pub type Path = Vec<String>;

#[derive(Debug, Clone)]
pub enum Term {
    Is(Path, String),
    Above(Path, i32),
    True(Path),
    Has(Path, String),
    Longer(Path, usize),
    At(Path, String, String),
    /// What stands in a mapping under a text of the payload: a failure knows that text.
    Under(Path, Path, String),
    TypeIs(String),
    LaneIs(String),
    ChannelIs(String),
    Not(Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
}

/// What a term may ask about.
pub struct Known<'a> {
    pub texts: &'a [Path],
    pub longs: &'a [Path],
    pub flags: &'a [Path],
    pub lists: &'a [Path],
    pub maps: &'a [Path],
    pub types: &'a [String],
    pub channel_ids: &'a [&'static str],
    /// Words that the asker may have guessed.
    pub guesses: &'a [String],
}

impl Term {
    pub fn draw(chance: &mut Chance, known: &Known<'_>, depth: usize) -> Self {
        let again = |chance: &mut Chance| Box::new(Self::draw(chance, known, depth + 1));
        let word = |chance: &mut Chance| if chance.one_in(4) { chance.pick(known.guesses) } else { chance.word() };
        match chance.below(if depth < 2 { 13 } else { 9 }) {
            0 if chance.one_in(2) => Self::Under(chance.pick(known.maps), chance.pick(known.texts), word(chance)),
            0 => Self::At(chance.pick(known.maps), "k".to_owned(), word(chance)),
            1 | 2 => Self::Is(chance.pick(known.texts), word(chance)),
            3 => Self::Above(chance.pick(known.longs), chance.pick(&[-8, -2, 0, 3, 7])),
            4 => Self::True(chance.pick(known.flags)),
            5 => Self::Has(chance.pick(known.lists), word(chance)),
            6 => Self::Longer(chance.pick(known.lists), chance.below(3)),
            7 => Self::TypeIs(chance.pick(known.types)),
            8 if chance.one_in(2) => Self::LaneIs(chance.pick(&["high", "medium", "low"]).to_owned()),
            8 => Self::ChannelIs(chance.pick(known.channel_ids).to_owned()),
            9 => Self::Not(Box::new(Self::Is(chance.pick(known.texts), word(chance)))),
            10 | 11 => Self::And(again(chance), again(chance)),
            _ => Self::Or(again(chance), again(chance)),
        }
    }

    pub fn cel(&self, names: Names) -> String {
        let at = |path: &Path| format!("{}.{}", names.data, path.join("."));
        match self {
            Self::Is(path, word) => format!("{} == {}", at(path), text(word)),
            Self::Above(path, number) => format!("{} > {number}", at(path)),
            Self::True(path) => format!("{} == true", at(path)),
            Self::Has(path, word) => format!("{} in {}", text(word), at(path)),
            Self::Longer(path, length) => format!("size({}) > {length}", at(path)),
            Self::At(path, key, word) => format!("{}[{}] == {}", at(path), text(key), text(word)),
            Self::Under(path, key, word) => format!("{}[{}] == {}", at(path), at(key), text(word)),
            Self::TypeIs(name) => format!("event.type == {}", text(name)),
            Self::LaneIs(lane) => format!("{} == {}", names.lane, text(lane)),
            Self::ChannelIs(id) => format!("channel.id == {}", text(id)),
            Self::Not(term) => format!("!({})", term.cel(names)),
            Self::And(one, other) => format!("({}) && ({})", one.cel(names), other.cel(names)),
            Self::Or(one, other) => format!("({}) || ({})", one.cel(names), other.cel(names)),
        }
    }

    /// None where it fails.
    pub fn holds(&self, scope: &Scope<'_>) -> Option<bool> {
        match self {
            Self::Is(path, word) => Some(at(scope.data, path)? == word),
            Self::Above(path, number) => Some(at(scope.data, path)?.as_f64()? > f64::from(*number)),
            Self::True(path) => Some(at(scope.data, path)? == true),
            Self::Has(path, word) => has(at(scope.data, path)?, word),
            Self::Longer(path, length) => Some(size(at(scope.data, path)?)? > *length),
            Self::At(path, key, word) => Some(at(scope.data, path)?.as_object()?.get(key)? == word),
            Self::Under(path, key, word) => {
                let key = at(scope.data, key)?.as_str()?;
                Some(at(scope.data, path)?.as_object()?.get(key)? == word)
            }
            Self::TypeIs(name) => Some(scope.event_type == name),
            Self::LaneIs(lane) => Some(scope.lane == Some(lane.as_str())),
            Self::ChannelIs(id) => Some(scope.channel_id == id),
            Self::Not(term) => Some(!term.holds(scope)?),
            Self::And(one, other) => match (one.holds(scope), other.holds(scope)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                (None, _) | (_, None) => None,
            },
            Self::Or(one, other) => match (one.holds(scope), other.holds(scope)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                (None, _) | (_, None) => None,
            },
        }
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => Some(members.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn has(value: &Value, word: &str) -> Option<bool> {
    match value {
        Value::Array(items) => Some(items.iter().any(|item| item == word)),
        Value::Object(members) => Some(members.contains_key(word)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn at<'a>(data: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(data, |value, name| value.as_object()?.get(name))
}

/// Texts that a rule gives.
#[derive(Debug, Clone)]
pub enum Texts {
    Null,
    Words(Vec<String>),
    Field(Path),
}

/// One of two, by a term.
#[derive(Debug, Clone)]
pub struct Choice {
    pub when: Option<Term>,
    pub then: Texts,
    pub otherwise: Texts,
}

/// A rule fails on this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fails;

impl Choice {
    pub fn cel(&self) -> String {
        match &self.when {
            None => self.then.cel(),
            Some(when) => format!("({}) ? {} : {}", when.cel(IN_RULES), self.then.cel(), self.otherwise.cel()),
        }
    }

    /// The texts, sorted, each once; none is null.
    pub fn give(&self, scope: &Scope<'_>) -> Result<Option<Vec<String>>, Fails> {
        let texts = match &self.when {
            None => &self.then,
            Some(when) if when.holds(scope).ok_or(Fails)? => &self.then,
            Some(_) => &self.otherwise,
        };
        let mut given = match texts {
            Texts::Null => return Ok(None),
            Texts::Words(words) => words.clone(),
            Texts::Field(path) => match at(scope.data, path).ok_or(Fails)? {
                Value::Null => return Ok(None),
                Value::String(word) => vec![word.clone()],
                Value::Array(items) => {
                    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(Fails)).collect::<Result<_, _>>()?
                }
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(Fails),
            },
        };
        given.sort();
        given.dedup();
        Ok(Some(given))
    }
}

impl Texts {
    fn cel(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Words(words) => match &words[..] {
                [one] => text(one),
                words => format!("[{}]", words.iter().map(|word| text(word)).collect::<Vec<_>>().join(", ")),
            },
            Self::Field(path) => format!("payload.{}", path.join(".")),
        }
    }
}
