//! A story by chance: a catalogue, what is published, who is granted what and when, and who reads.

use std::collections::BTreeMap;

use policy::grants::Change;
use serde_json::{Value, json};

use super::chance::Chance;
use super::paths::{Paths, path};
use super::payload::{Data, Field, Labels, Record, Type, Types};
use super::people::{Person, draw_changes};
use super::rules::{Choice, IN_RULES, Term, Texts};

/// When a story begins. Batches follow each other by [`BATCH_MILLIS`]; what is read is read after the last.
pub const BASE: i64 = 1_800_000_000_000;
pub const BATCH_MILLIS: i64 = 100_000;
pub const BATCHES: usize = 4;
/// Events end half-way between two of these, counted from [`BASE`], so that the moment of reading is near no end.
pub const ENDS_MILLIS: i64 = 1_000_000;
const EVENTS: usize = 100;
const PEOPLE: usize = 25;
pub const KINDS: [&str; 3] = ["a", "b", "c"];
/// The kind that everybody may subscribe to.
const OPEN: &str = "c";
pub const IDS: [&str; 4] = ["1", "2/x", "u1", "u2"];
pub const USERS: [&str; 4] = ["u1", "u2", "u3", "u4"];
pub const TENANTS: [&str; 2] = ["default", "acme"];
/// Labels of fields: three, so that no type has more than eight views.
const FIELD_LABELS: [&str; 3] = ["l0", "l1", "l2"];
pub const LABELS: [&str; 4] = ["l0", "l1", "l2", "l3"];
pub const ROLES: [&str; 4] = ["all", "r1", "r2", "r3"];

#[derive(Debug)]
pub struct Story {
    pub kinds: BTreeMap<&'static str, Kind>,
    pub roles: BTreeMap<&'static str, Labels>,
    pub types: Vec<EventKind>,
    pub events: Vec<Event>,
    /// By tenant and user: before which batch what changes.
    pub changes: BTreeMap<(String, String), Vec<(usize, Change)>>,
    pub people: Vec<Person>,
}

/// Who may subscribe to a kind of channel.
#[derive(Debug)]
pub struct Kind {
    pub subscribe: Subscribe,
    pub whole_history: bool,
}

#[derive(Debug, Clone)]
pub enum Subscribe {
    Nobody,
    Everybody,
    Role(&'static str),
    Label(&'static str),
    Own,
}

#[derive(Debug)]
pub struct EventKind {
    pub name: String,
    pub kind: &'static str,
    pub record: Record,
    /// None is the producer's wish.
    pub lane: Option<Choice>,
    pub requires: Choice,
    pub only_users: Option<Choice>,
    pub except_author: Option<Term>,
    pub regions: Option<Choice>,
    pub expires: Expires,
    pub conflate: Option<Choice>,
}

#[derive(Debug)]
pub enum Expires {
    Never,
    After(i64),
    /// The payload's field `when`, where a term holds.
    When(Term),
}

#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub of: usize,
    pub channel: String,
    pub tenant: &'static str,
    pub time: i64,
    pub priority: Option<&'static str>,
    pub expires: Option<i64>,
    pub conflation_key: Option<String>,
    pub author: Option<&'static str>,
    pub data: Data,
    pub batch: usize,
    /// Its value is cut short.
    pub broken: bool,
}

impl Story {
    pub fn draw(seed: u64) -> Self {
        let chance = &mut Chance::new(seed);
        let mut kinds: BTreeMap<_, _> = KINDS.into_iter().map(|kind| (kind, Kind::draw(chance))).collect();
        kinds.insert(OPEN, Kind { subscribe: Subscribe::Everybody, whole_history: false });
        let mut roles: BTreeMap<_, Labels> = ROLES.into_iter().map(|role| (role, labels(chance, 2))).collect();
        roles.insert("all", LABELS.into_iter().map(str::to_owned).collect());
        let types: Vec<EventKind> = (0..3).map(|at| EventKind::draw(chance, at)).collect();
        let events: Vec<Event> = (0..EVENTS).map(|at| Event::draw(chance, at, &types)).collect();
        let mut changes = BTreeMap::new();
        for tenant in TENANTS {
            for user in USERS {
                if chance.one_in(2) {
                    changes.insert((tenant.to_owned(), user.to_owned()), draw_changes(chance));
                }
            }
        }
        let people = (0..PEOPLE).map(|_| Person::draw(chance, &types, &events)).collect();
        Self { kinds, roles, types, events, changes, people }
    }

