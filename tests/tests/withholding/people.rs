//! Who reads, with which claims and wishes, and what users are granted and revoked meanwhile.

use std::collections::BTreeSet;

use policy::filter::{FILTER_BYTES, FILTER_LIST};
use policy::grants::Change;
use policy::{ChannelGrants, Claims};
use schemas::grant::Scope;
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;

use super::chance::Chance;
use super::paths::Paths;
use super::payload::Data;
use super::rules::{IN_FILTERS, Term};
use super::story::{
    BASE, BATCH_MILLIS, BATCHES, ENDS_MILLIS, Event, EventKind, IDS, KINDS, LABELS, ROLES, TENANTS, USERS,
};

const REGIONS: [&str; 2] = ["eu", "us"];

#[derive(Debug)]
pub struct Person {
    pub claims: Option<Claims>,
    pub channels: Vec<String>,
    pub filter: Option<Term>,
    /// A filter that cannot be used.
    pub unusable: Option<String>,
    pub named: bool,
}

/// Before which batch what changes.
pub fn draw_changes(chance: &mut Chance) -> Vec<(usize, Change)> {
    let mut changes: Vec<(usize, Change)> = Vec::new();
    for batch in 0..BATCHES {
        if chance.one_in(2) {
            changes.push((batch, draw_change(chance)));
        }
    }
    changes
}

fn draw_change(chance: &mut Chance) -> Change {
    let mut channels: Vec<Scope> = (0..1 + chance.below(2)).map(|_| scope(chance)).collect();
    let labels = chance.some(&LABELS, 4).into_iter().map(|label| Label::parse(label).expect("a label")).collect();
    let roles = chance.some(&ROLES, 6).into_iter().map(str::to_owned).collect();
    if chance.one_in(3) {
        return Change::Revoke { channels, labels, roles };
    }
    channels.retain(|scope| *scope != Scope::Everything);
    channels.push(Scope::parse("a:*").expect("a scope"));
    let from = |batch| Timestamp::from_millis(BASE + batch * BATCH_MILLIS - BATCH_MILLIS / 4);
    let visible_from = chance.one_in(2).then(|| from(chance.number(0, 3)));
    Change::Grant { channels, visible_from, labels, roles }
}

fn scope(chance: &mut Chance) -> Scope {
    let text = match chance.below(8) {
        0 => "*".to_owned(),
        1..4 => format!("{}:*", chance.pick(&KINDS)),
        _ => format!("{}:{}", chance.pick(&KINDS), chance.pick(&IDS)),
    };
    Scope::parse(&text).expect("a scope")
}

fn pattern(chance: &mut Chance) -> String {
    let id = if chance.one_in(2) { "*" } else { chance.pick(&IDS) };
    format!("{}:{id}", chance.pick(&KINDS))
}

impl Person {
    pub fn draw(chance: &mut Chance, types: &[EventKind], events: &[Event]) -> Self {
        let claims = (!chance.one_in(8)).then(|| Claims {
            sub: Some(chance.pick(&USERS).to_owned()),
            tenant: Tenant::parse(chance.pick(&TENANTS)).expect("a tenant"),
            roles: chance.some(&ROLES, 3).into_iter().map(str::to_owned).collect(),
            labels: chance.some(&LABELS, 3).into_iter().map(|label| Label::parse(label).expect("a label")).collect(),
            regions: chance.some(&REGIONS, 2).into_iter().map(str::to_owned).collect(),
            channels: ChannelGrants {
                subscribe: chance.one_in(6).then(|| vec![pattern(chance), pattern(chance), pattern(chance)]),
                publish: None,
            },
            exp: Some(Timestamp::from_millis(BASE + 100 * ENDS_MILLIS)),
            ..Claims::anonymous()
        });
        let channels: BTreeSet<String> = (0..3 + chance.below(4)).map(|_| pattern(chance)).collect();
        let filter = chance.one_in(2).then(|| {
            let known = Paths::of(&chance.pick(&types.iter().map(|kind| kind.record.clone()).collect::<Vec<_>>()));
            let names: Vec<String> = types.iter().map(|kind| kind.name.clone()).collect();
            Term::draw(chance, &known.known(&names, &guesses(events)), 0)
        });
        let filter = filter.filter(|filter| filter.cel(IN_FILTERS).len() <= FILTER_BYTES);
        let unusable = (filter.is_none() && chance.one_in(5)).then(|| draw_unusable(chance, &guesses(events)));
        Self { claims, channels: channels.into_iter().collect(), filter, unusable, named: chance.one_in(2) }
    }

    /// What stands behind the question mark, for a stream.
    pub fn stream(&self) -> String {
        let named = if self.named { "&named=1" } else { "" };
        format!("{}&lastEventId=earliest{named}", self.query())
    }

    /// The same for a WebSocket.
    pub fn socket(&self) -> String {
        format!("{}&lastEventId=earliest", self.query())
    }

    /// The same for a page, and for lines.
    pub fn page(&self) -> String {
        format!("{}&after=earliest&limit=1000", self.query())
    }

    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.channels.iter().map(|channel| ("channel", channel)));
        if let Some(filter) = &self.filter {
            query.append_pair("filter", &filter.cel(IN_FILTERS));
        }
        if let Some(text) = &self.unusable {
            query.append_pair("filter", text);
        }
        query.finish()
    }
}

/// A filter that asks for what is withheld, in a way that no filter may.
fn draw_unusable(chance: &mut Chance, guesses: &[String]) -> String {
    // Few guesses, so that several ask the same.
    let guess = guesses.get(chance.below(3)).map_or("red", String::as_str);
    let guess = serde_json::to_string(guess).expect("a text");
    match chance.below(9) {
        0 => format!("data.users.exists(user, user == {guess})"),
        1 => format!("data.kind.matches({guess})"),
        2 => format!("data.kind == {guess} &&"),
        3 => format!("claims.sub == {guess}"),
        4 => format!("payload.kind == {guess}"),
        5 => format!("reveal(data, {guess})"),
        6 => guess,
        7 => format!("data.kind in [{guess}{}]", ", 'x'".repeat(FILTER_LIST)),
        _ => format!("data.kind == {guess} || data.kind == '{}'", "x".repeat(FILTER_BYTES)),
    }
}

/// Texts that are really in payloads: a filter that guesses a withheld value learns nothing from it.
fn guesses(events: &[Event]) -> Vec<String> {
    fn texts(data: &Data, found: &mut Vec<String>) {
        match data {
            Data::Text(text) => found.push(text.clone()),
            Data::List(items) | Data::Record(items) => items.iter().for_each(|item| texts(item, found)),
            Data::Map(members) => members.values().for_each(|value| texts(value, found)),
            Data::Null | Data::Long(_) | Data::Double(_) | Data::Bool(_) | Data::Moment(_) => {}
        }
    }
    let mut found = Vec::new();
    events.iter().for_each(|event| texts(&event.data, &mut found));
    found
}
