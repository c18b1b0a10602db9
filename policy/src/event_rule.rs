//! Event rules: what policy makes of one event.
//!
//! In: an event's attributes and its decoded payload. Out: a [`Routing`]: lane, required labels, expiry, conflation key and
//! the payload once per view. It is a pure function of the event and the catalogue; a rule that fails refuses the event.

use std::sync::Arc;
use std::time::Duration;

use apache_avro::types::Value as Avro;
use bytes::{Bytes, BytesMut};
use cel::Context;
use schemas::avro::AvroSchema;
use schemas::channel::Channel;
use schemas::delivery::{Delivery, Origin, View};
use schemas::event::Attributes;
use schemas::id::{EventType, Label};
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use schemas::{cloudevent, limits};

use crate::channel_rule::channel_value;
use crate::functions;
use crate::reads::{Read, Reads};
use crate::rule::Rule;
use crate::value::{self, CelValue};
use crate::view::LabelSet;

/// What a rendered event has beside its payload, at the most, when every byte of its attributes is escaped to `\u00XX`.
const ESCAPED_BYTES: usize = 6;
/// The names of all attributes, their quotes, and the attributes of fixed size.
const ENVELOPE_BYTES: usize = 1024;

/// What policy makes of an event: a pure function of the event and the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// How urgent.
    pub lane: Lane,
    /// What a reader must hold to get it at all; sorted.
    pub required_labels: Vec<Label>,
    /// When it is no longer worth delivering: the earlier of what the producer and the catalogue say.
    pub expires: Option<Timestamp>,
    /// Its conflation key.
    pub conflation_key: Option<String>,
    /// The payload by view: closed under union, sorted by number of labels, the first without labels.
    pub views: Vec<View>,
}

/// A rule failed on this event: it is refused, never guessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The rule could not be evaluated; never holds payload.
    #[error("the rule {rule} failed: {detail}")]
    Rule {
        /// Which.
        rule: &'static str,
        /// Why.
        detail: String,
    },
    /// The rendered event is over the limit.
    #[error("the event has {size} bytes as rendered, more than {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// The policy of one event type.
#[derive(Debug)]
pub struct TypePolicy {
    pub(crate) event_type: EventType,
    pub(crate) schema: AvroSchema,
    pub(crate) channel_kind: String,
    pub(crate) lane: LaneRule,
    pub(crate) requires: LabelSet,
    pub(crate) expires: Option<Duration>,
    pub(crate) conflate: Option<Rule>,
    /// What the rules read together: the payload's CEL value is built once.
    pub(crate) reads: Reads,
    /// The label sets of its views, the last being the union of all.
    pub(crate) views: Vec<LabelSet>,
    pub(crate) event_bytes_max: usize,
}

/// How a type's lane is found.
#[derive(Debug)]
pub(crate) enum LaneRule {
    /// The catalogue is silent: the lane that the producer wishes, else medium.
    Producer,
    /// Always this one.
    Fixed(Lane),
    /// By rule; the producer's wish counts only where the rule reads it as `event.priority`.
    Rule(Rule),
}

impl TypePolicy {
    /// The type.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// Its schema in the catalogue: what payloads are resolved to, and whose labels count.
    #[must_use]
    pub fn schema(&self) -> &AvroSchema {
        &self.schema
    }

    /// The kind of channel that its events go to.
    #[must_use]
    pub fn channel_kind(&self) -> &str {
        &self.channel_kind
    }

    /// The label sets that get a view of their own, in the order of [`Routing::views`].
    #[must_use]
    pub fn views(&self) -> &[LabelSet] {
        &self.views
    }

    /// Decides on an event whose payload is a value of [`TypePolicy::schema`]. `time` is `ce_time`, else the append time.
    ///
    /// # Errors
    /// A rule fails on it, or it is larger than [`crate::Catalogues::with_event_bytes_max`] allows.
    pub fn route(
        &self,
        attributes: &Attributes,
        channel: &Channel,
        time: Timestamp,
        payload: &Avro,
    ) -> Result<Routing, RouteError> {
        let (lane, conflation_key) = self.decide(attributes, channel, time, payload)?;
        let ends = self.expires.map(|after| time.plus(after));
        let routing = Routing {
            lane,
            required_labels: self.requires.iter().cloned().collect(),
            expires: attributes.expires.into_iter().chain(ends).min(),
            conflation_key,
            views: self.views.iter().map(|labels| self.view(labels, payload)).collect(),
        };
        self.check_size(attributes, channel, time, &routing)?;
        Ok(routing)
    }

    fn view(&self, labels: &LabelSet, payload: &Avro) -> View {
        let mut data = Vec::new();
        self.schema.write_json(payload, labels, &mut data);
        View { labels: labels.iter().cloned().collect(), data: Bytes::from(data) }
    }

