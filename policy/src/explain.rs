//! The way of one event to one reader, step by step: why it went on, what was trimmed, or where it stopped.
//!
//! In: an event, who publishes it, who reads it, what they were granted and want, and when. Out: the steps, and what is seen at the end. It decides nothing
//! itself: every step asks the function that ingest, router and edge ask. Examples of catalogues are run by it.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::audit::DELIVERIES;
use schemas::budget::Budget;
use schemas::channel::ChannelPattern;
use schemas::delivery::{Delivery, Origin};
use schemas::event::Attributes;
use schemas::grant::Grant;
use schemas::id::Label;
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::catalogue::{Catalogues, Unplaced};
use crate::claims::Claims;
use crate::enrichment::{Reference, Row, Rows, Unjoined};
use crate::event_rule::{Came, TypePolicy};
use crate::filter::Filter;
use crate::grants::{Standing, standing, widen};
use crate::reader::{Reader, Sight, Withheld};
use crate::visible::Visible;
use words::{in_words, labels, who, withheld_in_words};

/// What is to be explained.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The event, as its producer says it.
    pub event: &'a Attributes,
    /// Its payload as JSON.
    pub data: &'a Value,
    /// Who publishes it through a door of Tidegate; none for a producer that writes to the log itself.
    pub publisher: Option<&'a Claims>,
    /// Who reads.
    pub reader: &'a Claims,
    /// What they were granted beside their token, and what was revoked.
    pub granted: &'a Grant,
    /// What they want.
    pub filter: Option<Filter>,
    /// Rows of tables by name and key, as JSON; of a table that is not here the catalogue's samples count.
    pub rows: &'a BTreeMap<String, BTreeMap<String, Value>>,
    /// When it is routed, and when it is read.
    pub routed_at: Timestamp,
    /// When they read.
    pub read_at: Timestamp,
}

/// The way, and its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// In order; only the last may be one where it stopped.
    pub steps: Vec<Step>,
    /// What the reader gets.
    pub seen: Option<Seen>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was decided.
    pub step: &'static str,
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub why: String,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It went on.
    Passed,
    /// It went on with less.
    Trimmed,
    /// It went no further.
    Stopped,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    /// In which lane.
    pub lane: Lane,
    /// The conflation key.
    pub conflation_key: Option<String>,
    /// When it would no longer be delivered, RFC 3339.
    pub expires: Option<String>,
    /// How many like it a stream is given in a time.
    pub budget: Option<String>,
    /// `deliveries` where it is recorded who is given it.
    pub audit: Option<&'static str>,
    /// The payload.
    pub data: Value,
}

/// The steps so far.
#[derive(Default)]
struct Way(Vec<Step>);

/// It went no further; the last step says why.
struct Stopped;

impl Catalogues {
    /// Walks an event's way to a reader.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let mut way = Way::default();
        let seen = walk(self, question, &mut way).ok();
        Explanation { steps: way.0, seen }
    }
}

impl Explanation {
    /// Where it stopped, and why.
    #[must_use]
    pub fn stopped(&self) -> Option<&Step> {
        self.steps.last().filter(|step| step.outcome == Outcome::Stopped)
    }
}

impl Way {
    fn pass(&mut self, step: &'static str, why: impl Into<String>) {
        self.0.push(Step { step, outcome: Outcome::Passed, why: why.into() });
    }

    fn trim(&mut self, step: &'static str, why: impl Into<String>) {
        self.0.push(Step { step, outcome: Outcome::Trimmed, why: why.into() });
    }

    fn stop(&mut self, step: &'static str, why: impl Into<String>) -> Stopped {
        self.0.push(Step { step, outcome: Outcome::Stopped, why: why.into() });
        Stopped
    }
}

fn walk(catalogues: &Catalogues, question: &Question<'_>, way: &mut Way) -> Result<Seen, Stopped> {
    let mut event = question.event.clone();
    publish(catalogues, question, &mut event, way)?;
    let policy = place(catalogues, &event, way)?;
    let delivery = route(policy, &event, question, way)?;
    let view = read(catalogues, question, &delivery, way)?;
    let parsed = delivery.views.get(view).and_then(|view| serde_json::from_slice(&view.data).ok());
    Ok(Seen {
        lane: delivery.lane,
        conflation_key: delivery.conflation_key.clone(),
        expires: delivery.expires.map(|at| at.to_string()),
        budget: Budget::header(policy.budgets(delivery.lane)),
        audit: policy.audits_deliveries().then_some(DELIVERIES),
        data: parsed.unwrap_or_default(),
    })
}

