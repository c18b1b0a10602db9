//! What a kind of channel tells of its people: the type of event that says who is there, who types, who has read what.
//!
//! In: a kind's declaration and its catalogue's types. Out: for each matter its [`Telling`], whose schema was shown to take what an edge
//! writes. It decides nothing about rights: an event that tells is planned like any other.

use std::collections::{BTreeMap, BTreeSet};

use schemas::id::EventType;
use serde_json::{Map, Value, json};

use crate::event_rule::TypePolicy;
use crate::report::{Located, Report};

/// What may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matter {
    /// How a user is: online, away, busy or offline.
    Presence,
    /// A user types.
    Typing,
    /// A user looks at something.
    Viewing,
    /// Somebody is there, or nobody is any more.
    Occupancy,
    /// A user has received or read something.
    Receipts,
}

/// How a matter is told in the channels of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    event_type: EventType,
    /// The fields of its record.
    fields: BTreeSet<String>,
}

/// All that a kind tells.
pub(crate) type Tellings = BTreeMap<Matter, Telling>;

/// What a kind declares that it tells.
pub(crate) type DeclaredTellings = Vec<(Matter, Located<EventType>)>;

impl Matter {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Presence, Self::Typing, Self::Viewing, Self::Occupancy, Self::Receipts];

    /// As a catalogue names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Typing => "typing",
            Self::Viewing => "viewing",
            Self::Occupancy => "occupancy",
            Self::Receipts => "receipts",
        }
    }

    /// The fields that a record must have; the others of [`Matter::samples`] it may have.
    const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Presence => &["user_id", "status"],
            Self::Typing | Self::Viewing => &["user_id", "active"],
            Self::Occupancy => &["status"],
            Self::Receipts => &["user_id", "kind"],
        }
    }

    /// All that an edge may write, in every form.
    fn samples(self) -> Vec<Value> {
        let time = "2026-01-02T03:04:05.678Z";
        match self {
            Self::Presence => ["online", "away", "busy", "offline"]
                .map(|status| json!({"user_id": "ada", "status": status, "custom": "at lunch", "devices": ["web"], "last_seen": time}))
                .into(),
            Self::Typing | Self::Viewing => {
                [true, false].map(|active| json!({"user_id": "ada", "content_id": "12", "active": active})).into()
            }
            Self::Occupancy => ["occupied", "vacated"].map(|status| json!({"status": status})).into(),
            Self::Receipts => ["delivered", "read"]
                .map(|kind| json!({"user_id": "ada", "kind": kind, "event": "7", "position": "1a", "at": time, "author_id": "ben"}))
                .into(),
        }
    }
}

impl Telling {
    /// The type of its events.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The payload: of what there is to say, what the record has a field for.
    #[must_use]
    pub fn data(&self, said: Value) -> Value {
        match said {
            Value::Object(said) => said.into_iter().filter(|(name, _)| self.fields.contains(name)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => said,
        }
    }
}

/// Compiles what a kind declares. A type that does not fit is a problem, and nothing is told by it.
pub(crate) fn compile(
    kind: &str,
    declared: &DeclaredTellings,
    types: &BTreeMap<EventType, TypePolicy>,
    report: &mut Report,
) -> Tellings {
    let mut tellings = Tellings::new();
    for (matter, name) in declared {
        let other = tellings.iter().find(|(_, telling)| telling.event_type == name.value);
        let told = match other {
            Some((other, _)) => Err(vec![format!("{} tells of {} already", name.value, other.as_str())]),
            None => telling(kind, *matter, types.get(&name.value).ok_or(&name.value)),
        };
        match told {
            Ok(telling) => drop(tellings.insert(*matter, telling)),
            Err(problems) => {
                problems.iter().for_each(|problem| report.add(&name.place, format!("{}: {problem}", matter.as_str())));
            }
        }
    }
    tellings
}

fn telling(kind: &str, matter: Matter, policy: Result<&TypePolicy, &EventType>) -> Result<Telling, Vec<String>> {
    let policy = policy.map_err(|name| vec![format!("no catalogue declares the type {name}")])?;
    let name = policy.event_type();
    if policy.channel_kind() != kind {
        return Err(vec![format!("{name} is for channels {}:…, not {kind}:…", policy.channel_kind())]);
    }
    let telling = Telling { event_type: name.clone(), fields: fields(policy.schema().text()) };
    let missing: Vec<_> = matter.required().iter().filter(|field| !telling.fields.contains(**field)).collect();
    if !missing.is_empty() {
        return Err(missing.iter().map(|field| format!("the record of {name} has no field {field}")).collect());
    }
    let wrong: BTreeSet<String> = matter
        .samples()
        .into_iter()
        .filter_map(|sample| policy.schema().from_json(&telling.data(sample)).err())
        .flatten()
        .map(|wrong| format!("the record of {name} does not take what is told: {wrong}"))
        .collect();
    if wrong.is_empty() { Ok(telling) } else { Err(wrong.into_iter().collect()) }
}

/// The names of a record's fields.
fn fields(schema: &str) -> BTreeSet<String> {
    let schema: Map<String, Value> = serde_json::from_str(schema).unwrap_or_default();
    let fields = schema.get("fields").and_then(Value::as_array).into_iter().flatten();
    fields.filter_map(|field| field.get("name").and_then(Value::as_str)).map(str::to_owned).collect()
}
