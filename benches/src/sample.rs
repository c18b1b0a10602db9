//! One delivery and one record of the size that the targets speak of (300 bytes).

use bytes::Bytes;
use schemas::channel::{Channel, ChannelError};
use schemas::delivery::{Delivery, Origin, View};
use schemas::id::{EventId, EventType, Label, NameError, Source, Tenant};
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

/// A sample could not be made: a name in it is not one.
#[derive(Debug)]
pub enum SampleError {
    /// A small name.
    Name(NameError),
    /// The channel.
    Channel(ChannelError),
}

impl From<NameError> for SampleError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<ChannelError> for SampleError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

/// A delivery with two views of about 300 bytes.
///
/// # Errors
/// Never, as long as the vocabulary takes these names.
pub fn delivery() -> Result<Delivery, SampleError> {
    let all = format!(r#"{{"page":"Ada","comment":"{}","cityName":"Turin","delta":36}}"#, "x".repeat(220));
    let public = format!(r#"{{"page":"Ada","comment":"{}","delta":36}}"#, "x".repeat(220));
    let time = Timestamp::from_millis(1_763_640_000_000);
    Ok(Delivery {
        id: EventId::parse("01JD4T8Z9K-000001")?,
        event_type: EventType::parse("wiki.edit")?,
        source: Source::parse("/replay/wikipedia")?,
        channel: Channel::parse("wiki:en")?,
        tenant: Tenant::default_tenant(),
        time,
        accepted_time: time,
        lane: Lane::Medium,
        origin: Origin { partition: TopicPartition::new("events.wiki", 3), offset: 1_234_567, index: 0 },
        epoch: 7,
        required_labels: Vec::new(),
        regions: Vec::new(),
        only_users: Vec::new(),
        except_author: None,
        expires: None,
        conflation_key: None,
        principal: None,
        views: vec![
            View { labels: Vec::new(), data: Bytes::from(public) },
            View { labels: vec![Label::parse("place")?], data: Bytes::from(all) },
        ],
        author: None,
    })
}
