//! Events that the log has acknowledged lately: a producer's repeat of one is answered without the log.
//!
//! Only a short cut. It lives in this process and forgets under its bound; the router finds every other repeat (design 3.4).

use std::hash::{BuildHasher, RandomState};

use moka::sync::Cache;
use schemas::event::Attributes;

use crate::config::Config;

/// What makes two records the same event, as 128 keyed bits: (tenant, source, id, channel, principal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(u64, u64);

/// The remembered identities.
#[derive(Debug)]
pub(crate) struct Known {
    keys: [RandomState; 2],
    acknowledged: Cache<Identity, ()>,
}

impl Known {
    pub(crate) fn new(config: &Config) -> Self {
        let acknowledged = Cache::builder().max_capacity(config.known_events).time_to_live(config.known_window).build();
        Self { keys: [RandomState::new(), RandomState::new()], acknowledged }
    }

    pub(crate) fn identity(&self, event: &Attributes) -> Identity {
        let parts = (&event.tenant, &event.source, &event.id, &event.channel, &event.principal);
        let [first, second] = &self.keys;
        Identity(first.hash_one(parts), second.hash_one(parts))
    }

    pub(crate) fn is_acknowledged(&self, identity: Identity) -> bool {
        self.acknowledged.contains_key(&identity)
    }

    pub(crate) fn acknowledged(&self, identity: Identity) {
        self.acknowledged.insert(identity, ());
    }
}