/// The ingest's part: whether it is let in, and whether a wish counts.
fn publish(
    catalogues: &Catalogues,
    question: &Question<'_>,
    event: &mut Attributes,
    way: &mut Way,
) -> Result<(), Stopped> {
    let Some(publisher) = question.publisher else {
        way.pass("publish", "its producer writes to the log itself: Kafka's own rights count");
        return Ok(());
    };
    let wished = event.priority;
    if let Err(refused) = catalogues.admit(publisher, event) {
        return Err(way.stop("publish", format!("{} may not publish to {}: {refused}", who(publisher), event.channel)));
    }
    way.pass("publish", format!("{} may publish to {}", who(publisher), event.channel));
    match (wished, event.priority) {
        (Some(lane), None) => way.trim("wish", format!("{} may not wish for {lane}: ignored", who(publisher))),
        (Some(lane), Some(_)) => way.pass("wish", format!("{} may wish for {lane}", who(publisher))),
        (None, _) => {}
    }
    Ok(())
}

/// Whether a catalogue knows the type, for channels of this kind.
fn place<'c>(catalogues: &'c Catalogues, event: &Attributes, way: &mut Way) -> Result<&'c TypePolicy, Stopped> {
    match catalogues.place(event) {
        Ok(policy) => {
            way.pass("type", format!("{} is declared, for channels {}:…", policy.event_type(), policy.channel_kind()));
            Ok(policy)
        }
        Err(error @ Unplaced::Type) => Err(way.stop("type", error.to_string())),
        Err(error @ (Unplaced::Kind | Unplaced::OtherKind)) => Err(way.stop("channel kind", error.to_string())),
    }
}

/// The router's part: what policy writes on the event.
fn route(policy: &TypePolicy, event: &Attributes, question: &Question<'_>, way: &mut Way) -> Result<Delivery, Stopped> {
    let mut payload = policy.schema().from_json(question.data).map_err(|mismatches| {
        let words = mismatches.iter().map(ToString::to_string);
        way.stop("schema", format!("the data does not fit the schema: {}", words.collect::<Vec<_>>().join("; ")))
    })?;
    way.pass("schema", format!("the data is a {}", policy.schema().full_name().unwrap_or_default()));
    enrich(policy, &mut payload, question, way)?;
    let time = event.time.unwrap_or(question.routed_at);
    let routing = policy
        .route(event, &event.channel, time, &payload)
        .map_err(|error| way.stop("rules", format!("{error}; it goes to the DLQ")))?;
    let origin = Origin { partition: TopicPartition::new("", 0), offset: 0, index: 0 };
    let delivery = routing.deliver(event, Came { time, accepted_time: question.routed_at, origin });
    way.pass("lane", delivery.lane.to_string());
    for (step, names) in [
        ("requires", delivery.required_labels.iter().map(Label::to_string).collect()),
        ("only_users", delivery.only_users.clone()),
        ("except_author", delivery.except_author.iter().cloned().collect()),
        ("regions", delivery.regions.clone()),
        ("conflate", delivery.conflation_key.iter().cloned().collect()),
        ("expires", delivery.expires.iter().map(ToString::to_string).collect::<Vec<String>>()),
        ("budget", Budget::header(policy.budgets(delivery.lane)).into_iter().collect()),
        ("audit", policy.audits_deliveries().then(|| DELIVERIES.to_owned()).into_iter().collect()),
    ] {
        if !names.is_empty() {
            way.pass(step, names.join(", "));
        }
    }
    let views: Vec<String> = delivery.views.iter().map(|view| labels(&view.labels)).collect();
    way.pass("views", views.join(" | "));
    Ok(delivery)
}

/// Rows as they were handed in, else samples.
struct Known<'a>(&'a BTreeMap<String, BTreeMap<String, Value>>);

impl Rows for Known<'_> {
    fn row(&self, reference: &Reference, key: &str) -> Row {
        let rows = self.0.get(reference.name()).unwrap_or(reference.samples());
        let row = rows.get(key).and_then(|row| reference.schema().from_json(row).ok());
        row.map_or(Row::Missing, Row::Found)
    }
}

