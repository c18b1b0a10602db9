//! What a stream is subscribed to: channels that policy lets its reader have, and the partitions that these stand in. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::topics::Generations;
use policy::channel_rule;
use policy::{Catalogues, Claims, Entitled, Filter, Visible};
use schemas::channel::ChannelPattern;
use schemas::id::Tenant;
use schemas::lane::Lane;
use schemas::limits;
use schemas::partition::DeliveryPartition;
use schemas::problem::Slug;
use serde::Serialize;
use utoipa::ToSchema;

use crate::audited;
use crate::entry::{channel_key, kind_key, partitions_under};
use crate::grants::Bearer;
use crate::refusal::Refusal;

/// The decision on every channel that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Those that are granted, in the order they were asked for.
    pub granted: Vec<ChannelPattern>,
    /// Those that are not.
    pub refused: Vec<Refused>,
    /// What its reader wants of them; none means all.
    pub filter: Option<Filter>,
    /// What of the granted ones is seen.
    pub visible: Visible,
    /// Whether something of it is the reader's by a grant only.
    pub by_grant: bool,
}

/// A channel that is refused, as notices say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refused {
    /// As it was asked for.
    pub channel: String,
    /// Why.
    pub reason: RefusedReason,
}

/// Why a channel is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedReason {
    /// Policy says no.
    Forbidden,
    /// No catalogue declares the kind.
    UnknownKind,
    /// It is no channel.
    Malformed,
    /// One more than a connection may have.
    Limit,
}

impl Subscription {
    /// To no channel.
    #[must_use]
    pub fn nothing() -> Self {
        let visible = Visible::default();
        Self { granted: Vec::new(), refused: Vec::new(), filter: None, visible, by_grant: false }
    }

    /// Decides on channels.
    ///
    /// # Errors
    /// None is granted: 400 where all are malformed, 401 where a token could help, else 403.
    pub fn decide(catalogues: &Catalogues, bearer: &Bearer, asked: &[String]) -> Result<Self, Refusal> {
        let (mut decided, mut rights) = (Self::nothing(), Vec::new());
        for channel in asked {
            match decide_one(catalogues, bearer, channel, &rights) {
                Ok(right) => rights.extend(right),
                Err(reason) => decided.refuse(channel, reason),
            }
        }
        let decided = decided.with(catalogues, bearer, rights);
        if decided.granted.is_empty() { Err(decided.refusal(&bearer.claims)) } else { Ok(decided) }
    }

    /// What is left of channels that a connection has, and what is not.
    #[must_use]
    pub fn keep(catalogues: &Catalogues, bearer: &Bearer, held: &[ChannelPattern]) -> Self {
        let (mut kept, mut rights) = (Self::nothing(), Vec::new());
        for pattern in held {
            match catalogues.entitle(&bearer.claims, &bearer.grant, pattern) {
                Ok(right) => rights.push((pattern.clone(), right)),
                Err(refusal) => kept.refuse(&pattern.to_string(), refusal.into()),
            }
        }
        kept.with(catalogues, bearer, rights)
    }

    fn with(mut self, catalogues: &Catalogues, bearer: &Bearer, rights: Vec<(ChannelPattern, Entitled)>) -> Self {
        let Bearer { claims, grant } = bearer;
        self.visible = Visible::of(&rights);
        self.by_grant = rights.iter().any(|(_, right)| right.by_grant)
            || catalogues.labels_with(claims, grant) != catalogues.labels_of(claims);
        self.granted = rights.into_iter().map(|(pattern, _)| pattern).collect();
        self
    }

    /// The same, of which its reader wants only what passes.
    #[must_use]
    pub fn filtered(self, filter: Option<Filter>) -> Self {
        Self { filter, ..self }
    }

    /// How many channels are refused because there are too many.
    #[must_use]
    pub fn over_limit(&self) -> usize {
        self.refused.iter().filter(|refused| refused.reason == RefusedReason::Limit).count()
    }

    /// The keys under which events for this subscription stand; none covers another.
    #[must_use]
    pub fn keys(&self, tenant: &Tenant) -> Vec<Arc<str>> {
        self.distinct().map(|pattern| key_of(tenant, pattern)).collect()
    }

