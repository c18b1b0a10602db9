//! What everybody should get, by the plainest code: everything is decided anew for each reader, on the value itself.
//!
//! In: a story. Out: for each event how it is routed, and for each reader the blocks, but for their ids. Nothing of the code under test decides here.

use std::collections::BTreeMap;

use policy::grants::Change;
use schemas::time::Timestamp;
use serde_json::Value;

use super::payload::{Labels, text};
use super::people::Person;
use super::rules::{Choice, Fails, Scope};
use super::story::{BASE, BATCH_MILLIS, BATCHES, Event, Expires, Story, Subscribe};

/// Milliseconds of a batch's time after which its events are appended; what changes before it was changed by then.
pub const APPENDED_AFTER: i64 = 2_000;
/// When everybody reads, at the least; no event ends near it.
const READ_AT: i64 = BASE + 4 * BATCH_MILLIS;

/// A routed event.
pub struct Routed {
    pub lane: String,
    required: Vec<String>,
    only_users: Vec<String>,
    regions: Vec<String>,
    except_author: bool,
    expires: Option<i64>,
    key: Option<String>,
}

/// Why an event goes to the DLQ.
pub type Dead = &'static str;

/// A block that a reader should get.
pub struct Expected {
    pub lane: String,
    pub channel: String,
    /// Everything but the id, on a stream.
    pub block: String,
    /// The event alone.
    pub json: String,
    /// Everything but the id, on a WebSocket.
    pub message: String,
    /// A later one of the same key may stand for it.
    pub may_miss: bool,
}

/// What a reader should get.
pub enum Given {
    /// A problem instead of a stream.
    Nothing,
    /// A problem, because this filter cannot be used.
    NoFilter(String),
    Stream {
        granted: Vec<String>,
        refused: Vec<String>,
        blocks: Vec<Expected>,
    },
}