    /// The catalogue as it is loaded.
    pub fn bundle(&self) -> String {
        let kinds: BTreeMap<_, Value> = self.kinds.iter().map(|(kind, rules)| (kind, rules.said())).collect();
        let types: BTreeMap<_, Value> = self.types.iter().map(|kind| (&kind.name, kind.said())).collect();
        let catalogue = json!({"name": "w", "channels": kinds, "types": types, "roles": self.roles, "examples": []});
        let mut files = BTreeMap::from([("catalogue.yaml".to_owned(), catalogue.to_string())]);
        files.extend(self.types.iter().map(|kind| (format!("{}.avsc", kind.name), kind.record.avsc().to_string())));
        json!({"w": files}).to_string()
    }
}

/// A field that only who holds all labels sees.
fn secret_of_all() -> Field {
    let labels = FIELD_LABELS.into_iter().map(str::to_owned).collect();
    Field { name: "deep".to_owned(), of: Type::Text, labels, masks: BTreeMap::new() }
}

fn labels(chance: &mut Chance, times: usize) -> Labels {
    chance.some(&LABELS, times).into_iter().map(str::to_owned).collect()
}

impl Kind {
    fn draw(chance: &mut Chance) -> Self {
        let rules =
            [Subscribe::Nobody, Subscribe::Everybody, Subscribe::Role("r1"), Subscribe::Label("l1"), Subscribe::Own];
        Self { subscribe: chance.pick(&rules), whole_history: chance.one_in(3) }
    }

    fn said(&self) -> Value {
        let mut said = json!({"history": if self.whole_history { "all" } else { "granted" }});
        let rule = match &self.subscribe {
            Subscribe::Nobody => return said,
            Subscribe::Everybody => "true".to_owned(),
            Subscribe::Role(role) => format!("'{role}' in claims.roles"),
            Subscribe::Label(label) => format!("'{label}' in claims.labels"),
            Subscribe::Own => "claims.sub != null && channel.parts[0] == claims.sub".to_owned(),
        };
        said["subscribe"] = json!(rule);
        said
    }
}

impl EventKind {
    fn draw(chance: &mut Chance, at: usize) -> Self {
        let mut types = Types { chance, labels: &FIELD_LABELS, named: at * 100 };
        let base = [
            ("kind", Type::Text),
            ("n", Type::Long),
            ("flag", Type::Bool),
            ("users", Type::List(Box::new(Type::Text))),
            ("when", Type::Moment),
            ("tags", Type::Map(Box::new(Type::Text))),
        ];
        let field =
            |(name, of): (&str, Type)| Field { name: name.to_owned(), of, labels: Vec::new(), masks: BTreeMap::new() };
        let mut fields: Vec<Field> = base.into_iter().map(field).collect();
        let more = 2 + types.chance.below(5);
        fields.extend((0..more).map(|number| types.field(format!("f{number}"), 0)));
        if at == 0 {
            fields.push(secret_of_all()); // a catalogue has no label that nothing carries
        }
        let record = Record { name: format!("T{at}"), fields };
        let known = Paths::of(&record);
        let names = [format!("w.t{at}"), "w.t0".to_owned()];
        let (words_of_all, unlabelled) = (["red".to_owned()], Paths::open());
        let (all, open) = (known.known(&names, &words_of_all), unlabelled.known(&names, &words_of_all));
        let term = |chance: &mut Chance| Term::draw(chance, &all, 0);
        let choice = |chance: &mut Chance, then: Texts, otherwise: Texts| {
            let when = if chance.one_in(3) { None } else { Some(Term::draw(chance, &all, 0)) };
            Choice { when, then, otherwise }
        };
        let words = |some: Vec<&'static str>| Texts::Words(some.into_iter().map(str::to_owned).collect());
        let lane = (!chance.one_in(3)).then(|| {
            let (one, other) = (chance.pick(&["high", "medium", "low"]), chance.pick(&["high", "medium", "low"]));
            choice(chance, words(vec![one]), words(vec![other]))
        });
        let required = words(chance.some(&LABELS, 6));
        let required = if at == 0 { words(vec!["l3"]) } else { required };
        let requires = choice(chance, required, Texts::Null);
        let only_users = chance.one_in(3).then(|| {
            let then = chance.pick(&[Texts::Field(path("users")), words(vec!["u1", "u3"]), words(Vec::new())]);
            choice(chance, then, Texts::Null)
        });
        let except_author = chance.one_in(2).then(|| term(chance));
        let regions = chance.one_in(3).then(|| choice(chance, words(vec!["eu"]), Texts::Null));
        let expires = match chance.below(3) {
            0 => Expires::Never,
            1 => Expires::After(ENDS_MILLIS / 2),
            _ => Expires::When(Term::draw(chance, &open, 1)),
        };
        let conflate = chance.one_in(4).then(|| Choice {
            when: Some(Term::draw(chance, &open, 1)),
            then: Texts::Field(path("kind")),
            otherwise: Texts::Null,
        });
        let kind = if at == 0 { OPEN } else { chance.pick(&KINDS) };
        let name = format!("w.t{at}");
        Self { name, kind, record, lane, requires, only_users, except_author, regions, expires, conflate }
    }