    /// The delivery partitions that hold its channels, of every generation, each with the keys to look for, sorted.
    #[must_use]
    pub fn places(&self, tenant: &Tenant, generations: &Generations) -> BTreeMap<DeliveryPartition, Vec<Arc<str>>> {
        let mut places: BTreeMap<DeliveryPartition, Vec<Arc<str>>> = BTreeMap::new();
        for pattern in self.distinct() {
            let key = key_of(tenant, pattern);
            for partition in partitions_of(&key, generations) {
                places.entry(partition).or_default().push(key.clone());
            }
        }
        places
    }

    /// Granted patterns that no other one covers.
    pub fn distinct(&self) -> impl Iterator<Item = &ChannelPattern> {
        let covered = |pattern: &&ChannelPattern| match pattern {
            ChannelPattern::One(channel) => {
                self.granted.iter().any(|other| matches!(other, ChannelPattern::Kind(_)) && other.covers(channel))
            }
            ChannelPattern::Kind(_) => false,
        };
        self.granted.iter().filter(move |pattern| !covered(pattern))
    }

    /// The reasons take no room without bound: only so many refusals are told.
    fn refuse(&mut self, channel: &str, reason: RefusedReason) {
        let known = self.refused.iter().any(|refused| refused.channel == channel);
        if !known && self.refused.len() < limits::CHANNELS_PER_CONNECTION {
            let channel = channel.chars().take(limits::CHANNEL_BYTES).collect();
            self.refused.push(Refused { channel, reason });
        }
    }

    /// Why nothing that was asked for is granted.
    #[must_use]
    pub fn refusal(&self, claims: &Claims) -> Refusal {
        let any = |reason| self.refused.iter().any(|refused| refused.reason == reason);
        let words: Vec<_> = self
            .refused
            .iter()
            .take(8)
            .map(|refused| format!("{:?}: {}", refused.channel, refused.reason.as_str()))
            .collect();
        let detail = format!("no channel is granted ({})", words.join(", "));
        let refusal = if self.refused.iter().all(|refused| refused.reason == RefusedReason::Malformed) {
            Refusal::new(Slug::BadChannel, detail)
        } else if claims.is_anonymous() && any(RefusedReason::Forbidden) {
            Refusal::new(Slug::Unauthorized, format!("{detail}; a token may help"))
        } else {
            Refusal::new(Slug::Forbidden, detail)
        };
        refusal.of(audited::items(&self.refused))
    }
}

/// The delivery partitions that hold what stands under a key: of each generation one in each lane for a channel, all for a kind.
pub fn partitions_of(key: &str, generations: &Generations) -> impl Iterator<Item = DeliveryPartition> {
    Lane::ALL.into_iter().flat_map(move |lane| {
        let numbers = generations.ranges().flat_map(move |generation| partitions_under(key, generation));
        numbers.map(move |partition| DeliveryPartition { lane, partition })
    })
}

/// The key under which events of a pattern stand.
#[must_use]
pub fn key_of(tenant: &Tenant, pattern: &ChannelPattern) -> Arc<str> {
    match pattern {
        ChannelPattern::One(channel) => channel_key(tenant, channel),
        ChannelPattern::Kind(kind) => kind_key(tenant, kind),
    }
}

/// The pattern under whose key events stand; tenants hold no slash.
#[must_use]
pub fn pattern_of(key: &str) -> Option<ChannelPattern> {
    ChannelPattern::parse(key.split_once('/')?.1).ok()
}

/// The right, or none where it was granted before.
fn decide_one(
    catalogues: &Catalogues,
    bearer: &Bearer,
    channel: &str,
    granted: &[(ChannelPattern, Entitled)],
) -> Result<Option<(ChannelPattern, Entitled)>, RefusedReason> {
    let pattern = ChannelPattern::parse(channel).map_err(|_| RefusedReason::Malformed)?;
    if granted.iter().any(|(known, _)| *known == pattern) {
        return Ok(None);
    }
    if granted.len() >= limits::CHANNELS_PER_CONNECTION {
        return Err(RefusedReason::Limit);
    }
    let right = catalogues.entitle(&bearer.claims, &bearer.grant, &pattern)?;
    Ok(Some((pattern, right)))
}

impl From<channel_rule::Refusal> for RefusedReason {
    fn from(refusal: channel_rule::Refusal) -> Self {
        match refusal {
            channel_rule::Refusal::Forbidden => Self::Forbidden,
            channel_rule::Refusal::UnknownKind => Self::UnknownKind,
        }
    }
}

impl RefusedReason {
    /// The word, as in notices.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::UnknownKind => "unknown_kind",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
        }
    }
}
