//! A follower of the embedded log.

use std::sync::Arc;

use async_trait::async_trait;
use schemas::partition::TopicPartition;

use super::config::PAGE_RECORDS;
use super::fetch::{Fetched, Fetcher};
use super::log::Log;
use crate::follow::{FollowSettings, Followed, Follower};

/// Follows partitions. Reads nothing ahead of [`Follower::next`].
#[derive(Debug)]
pub(super) struct EmbeddedFollower {
    fetcher: Fetcher,
}

impl EmbeddedFollower {
    /// A follower without partitions.
    pub fn new(log: Arc<Log>, settings: &FollowSettings) -> Self {
        Self { fetcher: Fetcher::new(log, PAGE_RECORDS, settings.queue_bytes) }
    }
}

#[async_trait]
impl Follower for EmbeddedFollower {
    fn assign(&mut self, partition: TopicPartition, from: u64) {
        self.fetcher.start(partition, from);
    }

    fn release(&mut self, partition: &TopicPartition) {
        self.fetcher.stop(partition);
    }

    async fn next(&mut self) -> Followed {
        loop {
            match self.fetcher.take().await {
                Some(Fetched::Records(partition, records)) => return Followed::Records { partition, records },
                Some(Fetched::End(partition, at)) => return Followed::End { partition, at },
                Some(Fetched::OutOfRange(partition, start, end)) => {
                    return Followed::OutOfRange { partition, start, end };
                }
                Some(Fetched::Trouble(error)) => return Followed::Trouble(error),
                None => self.fetcher.wait().await,
            }
        }
    }
}
