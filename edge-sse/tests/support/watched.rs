//! A log that counts what is read of it, knows what is followed, and can be made not to answer, or not to be heard.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use journal::embedded::EmbeddedJournal;
use journal::{
    Ack, AppendError, Appender, AppenderSettings, FollowSettings, Followed, Follower, GroupMember, GroupSettings,
    Journal, JournalError, NewRecord, ReadError, ReadLimits, ReadPage, TopicDescription, TopicSpec, Watermarks,
};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tokio::sync::watch;

#[derive(Debug)]
pub struct Watched {
    log: Arc<EmbeddedJournal>,
    pages: AtomicUsize,
    down: AtomicBool,
    takes: watch::Sender<bool>,
    heard: Arc<Heard>,
}

/// What its followers hear.
#[derive(Debug)]
struct Heard {
    followed: Mutex<BTreeSet<TopicPartition>>,
    deaf_to: watch::Sender<Option<TopicPartition>>,
    late: Mutex<Duration>,
}

/// What comes of the partition that it is deaf to waits.
#[derive(Debug)]
struct Listening {
    follower: Box<dyn Follower>,
    heard: Arc<Heard>,
    waiting: Vec<Followed>,
}

impl Watched {
    pub fn new(log: Arc<EmbeddedJournal>) -> Arc<Self> {
        let heard = Heard { followed: Mutex::default(), deaf_to: watch::Sender::new(None), late: Mutex::default() };
        Arc::new(Self {
            log,
            pages: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            takes: watch::Sender::new(true),
            heard: Arc::new(heard),
        })
    }

    /// The delivery partitions that are followed.
    pub fn followed(&self) -> BTreeSet<TopicPartition> {
        let followed = self.heard.followed.lock().unwrap();
        followed.iter().filter(|partition| partition.topic.contains("delivery")).cloned().collect()
    }

    /// From now on followers hear nothing of this partition; with none they hear all that they missed.
    pub fn set_deaf_to(&self, partition: Option<TopicPartition>) {
        self.heard.deaf_to.send_replace(partition);
    }

    /// How many pages of delivery partitions were read.
    pub fn pages(&self) -> usize {
        self.pages.load(Ordering::SeqCst)
    }

    /// From now on questions and reads are not answered, or are again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// From now on followers hear everything so much later.
    pub fn set_late(&self, late: Duration) {
        *self.heard.late.lock().unwrap() = late;
    }

    /// From now on what is appended through it waits, or goes on.
    pub fn set_takes(&self, takes: bool) {
        self.takes.send_replace(takes);
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
    async fn trim(&self, partition: &TopicPartition, start: u64) -> Result<(), JournalError> {
        self.log.trim(partition, start).await
    }
    fn appender(&self, settings: AppenderSettings) -> Result<Arc<dyn Appender>, JournalError> {
        Ok(Arc::new(Gated { appender: self.log.appender(settings)?, takes: self.takes.subscribe() }))
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
        let (follower, heard) = (self.log.follow(settings)?, self.heard.clone());
        Ok(Box::new(Listening { follower, heard, waiting: Vec::new() }))
    }
    fn join(&self, settings: GroupSettings) -> Result<Box<dyn GroupMember>, JournalError> {
        self.log.join(settings)
    }
}

/// What is handed in reaches the log while it takes something.
#[derive(Debug)]
struct Gated {
    appender: Arc<dyn Appender>,
    takes: watch::Receiver<bool>,
}

#[async_trait]
impl Appender for Gated {
    fn append(&self, record: NewRecord) -> Result<Ack, AppendError> {
        let (done, ack) = Ack::pair();
        let (appender, mut takes) = (self.appender.clone(), self.takes.clone());
        tokio::spawn(async move {
            takes.wait_for(|takes| *takes).await.unwrap();
            let appended = appender.append(record).unwrap().await;
            // Whoever asked may have gone.
            let _ = done.send(appended);
        });
        Ok(ack)
    }
    async fn flush(&self, within: Duration) -> bool {
        self.appender.flush(within).await
    }
}

#[async_trait]
impl Follower for Listening {
    fn assign(&mut self, partition: TopicPartition, from: u64) {
        self.heard.followed.lock().unwrap().insert(partition.clone());
        self.follower.assign(partition, from);
    }
    fn release(&mut self, partition: &TopicPartition) {
        self.heard.followed.lock().unwrap().remove(partition);
        self.follower.release(partition);
    }
    async fn next(&mut self) -> Followed {
        let mut deaf_to = self.heard.deaf_to.subscribe();
        let late = *self.heard.late.lock().unwrap();
        tokio::time::sleep(late).await;
        loop {
            let deaf = deaf_to.borrow_and_update().clone();
            if deaf.is_none() && !self.waiting.is_empty() {
                return self.waiting.remove(0);
            }
            tokio::select! {
                biased; // it is deaf at once
                changed = deaf_to.changed() => changed.unwrap(),
                followed = self.follower.next() => match &followed {
                    Followed::Records { partition, .. } | Followed::End { partition, .. } if deaf.as_ref() == Some(partition) => {
                        self.waiting.push(followed);
                    }
                    Followed::Records { .. } | Followed::End { .. } | Followed::OutOfRange { .. } | Followed::Trouble(_) => {
                        return followed;
                    }
                },
            }
        }
    }
}