/// Why events were passed over, counted.
#[derive(Debug, Default)]
pub struct Passed(pub BTreeMap<&'static str, usize>);

impl Passed {
    pub fn count(&mut self, why: &'static str) {
        *self.0.entry(why).or_default() += 1;
    }
}

/// What a user was granted and revoked, at the end.
#[derive(Default)]
struct Rights {
    channels: Vec<(String, i64, Option<i64>)>,
    revoked: Vec<(String, i64)>,
    labels: BTreeMap<String, bool>,
    roles: BTreeMap<String, bool>,
}

enum Standing {
    Unsaid,
    Granted(Option<i64>),
    Revoked,
}

pub fn route(story: &Story, event: &Event) -> Result<Routed, Dead> {
    if event.broken {
        return Err("undecodable");
    }
    decide(story, event).map_err(|Fails| "forbidden")
}

fn decide(story: &Story, event: &Event) -> Result<Routed, Fails> {
    let kind = &story.types[event.of];
    let data = whole(story, event);
    let id = event.channel.split_once(':').map_or("", |(_, id)| id);
    let scope = Scope { data: &data, event_type: &kind.name, lane: event.priority, channel_id: id };
    let named = |choice: &Option<Choice>| match choice.as_ref().map(|choice| choice.give(&scope)).transpose()?.flatten()
    {
        Some(names) if names.is_empty() => Err(Fails),
        names => Ok(names.unwrap_or_default()),
    };
    let word = |choice: &Option<Choice>| {
        let given = choice.as_ref().map(|choice| choice.give(&scope)).transpose()?.flatten();
        Ok(given.and_then(|words| words.first().cloned()))
    };
    let own = match &kind.expires {
        Expires::Never => None,
        Expires::After(millis) => Some(event.time + millis),
        Expires::When(term) if term.holds(&scope).ok_or(Fails)? => {
            let when = data["when"].as_str().and_then(|when| Timestamp::parse(when).ok());
            Some(when.expect("a time").millis())
        }
        Expires::When(_) => None,
    };
    Ok(Routed {
        lane: word(&kind.lane)?.unwrap_or_else(|| event.priority.unwrap_or("medium").to_owned()),
        required: kind.requires.give(&scope)?.unwrap_or_default(),
        only_users: named(&kind.only_users)?,
        regions: named(&kind.regions)?,
        except_author: kind.except_author.as_ref().map_or(Ok(false), |term| term.holds(&scope).ok_or(Fails))?,
        expires: own.into_iter().chain(event.expires).min(),
        key: if kind.conflate.is_some() { word(&kind.conflate)? } else { event.conflation_key.clone() },
    })
}

/// The payload as rules see it.
fn whole(story: &Story, event: &Event) -> Value {
    let record = &story.types[event.of].record;
    serde_json::from_str(&record.shown(&event.data, &record.labels(), event.tenant)).expect("JSON")
}

pub fn given(story: &Story, routed: &[Result<Routed, Dead>], person: &Person, passed: &mut Passed) -> Given {
    if let Some(text) = &person.unusable {
        passed.count("no filter");
        return Given::NoFilter(text.clone());
    }
    let reader = Reader::of(story, person);
    let mut granted: Vec<(String, Option<i64>)> = Vec::new();
    let mut refused = Vec::new();
    for channel in &person.channels {
        match reader.entitled(channel) {
            Some(from) => granted.push((channel.clone(), from)),
            None => refused.push(channel.clone()),
        }
    }
    if granted.is_empty() {
        return Given::Nothing;
    }
    let mut blocks: Vec<Expected> = Vec::new();
    let mut keys: Vec<Option<&str>> = Vec::new();
    for (event, routed) in story.events.iter().zip(routed) {
        let Ok(routed) = routed else { continue };
        match reader.sees(&granted, event, routed) {
            Ok(expected) => {
                for (earlier, key) in blocks.iter_mut().zip(&keys) {
                    let same = key.is_some() && *key == routed.key.as_deref();
                    earlier.may_miss |= same && earlier.channel == event.channel && earlier.lane == routed.lane;
                }
                keys.push(routed.key.as_deref());
                blocks.push(expected);
                passed.count("seen");
            }
            Err(why) => passed.count(why),
        }
    }
    Given::Stream { granted: granted.into_iter().map(|(channel, _)| channel).collect(), refused, blocks }
}

struct Reader<'a> {
    story: &'a Story,
    person: &'a Person,
    tenant: String,
    sub: Option<String>,
    roles: Labels,
    labels: Labels,
    regions: Labels,
    rights: Rights,
}