    /// The lane and the conflation key.
    fn decide(
        &self,
        attributes: &Attributes,
        channel: &Channel,
        time: Timestamp,
        payload: &Avro,
    ) -> Result<(Lane, Option<String>), RouteError> {
        let mut context = functions::context();
        if let Some(read) = self.reads.of("payload") {
            context.add_variable_as_val("payload", value::of_record(payload, read));
        }
        if let Some(read) = self.reads.of("event") {
            context.add_variable_as_val("event", event_value(attributes, channel, time, read));
        }
        if let Some(read) = self.reads.of("channel") {
            context.add_variable_as_val("channel", channel_value(channel.kind(), channel.id(), read));
        }
        let lane = match &self.lane {
            LaneRule::Producer => attributes.priority.unwrap_or(Lane::Medium),
            LaneRule::Fixed(lane) => *lane,
            LaneRule::Rule(rule) => lane(rule, &context)?,
        };
        let key = match &self.conflate {
            None => attributes.conflation_key.clone(),
            Some(rule) => conflation_key(rule, &context)?,
        };
        Ok((lane, key))
    }

    /// An event far below the limit is not rendered: what its attributes can be at the most is added to its payload.
    fn check_size(
        &self,
        attributes: &Attributes,
        channel: &Channel,
        time: Timestamp,
        routing: &Routing,
    ) -> Result<(), RouteError> {
        let limit = self.event_bytes_max;
        let largest = routing.views.iter().map(|view| view.data.len()).max().unwrap_or_default();
        let texts = [
            attributes.id.as_str(),
            attributes.source.as_str(),
            attributes.event_type.as_str(),
            channel.as_str(),
            attributes.tenant.as_str(),
            attributes.author.as_deref().unwrap_or_default(),
            routing.conflation_key.as_deref().unwrap_or_default(),
        ];
        let most = largest + ENVELOPE_BYTES + ESCAPED_BYTES * texts.iter().map(|text| text.len()).sum::<usize>();
        if most <= limit {
            return Ok(());
        }
        match rendered_bytes(attributes, channel, time, routing) {
            size if size > limit => Err(RouteError::TooLarge { size, limit }),
            _ => Ok(()),
        }
    }
}

fn lane(rule: &Rule, context: &Context<'_, '_>) -> Result<Lane, RouteError> {
    let failed = |detail: String| RouteError::Rule { rule: "lane", detail };
    let word = rule.evaluate_text(context).map_err(failed)?;
    let lane = word.and_then(|word| Lane::parse(&word).ok());
    lane.ok_or_else(|| failed("it gives what is no lane".to_owned()))
}

/// Null and the empty text are no key.
fn conflation_key(rule: &Rule, context: &Context<'_, '_>) -> Result<Option<String>, RouteError> {
    let failed = |detail: String| RouteError::Rule { rule: "conflate", detail };
    let key = rule.evaluate_text(context).map_err(failed)?.filter(|key| !key.is_empty());
    match key {
        Some(key) if key.len() > limits::ATTRIBUTE_BYTES => {
            Err(failed(format!("it gives {} bytes, more than {}", key.len(), limits::ATTRIBUTE_BYTES)))
        }
        key => Ok(key.map(Arc::unwrap_or_clone)),
    }
}

/// `event`: the attributes, absent ones as null; `time` is a timestamp.
fn event_value<'v>(attributes: &'v Attributes, channel: &'v Channel, time: Timestamp, read: &Read) -> CelValue<'v> {
    let mut fields = vec![
        ("id", value::text(Some(attributes.id.as_str()))),
        ("type", value::text(Some(attributes.event_type.as_str()))),
        ("source", value::text(Some(attributes.source.as_str()))),
        ("subject", value::text(Some(channel.as_str()))),
        ("tenant", value::text(Some(attributes.tenant.as_str()))),
        ("priority", value::text(attributes.priority.map(Lane::as_str))),
        ("author", value::text(attributes.author.as_deref())),
        ("time", value::moment(time.millis())),
    ];
    fields.retain(|(name, _)| read.reads(name));
    value::map(fields)
}

/// The fields of `event`.
pub(crate) const EVENT_FIELDS: [&str; 8] = ["id", "type", "source", "subject", "tenant", "priority", "author", "time"];

/// The bytes of the largest rendering.
fn rendered_bytes(attributes: &Attributes, channel: &Channel, time: Timestamp, routing: &Routing) -> usize {
    let delivery = Delivery {
        id: attributes.id.clone(),
        event_type: attributes.event_type.clone(),
        source: attributes.source.clone(),
        channel: channel.clone(),
        tenant: attributes.tenant.clone(),
        time,
        accepted_time: time,
        lane: routing.lane,
        origin: Origin { partition: TopicPartition::new("", 0), offset: 0, index: 0 },
        epoch: 0,
        required_labels: routing.required_labels.clone(),
        regions: Vec::new(),
        only_users: Vec::new(),
        except_author: attributes.author.clone(),
        expires: routing.expires,
        conflation_key: routing.conflation_key.clone(),
        principal: None,
        views: routing.views.clone(),
    };
    let mut rendered = BytesMut::new();
    let sizes = (0..delivery.views.len()).map(|view| {
        rendered.clear();
        cloudevent::render(&delivery, view, &mut rendered);
        rendered.len()
    });
    sizes.max().unwrap_or_default()
}
