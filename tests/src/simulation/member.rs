//! A member of the group as a router meets it: commits that fail, or succeed without saying so. The oracle looks at each that is taken.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use journal::{CommitError, Committed, Committer, GroupEvent, GroupMember, JournalError, Owned};
use schemas::partition::TopicPartition;

use super::network::FaultyJournal;

/// A member with faults.
#[derive(Debug)]
pub struct FaultyMember {
    inner: Box<dyn GroupMember>,
    network: FaultyJournal,
}

#[derive(Debug)]
struct FaultyCommitter {
    inner: Arc<dyn Committer>,
    network: FaultyJournal,
}

impl FaultyMember {
    /// Around a member of the real log.
    #[must_use]
    pub fn new(inner: Box<dyn GroupMember>, network: FaultyJournal) -> Self {
        Self { inner, network }
    }
}

#[async_trait]
impl GroupMember for FaultyMember {
    async fn next(&mut self) -> GroupEvent {
        self.inner.next().await
    }

    fn start(&mut self, owned: &Owned, from: u64) {
        self.inner.start(owned, from);
    }

    fn pause(&mut self, owned: &Owned) {
        self.inner.pause(owned);
    }

    fn resume(&mut self, owned: &Owned) {
        self.inner.resume(owned);
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(FaultyCommitter { inner: self.inner.committer(), network: self.network.clone() })
    }

    async fn leave(self: Box<Self>) {
        self.inner.leave().await;
    }
}

impl FaultyCommitter {
    async fn delay(&self) {
        if self.network.weather.is_rough() {
            tokio::time::sleep(self.network.chance.delay(Duration::from_millis(5), Duration::from_millis(600))).await;
        }
    }

    fn fails(&self, one_in: u64) -> bool {
        self.network.weather.is_rough() && self.network.chance.one_in(one_in)
    }
}

#[async_trait]
impl Committer for FaultyCommitter {
    async fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>, JournalError> {
        self.delay().await;
        if self.fails(50) {
            return Err(JournalError::Unavailable { detail: "simulated".to_owned() });
        }
        self.inner.committed(partition).await
    }

    async fn commit(&self, owned: &Owned, committed: Committed) -> Result<(), CommitError> {
        self.delay().await;
        let unavailable = || Err(CommitError::Unavailable { detail: "simulated".to_owned() });
        if self.fails(20) {
            return unavailable();
        }
        self.inner.commit(owned, committed.clone()).await?;
        self.network.oracle.saw_commit(&owned.partition, &committed).await;
        self.delay().await;
        if self.fails(30) { unavailable() } else { Ok(()) }
    }
}
