//! Event rules: what policy makes of one event.
//!
//! In: an event's attributes and its decoded payload. Out: a [`Routing`]: lane, who gets it, expiry, conflation key and
//! the payload once per view. It is a pure function of the event and the catalogue; a rule that fails refuses the event.

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::types::Value as Avro;
use bytes::{Bytes, BytesMut};
use schemas::avro::{AvroSchema, MaskKey, Masking};
use schemas::budget::Budget;
use schemas::channel::Channel;
use schemas::cloudevent;
use schemas::delivery::{Delivery, Origin, View};
use schemas::event::Attributes;
use schemas::id::{EventType, Label, Tenant};
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::audience::{Audience, AudienceRules};
use crate::channel_rule::ChannelRule;
use crate::enrichment::{self, Join, Rows, Unjoined};
use crate::reads::Reads;
use crate::rule::Rule;
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
    /// Where a reader must be; none means anywhere.
    pub regions: Vec<String>,
    /// Who alone gets it; none means everyone.
    pub only_users: Vec<String>,
    /// The author, where they do not get it.
    pub except_author: Option<String>,
    /// When it is no longer worth delivering: the earlier of what the producer and the catalogue say.
    pub expires: Option<Timestamp>,
    /// Its conflation key.
    pub conflation_key: Option<String>,
    /// Who caused it: the author that it names, else who published it. Only where its kind tells of receipts, and it is none of those.
    pub author: Option<String>,
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

/// Where a routed event came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// `ce_time`, else the append time.
    pub time: Timestamp,
    /// The append time of the source record.
    pub accepted_time: Timestamp,
    /// The source record.
    pub origin: Origin,
}

impl Routing {
    /// The event as it stands in its lane. Its epoch is the writer's to say, and 0 here.
    #[must_use]
    pub fn deliver(self, attributes: &Attributes, came: Came) -> Delivery {
        Delivery {
            id: attributes.id.clone(),
            event_type: attributes.event_type.clone(),
            source: attributes.source.clone(),
            channel: attributes.channel.clone(),
            tenant: attributes.tenant.clone(),
            time: came.time,
            accepted_time: came.accepted_time,
            lane: self.lane,
            origin: came.origin,
            epoch: 0,
            required_labels: self.required_labels,
            regions: self.regions,
            only_users: self.only_users,
            except_author: self.except_author,
            expires: self.expires,
            conflation_key: self.conflation_key,
            principal: attributes.principal.clone(),
            views: self.views,
            author: self.author,
        }
    }
}

impl RouteError {
    pub(crate) fn rule(rule: &'static str, detail: impl Into<String>) -> Self {
        Self::Rule { rule, detail: detail.into() }
    }
}

/// The policy of one event type.
#[derive(Debug)]
pub struct TypePolicy {
    pub(crate) event_type: EventType,
    pub(crate) schema: AvroSchema,
    pub(crate) channel_kind: String,
    pub(crate) lane: LaneRule,
    pub(crate) wishes: Wishes,
    pub(crate) audience: AudienceRules,
    pub(crate) expires: Expiry,
    pub(crate) conflate: Option<Rule>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) audits_deliveries: bool,
    /// Its kind tells of receipts, and not by this type.
    pub(crate) takes_receipts: bool,
    pub(crate) joins: Vec<Join>,
    /// What the rules read together: the payload's CEL value is built once.
    pub(crate) reads: Reads,
    pub(crate) dedupe: Option<Duration>,
    /// The label sets of its views, the last being the union of all.
    pub(crate) views: Vec<LabelSet>,
    pub(crate) event_bytes_max: usize,
    pub(crate) mask_key: MaskKey,
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

/// Whose wish for a lane counts.
#[derive(Debug)]
pub(crate) enum Wishes {
    /// That of everybody who may publish.
    Anyone,
    /// For each lane that of whom its rule lets; for others nobody's.
    By(BTreeMap<Lane, ChannelRule>),
}

/// When an event of a type is no longer worth delivering.
#[derive(Debug)]
pub(crate) enum Expiry {
    /// The catalogue is silent.
    Never,
    /// So long after its time.
    After(Duration),
    /// By rule.
    Rule(Rule),
}

impl TypePolicy {
    /// How long a record with an id that was delivered is a producer's repeat; none where the router says.
    #[must_use]
    pub fn dedupe_window(&self) -> Option<Duration> {
        self.dedupe
    }

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

