//! The way to the writer: a thread of the log, or the caller's own.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::config::{CLEAN_EVERY, WriteIn};
use super::queue::{Job, Put, Queue};
use super::wake::locked;
use super::writer::Writer;
use crate::error::JournalError;

/// Takes jobs. When it is dropped, what waits is still written.
pub(super) struct Writes {
    queue: Arc<Queue>,
    place: Place,
}

enum Place {
    Caller(Box<Mutex<Writer>>),
    Thread(Option<JoinHandle<()>>),
}

/// Abandons the queue when the thread ends, also by a panic, so that nobody waits for ever.
struct Abandon(Arc<Queue>);

impl Writes {
    /// Starts the writer.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(writer: Writer, write_in: WriteIn) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let place = match write_in {
            WriteIn::Caller => Place::Caller(Box::new(Mutex::new(writer))),
            WriteIn::Thread => {
                let guard = Abandon(queue.clone());
                let thread = std::thread::Builder::new().name("journal-writer".to_owned());
                Place::Thread(Some(thread.spawn(move || write_until_closed(&guard.0, writer))?))
            }
        };
        Ok(Self { queue, place })
    }

    /// Hands a job in; false where the writer has ended.
    pub fn submit(&self, job: Job) -> bool {
        let taken = self.queue.push(job);
        if let Place::Caller(writer) = &self.place {
            let mut writer = locked(writer);
            loop {
                let jobs = self.queue.take();
                if jobs.is_empty() {
                    break;
                }
                writer.run(jobs);
            }
            while writer.clean_if_due() {}
        }
        taken
    }

    /// Gives an order, and waits until it is done.
    ///
    /// # Errors
    /// What the order answers; `Unavailable` where the writer has ended.
    ///
    /// # Cancel safety
    /// An order once given is done.
    pub async fn order<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (done, answer) = oneshot::channel();
        self.submit(Job::Order(Box::new(move |writer| {
            // Who no longer waits needs no answer.
            let _ = done.send(work(writer));
        })));
        answer.await.map_err(|_| ended())?
    }

    /// Remembers a value, behind everything handed in before; the receiver is told when it is durable. Without an
    /// entry, nothing is written, and the receiver is told when everything before is durable.
    pub fn put(&self, entry: Option<(Vec<u8>, Bytes)>) -> oneshot::Receiver<Result<(), JournalError>> {
        let (done, answer) = oneshot::channel();
        self.submit(Job::Put(Put { entry, done }));
        answer
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.queue.close();
        if let Place::Thread(thread) = &mut self.place
            && let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl std::fmt::Debug for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writes")
    }
}

/// The writer has ended.
pub(super) fn ended() -> JournalError {
    JournalError::Unavailable { detail: "the journal's writer has ended".to_owned() }
}

fn write_until_closed(queue: &Queue, mut writer: Writer) {
    let mut more = false;
    while let Some(jobs) = queue.wait(if more { Duration::ZERO } else { CLEAN_EVERY }) {
        writer.run(jobs);
        more = writer.clean_if_due();
    }
}