    fn said(&self) -> Value {
        let mut said = json!({"schema": format!("{}.avsc", self.name), "channel": self.kind});
        let requires = match &self.requires {
            Choice { when: None, then: Texts::Words(labels), .. } => json!(labels),
            choice => json!(choice.cel()),
        };
        said["requires"] = requires;
        let choices = [
            ("lane", &self.lane),
            ("only_users", &self.only_users),
            ("regions", &self.regions),
            ("conflate", &self.conflate),
        ];
        for (name, choice) in choices {
            if let Some(choice) = choice {
                said[name] = json!(choice.cel());
            }
        }
        if let Some(term) = &self.except_author {
            said["except_author"] = json!(term.cel(IN_RULES));
        }
        match &self.expires {
            Expires::Never => {}
            Expires::After(millis) => said["expires"] = json!(format!("{}s", millis / 1000)),
            Expires::When(term) => said["expires"] = json!(format!("({}) ? payload.when : null", term.cel(IN_RULES))),
        }
        said
    }
}

impl Event {
    fn draw(chance: &mut Chance, at: usize, types: &[EventKind]) -> Self {
        let of = chance.below(types.len());
        let kind = &types[of];
        let mut data = kind.record.draw(chance);
        let ends = |chance: &mut Chance| {
            BASE + chance.number(-2, 2) * ENDS_MILLIS + ENDS_MILLIS / 2 + chance.number(0, 200_000)
        };
        if let Data::Record(values) = &mut data {
            values[0] = Data::Text(chance.word());
            let users = chance.some(&USERS, 2);
            values[3] = Data::List(users.into_iter().map(|user| Data::Text(user.to_owned())).collect());
            values[4] = Data::Moment(ends(chance));
        }
        Self {
            id: format!("e{at}"),
            of,
            channel: format!("{}:{}", kind.kind, chance.pick(&IDS)),
            tenant: chance.pick(&["default", "default", "acme"]),
            time: BASE + chance.number(-2, 0) * ENDS_MILLIS + chance.number(0, 200_000),
            priority: chance.pick(&[None, Some("high"), Some("low")]),
            expires: chance.one_in(8).then(|| ends(chance)),
            conflation_key: chance.one_in(8).then(|| chance.word()),
            author: chance.one_in(2).then(|| chance.pick(&USERS)),
            data,
            batch: at * BATCHES / EVENTS,
            broken: chance.one_in(40),
        }
    }
}
