//! The first offset at or after a time, asked of any client (rdkafka asks it of consumers only).

use std::time::Duration;

use rdkafka::bindings::rd_kafka_offsets_for_times;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use schemas::partition::TopicPartition;

use crate::kafka::client::{millis, number};

/// The offset, or `Offset::End` where no record is as late as `time_ms`.
///
/// # Errors
/// The code of the cluster or of the client.
pub(in crate::kafka) fn offset_for<C: ClientContext>(
    client: &Client<C>,
    partition: &TopicPartition,
    time_ms: i64,
    timeout: Duration,
) -> KafkaResult<Result<Offset, RDKafkaErrorCode>> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&partition.topic, number(partition.partition), Offset::Offset(time_ms))?;
    // SAFETY: client and list live through the call, which writes offsets into the list.
    let code = unsafe { rd_kafka_offsets_for_times(client.native_ptr(), list.ptr(), millis(timeout)) };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(Err(code.into()));
    }
    let answer = list.elements().first().map(|found| found.error().map(|()| found.offset())).transpose()?;
    Ok(answer.ok_or(RDKafkaErrorCode::UnknownPartition))
}