impl<'a> Reader<'a> {
    fn of(story: &'a Story, person: &'a Person) -> Self {
        let claims = person.claims.as_ref();
        let tenant = claims.map_or("default".to_owned(), |claims| claims.tenant.to_string());
        let sub = claims.and_then(|claims| claims.sub.clone());
        let changes = sub.as_ref().and_then(|sub| story.changes.get(&(tenant.clone(), sub.clone())));
        let rights = Rights::after(changes.map_or(&[], Vec::as_slice));
        let held = |all: &BTreeMap<String, bool>| {
            all.iter().filter(|(_, held)| **held).map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let mut roles: Labels = claims.map(|claims| claims.roles.iter().cloned().collect()).unwrap_or_default();
        roles.extend(held(&rights.roles));
        let mut labels: Labels =
            claims.map(|claims| claims.labels.iter().map(ToString::to_string).collect()).unwrap_or_default();
        labels.extend(held(&rights.labels));
        for (role, of) in &story.roles {
            if roles.contains(*role) {
                labels.extend(of.iter().cloned());
            }
        }
        let regions = claims.map(|claims| claims.regions.iter().cloned().collect()).unwrap_or_default();
        Self { story, person, tenant, sub, roles, labels, regions, rights }
    }

    /// Since when they may have a channel, or all of a kind; none within is since ever.
    fn entitled(&self, wanted: &str) -> Option<Option<i64>> {
        let (kind, id) = wanted.split_once(':').expect("a channel");
        let standing = self.rights.standing(wanted, self.story.kinds[kind].whole_history);
        if matches!(standing, Standing::Revoked) {
            return None;
        }
        let narrowed = self.person.claims.as_ref().and_then(|claims| claims.channels.subscribe.as_ref());
        if narrowed.is_some_and(|list| !list.iter().any(|pattern| covers(pattern, wanted))) {
            return None;
        }
        let by_rule = match &self.story.kinds[kind].subscribe {
            Subscribe::Nobody => false,
            Subscribe::Everybody => true,
            Subscribe::Role(role) => self.roles.contains(*role),
            Subscribe::Label(label) => self.labels.contains(*label),
            Subscribe::Own => self.sub.as_deref() == id.split('/').next(),
        };
        match standing {
            _ if by_rule => Some(None),
            Standing::Granted(from) => Some(from),
            Standing::Unsaid | Standing::Revoked => None,
        }
    }

    /// How it is written, or why it is not.
    fn sees(
        &self,
        granted: &[(String, Option<i64>)],
        event: &Event,
        routed: &Routed,
    ) -> Result<Expected, &'static str> {
        let kind = &self.story.types[event.of];
        let appended = BASE + i64::try_from(event.batch).expect("few") * BATCH_MILLIS + APPENDED_AFTER;
        let mut about = granted.iter().filter(|(pattern, _)| covers(pattern, &event.channel)).peekable();
        if event.tenant != self.tenant || about.peek().is_none() {
            return Err("another channel");
        }
        if matches!(self.rights.standing(&event.channel, false), Standing::Revoked) {
            return Err("revoked");
        }
        if !about.any(|(_, from)| from.is_none_or(|from| from <= appended)) {
            return Err("before the grant");
        }
        if !routed.required.iter().all(|label| self.labels.contains(label)) {
            return Err("requires");
        }
        if !routed.regions.is_empty() && !routed.regions.iter().any(|region| self.regions.contains(region)) {
            return Err("regions");
        }
        if !routed.only_users.is_empty() && !self.sub.as_ref().is_some_and(|sub| routed.only_users.contains(sub)) {
            return Err("only_users");
        }
        if routed.except_author && self.sub.is_some() && self.sub.as_deref() == event.author {
            return Err("except_author");
        }
        if routed.expires.is_some_and(|expires| expires <= READ_AT) {
            return Err("expired");
        }
        let data = kind.record.shown(&event.data, &self.labels_of_view(event), event.tenant);
        if let Some(filter) = &self.person.filter {
            let seen: Value = serde_json::from_str(&data).expect("JSON");
            let id = event.channel.split_once(':').map_or("", |(_, id)| id);
            let scope = Scope { data: &seen, event_type: &kind.name, lane: Some(&routed.lane), channel_id: id };
            if filter.holds(&scope) != Some(true) {
                return Err("filtered");
            }
        }
        Ok(self.written(event, routed, &data))
    }

    /// What roles really hold of a type's labels makes its views: of those, all that the reader holds whole.
    fn labels_of_view(&self, event: &Event) -> Labels {
        let carried = self.story.types[event.of].record.labels();
        let of_roles = self.story.roles.values().map(|of| of.intersection(&carried).cloned().collect::<Labels>());
        of_roles.filter(|of| of.is_subset(&self.labels)).flatten().collect()
    }