    /// Whether it is recorded who is given its events.
    #[must_use]
    pub fn audits_deliveries(&self) -> bool {
        self.audits_deliveries
    }

    /// Whether its events' authors hear who has them.
    #[must_use]
    pub fn takes_receipts(&self) -> bool {
        self.takes_receipts
    }

    /// How many of its events a stream is given in a time: they count in the low lane only.
    #[must_use]
    pub fn budgets(&self, lane: Lane) -> &[Budget] {
        match lane {
            Lane::High | Lane::Medium => &[],
            Lane::Low => &self.budgets,
        }
    }

    /// The label sets that get a view of their own, in the order of [`Routing::views`].
    #[must_use]
    pub fn views(&self) -> &[LabelSet] {
        &self.views
    }

    /// What its events are enriched from.
    #[must_use]
    pub fn joins(&self) -> &[Join] {
        &self.joins
    }

    /// Fills the places of a payload that rows fill; what a producer wrote there does not count. `waited` is how long the event has waited.
    ///
    /// # Errors
    /// It waits for a row or a whole table, or it is to be dead-lettered; the payload is as it was.
    pub fn enrich(&self, payload: &mut Avro, rows: &dyn Rows, waited: Duration) -> Result<(), Unjoined> {
        enrichment::enrich(&self.joins, payload, rows, waited)
    }

    /// Labels that a rule of `requires` may name.
    pub(crate) fn labels_of_rules(&self) -> impl Iterator<Item = Label> {
        self.audience.labels()
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
        let prepared = self.prepare(attributes, channel, time, payload);
        let Audience { required_labels, only_users, except_author, regions } = prepared.audience()?;
        let ends = prepared.ends()?;
        let routing = Routing {
            lane: prepared.lane()?,
            required_labels,
            regions,
            only_users,
            except_author,
            expires: attributes.expires.into_iter().chain(ends).min(),
            conflation_key: prepared.conflation_key()?,
            author: self.author(attributes),
            views: self.views.iter().map(|labels| self.view(labels, payload, &attributes.tenant)).collect(),
        };
        self.check_size(attributes, channel, time, &routing)?;
        Ok(routing)
    }

    /// The payload in the longest of its views, with all fields or with masks in their place. It is as long under any key.
    #[must_use]
    pub fn widest(&self, payload: &Avro, tenant: &Tenant) -> Bytes {
        let mut whole = Vec::new();
        self.schema.write_json(payload, &self.schema.labels(), &mut whole);
        if !self.schema.hashes() {
            return whole.into();
        }
        let views = self.views.iter().map(|labels| self.view(labels, payload, tenant).data);
        views.chain([Bytes::from(whole)]).max_by_key(Bytes::len).unwrap_or_default()
    }

    /// A payload as plain JSON, as who holds these labels may see it.
    pub(crate) fn shown(
        &self,
        data: &serde_json::Value,
        held: &LabelSet,
        tenant: &Tenant,
    ) -> Option<serde_json::Value> {
        let payload = self.schema.from_json(data).ok()?;
        serde_json::from_slice(&self.view(held, &payload, tenant).data).ok()
    }

    fn author(&self, attributes: &Attributes) -> Option<String> {
        let author = attributes.author.as_ref().or(attributes.principal.as_ref());
        author.filter(|_| self.takes_receipts).cloned()
    }

    fn view(&self, labels: &LabelSet, payload: &Avro, tenant: &Tenant) -> View {
        let mut data = Vec::new();
        self.schema.write_view(payload, labels, Masking { key: &self.mask_key, tenant }, &mut data);
        View { labels: labels.iter().cloned().collect(), data: Bytes::from(data) }
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

/// The bytes of the largest rendering.
fn rendered_bytes(attributes: &Attributes, channel: &Channel, time: Timestamp, routing: &Routing) -> usize {
    let origin = Origin { partition: TopicPartition::new("", 0), offset: 0, index: 0 };
    let delivery = routing.clone().deliver(attributes, Came { time, accepted_time: time, origin });
    let delivery = Delivery { channel: channel.clone(), ..delivery };
    let mut rendered = BytesMut::new();
    let sizes = (0..delivery.views.len()).map(|view| {
        rendered.clear();
        cloudevent::render(&delivery, view, &mut rendered);
        rendered.len()
    });
    sizes.max().unwrap_or_default()
}
