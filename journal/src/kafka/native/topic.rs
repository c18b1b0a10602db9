//! A topic's id and number of partitions (KIP-516), and setting some of its configuration while the rest stays (KIP-339).
//!
//! Both ask the cluster and wait for its answer on the calling thread, at most the time-out given.

use std::ffi::{CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_AdminOptions_t, rd_kafka_AlterConfigOpType_t, rd_kafka_ConfigResource_add_incremental_config,
    rd_kafka_ConfigResource_destroy, rd_kafka_ConfigResource_error, rd_kafka_ConfigResource_new,
    rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics, rd_kafka_IncrementalAlterConfigs,
    rd_kafka_IncrementalAlterConfigs_result_resources, rd_kafka_ResourceType_t, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_partitions,
    rd_kafka_TopicDescription_t, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_base64str, rd_kafka_admin_op_t,
    rd_kafka_error_code, rd_kafka_error_destroy, rd_kafka_event_DescribeTopics_result,
    rd_kafka_event_IncrementalAlterConfigs_result, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_t,
    rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::{RDKafka, RDKafkaErrorCode};

use super::text;
use crate::kafka::client::millis;

/// What a cluster says of a topic.
pub(in crate::kafka) struct Described {
    /// Its id, in base64.
    pub id: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// Asks for a topic's id and partitions.
///
/// # Errors
/// The cluster's code (`UnknownTopicOrPartition` where there is none), or the client's.
pub(in crate::kafka) fn describe<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Described, RDKafkaErrorCode> {
    let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let request = Request::new(client.native_ptr(), rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
    let mut names = [name.as_ptr()];
    // SAFETY: client, options and queue are alive; the collection copies the names and is destroyed once, after the call.
    unsafe {
        let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        rd_kafka_DescribeTopics(request.client, topics, request.options, request.queue);
        rd_kafka_TopicCollection_destroy(topics);
    }
    let answer = request.answer(timeout)?;
    // SAFETY: the answer is of the kind that was asked for, and what it holds lives as long as it.
    unsafe {
        let mut count = 0;
        let found =
            rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(answer.0), &raw mut count);
        if count == 0 { Err(RDKafkaErrorCode::UnknownTopicOrPartition) } else { read(*found) }
    }
}

/// Sets some configuration entries of a topic and leaves the others.
///
/// # Errors
/// The cluster's code, or the client's.
pub(in crate::kafka) fn configure<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    entries: &[(String, String)],
    timeout: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let invalid = |_| RDKafkaErrorCode::InvalidConfig;
    let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let request =
        Request::new(client.native_ptr(), rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS, timeout);
    let entries: Vec<(CString, CString)> = entries
        .iter()
        .map(|(key, value)| Ok((CString::new(key.as_str())?, CString::new(value.as_str())?)))
        .collect::<Result<_, std::ffi::NulError>>()
        .map_err(invalid)?;
    // SAFETY: all texts live through these calls, which copy them; each pointer made here is destroyed once.
    unsafe {
        let mut topic = rd_kafka_ConfigResource_new(rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr());
        for (key, value) in &entries {
            let set = rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
            // An error here would be an empty name, which the cluster refuses as well.
            let error = rd_kafka_ConfigResource_add_incremental_config(topic, key.as_ptr(), set, value.as_ptr());
            if !error.is_null() {
                rd_kafka_error_destroy(error);
            }
        }
        rd_kafka_IncrementalAlterConfigs(request.client, &raw mut topic, 1, request.options, request.queue);
        rd_kafka_ConfigResource_destroy(topic);
    }
    let answer = request.answer(timeout)?;
    // SAFETY: the answer is of the kind that was asked for, and what it holds lives as long as it.
    unsafe {
        let mut count = 0;
        let result = rd_kafka_event_IncrementalAlterConfigs_result(answer.0);
        let topics = rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        if count == 0 { Ok(()) } else { checked(rd_kafka_ConfigResource_error(*topics).into()) }
    }
}

/// # Safety
/// `topic` is of an answer that lives through this call.
unsafe fn read(topic: *const rd_kafka_TopicDescription_t) -> Result<Described, RDKafkaErrorCode> {
    // SAFETY: the caller's promise.
    unsafe {
        let error = rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            checked(rd_kafka_error_code(error).into())?;
        }
        let mut count = 0;
        rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let id = text(rd_kafka_Uuid_base64str(rd_kafka_TopicDescription_topic_id(topic)));
        Ok(Described { id, partitions: u32::try_from(count).unwrap_or(u32::MAX) })
    }
}

fn checked(code: RDKafkaErrorCode) -> Result<(), RDKafkaErrorCode> {
    if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(code) }
}

/// One admin request: its options, and the queue on which its answer comes.
struct Request {
    client: *mut RDKafka,
    options: *mut rd_kafka_AdminOptions_t,
    queue: *mut rd_kafka_queue_t,
}

impl Request {
    fn new(client: *mut RDKafka, operation: rd_kafka_admin_op_t, timeout: Duration) -> Self {
        let mut detail: [c_char; 64] = [0; 64];
        // SAFETY: the client outlives the request, which destroys both. A time-out out of range leaves the default.
        unsafe {
            let options = rd_kafka_AdminOptions_new(client, operation);
            rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), detail.as_mut_ptr(), detail.len());
            Self { client, options, queue: rd_kafka_queue_new(client) }
        }
    }

    fn answer(&self, timeout: Duration) -> Result<Answer, RDKafkaErrorCode> {
        // SAFETY: the queue is alive, and the event is ours until `Answer` destroys it.
        let event = unsafe { rd_kafka_queue_poll(self.queue, millis(timeout).saturating_add(1_000)) };
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let answer = Answer(event);
        // SAFETY: the event is alive.
        checked(unsafe { rd_kafka_event_error(event) }.into()).map(|()| answer)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: made in `new`, destroyed once; librdkafka drops an answer that comes later.
        unsafe {
            rd_kafka_AdminOptions_destroy(self.options);
            rd_kafka_queue_destroy(self.queue);
        }
        self.client = ptr::null_mut();
    }
}

struct Answer(*mut rd_kafka_event_t);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { rd_kafka_event_destroy(self.0) }
    }
}
