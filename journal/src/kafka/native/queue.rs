//! The queue of a client, event by event: records, ends of partitions, errors with the partition that they are of.
//!
//! A client's queue comes in, what it holds leaves. It never commits, assigns or seeks: rdkafka wraps those.

use std::any::Any;
use std::ffi::{c_char, c_int};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::bindings::{
    RD_KAFKA_EVENT_ERROR, RD_KAFKA_EVENT_FETCH, RD_KAFKA_EVENT_LOG, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_event_error_is_fatal, rd_kafka_event_error_string, rd_kafka_event_log, rd_kafka_event_message_next,
    rd_kafka_event_t, rd_kafka_event_topic_partition, rd_kafka_event_type, rd_kafka_mem_free, rd_kafka_memberid,
    rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_queue_get_main, rd_kafka_queue_poll,
    rd_kafka_queue_t, rd_kafka_queue_yield, rd_kafka_topic_partition_destroy,
};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;
use schemas::partition::TopicPartition;

use super::record::{self, TopicTable};
use super::text;
use crate::kafka::client::{Logs, millis};
use crate::record::Record;

/// What a poll found.
pub(in crate::kafka) enum Polled {
    /// Nothing within the time-out, or the poll was woken.
    Nothing,
    /// A record.
    Record(Record),
    /// Every record below `at` was found, and `at` was the end.
    End {
        /// Of this partition.
        partition: TopicPartition,
        /// The end.
        at: u64,
    },
    /// An error of one partition.
    Partition {
        /// This one.
        partition: TopicPartition,
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// Its words.
        detail: String,
    },
    /// An error of the whole client.
    Client {
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// Its words.
        detail: String,
        /// Whether the client is of no more use.
        fatal: bool,
    },
    /// Something of no interest here; poll again.
    Other,
}

/// A client's queue. It keeps its client alive.
pub(in crate::kafka) struct EventQueue {
    queue: NonNull<rd_kafka_queue_t>,
    _client: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's queues may be used from any thread, several at once.
unsafe impl Send for EventQueue {}
// SAFETY: as above.
unsafe impl Sync for EventQueue {}

impl EventQueue {
    /// The queue of a consumer's records; none where the consumer has no `group.id`.
    pub fn of_consumer(consumer: &Arc<BaseConsumer<Logs>>) -> Option<Self> {
        // SAFETY: the client lives at least as long as `consumer`, which the result holds.
        let queue = unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        NonNull::new(queue).map(|queue| Self { queue, _client: consumer.clone() })
    }

    /// The queue of an admin client's log lines and errors, which nobody else empties.
    pub fn of_admin(admin: &Arc<AdminClient<Logs>>) -> Option<Self> {
        // SAFETY: the client lives at least as long as `admin`, which the result holds.
        let queue = unsafe { rd_kafka_queue_get_main(admin.inner().native_ptr()) };
        NonNull::new(queue).map(|queue| Self { queue, _client: admin.clone() })
    }

    /// Takes the next event, waiting for it at most `timeout`.
    pub fn poll(&self, timeout: Duration, topics: &mut TopicTable) -> Polled {
        // SAFETY: the queue is alive; the event is ours until `Event` destroys it.
        let event = unsafe { rd_kafka_queue_poll(self.queue.as_ptr(), millis(timeout)) };
        NonNull::new(event).map_or(Polled::Nothing, |event| Event(event).read(topics))
    }

    /// Ends the poll that another thread waits in, or else the next one.
    pub fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { rd_kafka_queue_yield(self.queue.as_ptr()) }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        // SAFETY: the reference was taken in the constructor, and the client, which is dropped after this, is alive.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventQueue")
    }
}

/// The id that the group knows this member by; empty while it is no member.
pub(in crate::kafka) fn member_id<C: ConsumerContext + ClientContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: the client is alive; the text is ours, is read before it is freed, and freed once.
    unsafe {
        let id = rd_kafka_memberid(client);
        let text = text(id);
        if !id.is_null() {
            rd_kafka_mem_free(client, id.cast());
        }
        text
    }
}

struct Event(NonNull<rd_kafka_event_t>);

impl Event {
    fn read(self, topics: &mut TopicTable) -> Polled {
        // SAFETY: the event is alive until `self` is dropped.
        let kind = unsafe { rd_kafka_event_type(self.0.as_ptr()) };
        if kind == RD_KAFKA_EVENT_FETCH {
            // SAFETY: of a fetch event; the message lives as long as the event and is read here.
            let message = unsafe { rd_kafka_event_message_next(self.0.as_ptr()).as_ref() };
            // SAFETY: `message` came from an event that is alive.
            message.and_then(|message| unsafe { record::read(message, topics) }).map_or(Polled::Other, Polled::Record)
        } else if kind == RD_KAFKA_EVENT_ERROR {
            self.error(topics)
        } else {
            if kind == RD_KAFKA_EVENT_LOG {
                self.log();
            }
            Polled::Other
        }
    }

    fn error(&self, topics: &mut TopicTable) -> Polled {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive; its text lives as long.
        let (code, detail, fatal) = unsafe {
            let code = RDKafkaErrorCode::from(rd_kafka_event_error(event));
            (code, text(rd_kafka_event_error_string(event)), rd_kafka_event_error_is_fatal(event) != 0)
        };
        match self.partition(topics) {
            Some((partition, Some(at))) if code == RDKafkaErrorCode::PartitionEOF => Polled::End { partition, at },
            Some((partition, _)) if !fatal => Polled::Partition { partition, code, detail },
            Some(_) | None => Polled::Client { code, detail, fatal },
        }
    }

    /// The partition that an event is of, and the offset beside it.
    fn partition(&self, topics: &mut TopicTable) -> Option<(TopicPartition, Option<u64>)> {
        // SAFETY: the event is alive; what is returned is ours, is read before it is destroyed, and destroyed once.
        unsafe {
            let native = NonNull::new(rd_kafka_event_topic_partition(self.0.as_ptr()))?;
            let topic = topics.intern(native.as_ref().topic);
            let number = u32::try_from(native.as_ref().partition);
            let offset = u64::try_from(native.as_ref().offset).ok();
            rd_kafka_topic_partition_destroy(native.as_ptr());
            Some((TopicPartition { topic, partition: number.ok()? }, offset))
        }
    }

    fn log(&self) {
        let (mut facility, mut line): (*const c_char, *const c_char) = (ptr::null(), ptr::null());
        let mut level: c_int = 0;
        // SAFETY: the event is alive, and so are its texts.
        unsafe {
            if rd_kafka_event_log(self.0.as_ptr(), &raw mut facility, &raw mut line, &raw mut level) == 0 {
                Logs::say(level, &text(facility), &text(line));
            }
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and is destroyed once.
        unsafe { rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