/// What is filled from rows, and what becomes of the event where one is missing and does not come.
fn enrich(
    policy: &TypePolicy,
    payload: &mut apache_avro::types::Value,
    question: &Question<'_>,
    way: &mut Way,
) -> Result<(), Stopped> {
    let rows = Known(question.rows);
    for join in policy.joins() {
        let name = join.reference().name();
        let Some(key) = join.key(payload) else {
            way.pass("enrich", format!("the event names no row of {name}"));
            continue;
        };
        let fills: Vec<&str> = join.places().collect();
        match rows.row(join.reference(), &key) {
            Row::Found(_) => way.pass("enrich", format!("{name} has a row {key:?}: it fills {}", fills.join(", "))),
            Row::Missing | Row::Unread => {
                way.pass("enrich", format!("{name} has no row {key:?}: {}", in_words(join.missing())));
            }
        }
    }
    policy.enrich(payload, &rows, Duration::MAX).map_err(|unjoined| match unjoined {
        Unjoined::DeadLetter { reference } => {
            way.stop("enrich", format!("without its row of {reference} it goes to the DLQ"))
        }
        Unjoined::Wait(awaited) => way.stop("enrich", format!("it waits for {}", awaited.reference)),
    })
}

/// The edge's part: the channel's right, then what is on the event, then the filter.
fn read(
    catalogues: &Catalogues,
    question: &Question<'_>,
    delivery: &Delivery,
    way: &mut Way,
) -> Result<usize, Stopped> {
    let (reader, from) = subscribe(catalogues, question, delivery, way)?;
    let (claims, held) = (question.reader, reader.labels.iter().cloned().collect::<Vec<Label>>());
    let (step, why) = match reader.sees(delivery, question.routed_at, question.read_at) {
        Sight::View(view) => {
            way.pass("audience", format!("it is for {}, with {}", who(claims), labels(&held)));
            show(delivery, view, way);
            if let Some(filter) = &question.filter {
                way.pass("filter", format!("{} is true", filter.text()));
            }
            return Ok(view);
        }
        Sight::Withheld(withheld) => {
            let step = if withheld == Withheld::History { "history" } else { "audience" };
            (step, withheld_in_words(withheld, delivery, &held, (question.routed_at, from)))
        }
        Sight::Expired => ("expires", "it is no longer worth delivering".to_owned()),
        Sight::Filtered => ("filter", "the filter is not true on what this reader would get".to_owned()),
    };
    Err(way.stop(step, why))
}

/// The channel's right, by the token or by a grant, and since when.
fn subscribe(
    catalogues: &Catalogues,
    question: &Question<'_>,
    delivery: &Delivery,
    way: &mut Way,
) -> Result<(Reader, Option<Timestamp>), Stopped> {
    let (claims, granted) = (question.reader, question.granted);
    let channel = ChannelPattern::One(delivery.channel.clone());
    let entitled = catalogues.entitle(claims, granted, &channel).map_err(|refusal| {
        let revoked = if standing(granted, &channel) == Standing::Revoked { ", for it was revoked" } else { "" };
        way.stop("subscribe", format!("{} may not subscribe to {channel}: {refusal}{revoked}", who(claims)))
    })?;
    let by_grant = if entitled.by_grant { ", by what they were granted" } else { "" };
    way.pass("subscribe", format!("{} may subscribe to {channel}{by_grant}", who(claims)));
    let from = entitled.visible_from;
    let reader = catalogues.reader(&widen(claims, granted)).seeing(Visible::of(&[(channel, entitled)]));
    Ok((reader.filtered(question.filter.clone()), from))
}

fn show(delivery: &Delivery, view: usize, way: &mut Way) {
    let Some(chosen) = delivery.views.get(view) else { return };
    let json = |view: &schemas::delivery::View| serde_json::from_slice::<Value>(&view.data).unwrap_or_default();
    let most = delivery.views.last().map(json).unwrap_or_default();
    let mut trimmed = BTreeSet::new();
    differences("", &most, &json(chosen), &mut trimmed);
    let name = format!("the view for {}", labels(&chosen.labels));
    if trimmed.is_empty() {
        way.pass("view", name);
    } else {
        way.trim(
            "view",
            format!("{name}; less than the largest by {}", trimmed.into_iter().collect::<Vec<_>>().join(", ")),
        );
    }
}

/// JSON pointers to what is absent or other in a smaller view.
fn differences(path: &str, whole: &Value, seen: &Value, found: &mut BTreeSet<String>) {
    match (whole, seen) {
        (Value::Object(whole), Value::Object(seen)) => {
            for (name, value) in whole {
                let path = format!("{path}/{name}");
                match seen.get(name) {
                    Some(seen) => differences(&path, value, seen, found),
                    None => drop(found.insert(format!("{path} (absent)"))),
                }
            }
        }
        (Value::Array(whole), Value::Array(seen)) => {
            let pairs = whole.iter().zip(seen).enumerate();
            pairs.for_each(|(at, (whole, seen))| differences(&format!("{path}/{at}"), whole, seen, found));
        }
        (whole, seen) if whole == seen => {}
        (_, _) => drop(found.insert(format!("{path} (masked)"))),
    }
}
