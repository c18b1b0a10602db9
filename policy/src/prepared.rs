//! An event as rules see it: their context, built once, and what each rule makes of it.
//!
//! In: an event's attributes and its payload. Out: its lane, its audience, its end, its conflation key. A rule that fails refuses the event.

use std::sync::Arc;

use apache_avro::types::Value as Avro;
use cel::{Context, Value};
use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::lane::Lane;
use schemas::limits;
use schemas::time::Timestamp;

use crate::audience::Audience;
use crate::channel_rule::channel_value;
use crate::event_rule::{Expiry, LaneRule, RouteError, TypePolicy};
use crate::functions;
use crate::reads::Read;
use crate::rule::Rule;
use crate::value::{self, CelValue};

/// An event whose rules can be asked.
pub struct Prepared<'v> {
    policy: &'v TypePolicy,
    attributes: &'v Attributes,
    time: Timestamp,
    context: Context<'v, 'v>,
}

impl std::fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({})", self.attributes.event_type)
    }
}

impl TypePolicy {
    /// What the rules read of an event, built once for all of them. The payload is a value of [`TypePolicy::schema`].
    #[must_use]
    pub fn prepare<'v>(
        &'v self,
        attributes: &'v Attributes,
        channel: &'v Channel,
        time: Timestamp,
        payload: &'v Avro,
    ) -> Prepared<'v> {
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
        Prepared { policy: self, attributes, time, context }
    }
}

impl Prepared<'_> {
    /// How urgent it is.
    ///
    /// # Errors
    /// The rule fails on it.
    pub fn lane(&self) -> Result<Lane, RouteError> {
        match &self.policy.lane {
            LaneRule::Producer => Ok(self.attributes.priority.unwrap_or(Lane::Medium)),
            LaneRule::Fixed(lane) => Ok(*lane),
            LaneRule::Rule(rule) => lane(rule, &self.context),
        }
    }

    pub(crate) fn audience(&self) -> Result<Audience, RouteError> {
        self.policy.audience.decide(self.attributes, &self.context)
    }

    pub(crate) fn conflation_key(&self) -> Result<Option<String>, RouteError> {
        match &self.policy.conflate {
            None => Ok(self.attributes.conflation_key.clone()),
            Some(rule) => conflation_key(rule, &self.context),
        }
    }

    /// What the catalogue says of the event's end.
    pub(crate) fn ends(&self) -> Result<Option<Timestamp>, RouteError> {
        match &self.policy.expires {
            Expiry::Never => Ok(None),
            Expiry::After(after) => Ok(Some(self.time.plus(*after))),
            Expiry::Rule(rule) => end(rule, self.time, &self.context),
        }
    }
}

fn lane(rule: &Rule, context: &Context<'_, '_>) -> Result<Lane, RouteError> {
    let failed = |detail: String| RouteError::rule("lane", detail);
    let word = rule.evaluate_text(context).map_err(failed)?;
    let lane = word.and_then(|word| Lane::parse(&word).ok());
    lane.ok_or_else(|| failed("it gives what is no lane".to_owned()))
}

/// Null and the empty text are no key.
fn conflation_key(rule: &Rule, context: &Context<'_, '_>) -> Result<Option<String>, RouteError> {
    let failed = |detail: String| RouteError::rule("conflate", detail);
    let key = rule.evaluate_text(context).map_err(failed)?.filter(|key| !key.is_empty());
    match key {
        Some(key) if key.len() > limits::ATTRIBUTE_BYTES => {
            Err(failed(format!("it gives {} bytes, more than {}", key.len(), limits::ATTRIBUTE_BYTES)))
        }
        key => Ok(key.map(Arc::unwrap_or_clone)),
    }
}

/// A time, a duration after the event's, or null for never.
fn end(rule: &Rule, time: Timestamp, context: &Context<'_, '_>) -> Result<Option<Timestamp>, RouteError> {
    let failed = |detail: String| RouteError::rule("expires", detail);
    let given = rule.evaluate(context).map_err(failed)?;
    if let Value::Timestamp(at) = given {
        return Ok(Some(Timestamp::from_millis(at.timestamp_millis())));
    }
    if let Value::Duration(after) = given {
        return Ok(Some(Timestamp::from_millis(time.millis().saturating_add(after.num_milliseconds()))));
    }
    if given == Value::Null { Ok(None) } else { Err(failed(format!("it gives {}, not a time", given.type_of()))) }
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
