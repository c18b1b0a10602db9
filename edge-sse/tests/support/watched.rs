//! A log that counts what is read of it, and that can be made not to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use journal::embedded::EmbeddedJournal;
use journal::{
    Appender, AppenderSettings, FollowSettings, Follower, GroupMember, GroupSettings, Journal, JournalError, ReadError,
    ReadLimits, ReadPage, TopicDescription, TopicSpec, Watermarks,
};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

#[derive(Debug)]
pub struct Watched {
    log: Arc<EmbeddedJournal>,
    pages: AtomicUsize,
    down: AtomicBool,
}

impl Watched {
    pub fn new(log: Arc<EmbeddedJournal>) -> Arc<Self> {
        Arc::new(Self { log, pages: AtomicUsize::new(0), down: AtomicBool::new(false) })
    }

    /// How many pages of delivery partitions were read.
    pub fn pages(&self) -> usize {
        self.pages.load(Ordering::SeqCst)
    }

    /// From now on questions and reads are not answered, or are again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn answers(&self) -> Result<(), JournalError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(JournalError::Unavailable { detail: "made not to answer".to_owned() }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Journal for Watched {
    async fn cluster_id(&self) -> Result<String, JournalError> {
        self.answers()?;
        self.log.cluster_id().await
    }
    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>, JournalError> {
        self.answers()?;
        self.log.topic(name).await
    }
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), JournalError> {
        self.log.create_topic(spec).await
    }
    async fn configure_topic(&self, name: &str, config: &[(String, String)]) -> Result<(), JournalError> {
        self.log.configure_topic(name, config).await
    }
    async fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, JournalError> {
        self.answers()?;
        self.log.watermarks(partition).await
    }
    async fn offset_for_time(&self, partition: &TopicPartition, time: Timestamp) -> Result<u64, JournalError> {
        self.answers()?;
        self.log.offset_for_time(partition, time).await
    }
    fn appender(&self, settings: AppenderSettings) -> Result<Arc<dyn Appender>, JournalError> {
        self.log.appender(settings)
    }
    async fn read(&self, partition: &TopicPartition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        self.answers()?;
        if partition.topic.contains("delivery") {
            self.pages.fetch_add(1, Ordering::SeqCst);
        }
        // Others come while the log answers.
        tokio::task::yield_now().await;
        self.log.read(partition, from, limits).await
    }
    fn follow(&self, settings: FollowSettings) -> Result<Box<dyn Follower>, JournalError> {
        self.log.follow(settings)
    }
    fn join(&self, settings: GroupSettings) -> Result<Box<dyn GroupMember>, JournalError> {
        self.log.join(settings)
    }
}