    fn written(&self, event: &Event, routed: &Routed, data: &str) -> Expected {
        let name = &self.story.types[event.of].name;
        let time = |millis: i64| text(&Timestamp::from_millis(millis).to_string());
        let mut json = format!(
            r#"{{"specversion":"1.0","id":{},"type":{},"source":"/story","subject":{},"time":{},"datacontenttype":"application/json","lane":{}"#,
            text(&event.id),
            text(name),
            text(&event.channel),
            time(event.time),
            text(&routed.lane),
        );
        if event.tenant != "default" {
            json += &format!(r#","tenant":{}"#, text(event.tenant));
        }
        if let Some(expires) = routed.expires {
            json += &format!(r#","expires":{}"#, time(expires));
        }
        if let Some(key) = &routed.key {
            json += &format!(r#","conflationkey":{}"#, text(key));
        }
        json += &format!(r#","data":{data}}}"#);
        let named = if self.person.named { format!("event: {name}\n") } else { String::new() };
        let message = format!(
            r#"{{"type":"event","event":{},"channel":{},"data":{data},"timestamp":{}"#,
            text(name),
            text(&event.channel),
            time(event.time),
        );
        let (lane, channel) = (routed.lane.clone(), event.channel.clone());
        Expected { lane, channel, block: format!("{named}data: {json}\n"), json, message, may_miss: false }
    }
}

impl Rights {
    fn after(changes: &[(usize, Change)]) -> Self {
        let mut rights = Self::default();
        for (batch, change) in changes {
            rights.change(change, BASE + i64::try_from(*batch).expect("few") * BATCH_MILLIS);
        }
        rights
    }

    fn change(&mut self, change: &Change, at: i64) {
        match change {
            Change::Grant { channels, visible_from, labels, roles } => {
                for scope in channels.iter().map(ToString::to_string) {
                    let stands =
                        self.channels.iter().any(|(known, since, _)| *known == scope && self.is_whole(&scope, *since));
                    if stands && visible_from.is_none() {
                        continue;
                    }
                    self.channels.retain(|(known, ..)| *known != scope);
                    self.channels.push((scope, at, visible_from.map(Timestamp::millis)));
                }
                self.labels.extend(labels.iter().map(|label| (label.to_string(), true)));
                self.roles.extend(roles.iter().map(|role| (role.clone(), true)));
            }
            Change::Revoke { channels, labels, roles } => {
                self.revoked.extend(channels.iter().map(|scope| (scope.to_string(), at)));
                self.labels.extend(labels.iter().map(|label| (label.to_string(), false)));
                self.roles.extend(roles.iter().map(|role| (role.clone(), false)));
                if channels.iter().any(|scope| scope.to_string() == "*") {
                    self.labels.values_mut().chain(self.roles.values_mut()).for_each(|held| *held = false);
                }
            }
        }
    }

    /// Whether nothing of a grant was revoked since.
    fn is_whole(&self, scope: &str, since: i64) -> bool {
        !self.revoked.iter().any(|(gone, at)| *at >= since && (covers(gone, scope) || covers(scope, gone)))
    }

    fn standing(&self, wanted: &str, whole_history: bool) -> Standing {
        let revoked = self.revoked.iter().filter(|(gone, _)| covers(gone, wanted)).map(|(_, at)| *at).max();
        let about = self.channels.iter().filter(|(scope, ..)| covers(scope, wanted));
        let live = about.filter(|(_, at, _)| revoked.is_none_or(|revoked| *at > revoked));
        let from: Vec<Option<i64>> =
            live.map(|(_, at, from)| if whole_history { *from } else { Some(from.unwrap_or(*at)) }).collect();
        match (from.is_empty(), revoked) {
            (false, _) if from.contains(&None) => Standing::Granted(None),
            (false, _) => Standing::Granted(from.into_iter().flatten().min()),
            (true, Some(_)) => Standing::Revoked,
            (true, None) => Standing::Unsaid,
        }
    }
}

/// Whether a scope has all of another one: `*`, `<kind>:*`, or a channel.
fn covers(scope: &str, other: &str) -> bool {
    let kind = |text: &str| text.split_once(':').map(|(kind, _)| kind.to_owned());
    scope == "*" || scope == other || (scope.ends_with(":*") && kind(scope) == kind(other))
}

/// Everything that should have happened.
pub const ALL_HAPPEN: [&str; 10] = [
    "seen",
    "another channel",
    "revoked",
    "before the grant",
    "requires",
    "regions",
    "only_users",
    "except_author",
    "expired",
    "filtered",
];

const _: () = assert!(BATCHES == 4, "reading comes after the last batch");
