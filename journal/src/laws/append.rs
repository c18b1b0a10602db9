//! Laws of appending.

use bytes::Bytes;
use schemas::limits::DELIVERY_BYTES;
use schemas::partition::partition_of_key;

use super::scene::{Scene, appender_settings, numbers, values};
use super::{Bench, PATIENCE, soon};
use crate::append::{AppenderSettings, NewRecord};
use crate::embedded::config::RECORD_BYTES;
use crate::error::AppendError;

/// Records of a partition stand in the order of the calls that appended them.
pub async fn records_of_a_partition_keep_the_order_of_their_appends(bench: &dyn Bench) {
    let scene = Scene::new(bench, 2).await;
    let mut places = Vec::new();
    for partition in [0, 1] {
        places.push(scene.append_all(partition, numbers(0..500)).await);
    }
    for (partition, places) in (0..).zip(places) {
        let records = scene.read_from(partition, 0).await;
        assert_eq!(values(&records), numbers(0..500).collect::<Vec<_>>());
        let acked: Vec<_> = places.iter().map(|place| (place.partition, place.offset)).collect();
        let read: Vec<_> = records.iter().map(|record| (record.partition.partition, record.offset)).collect();
        assert_eq!(acked, read);
    }
}

/// Whoever has the acknowledgement can read the record.
pub async fn an_acknowledged_record_is_readable(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    for value in numbers(0..20) {
        let place = scene.append(scene.record(0, &value)).await.unwrap();
        assert_eq!(values(&scene.read_from(0, place.offset).await), [value]);
        assert!(scene.watermarks(0).await.high > place.offset);
    }
}

/// Without a partition, the key decides, as in Kafka's own clients.
pub async fn a_key_goes_to_the_partition_of_its_hash(bench: &dyn Bench) {
    let scene = Scene::new(bench, 5).await;
    for number in 0..20 {
        let key = Bytes::from(format!("default/wiki:{number}"));
        let record = NewRecord { partition: None, key: Some(key.clone()), ..scene.record(0, "x") };
        let place = scene.append(record).await.unwrap();
        assert_eq!(place.partition, partition_of_key(&key, 5));
    }
}

/// Key, value and headers come back as they were given: absent is not empty, names may repeat, bytes are bytes.
pub async fn a_record_comes_back_as_it_was_given(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let some = |bytes: &'static [u8]| Some(Bytes::from_static(bytes));
    let header = |name: &str, value: Option<Bytes>| (name.to_owned(), value);
    let shapes = [
        (None, some(b""), vec![]),
        (some(b"tombstone"), None, vec![]),
        (some(b""), some(&[0, 255, 13, 10]), vec![header("a", some(b"1")), header("a", some(b"2")), header("b", None)]),
        (some(&[255, 0]), some(b"v"), vec![header("empty", some(b""))]),
    ];
    for (key, value, headers) in shapes {
        let given = NewRecord { key, value, headers, ..scene.record(0, "") };
        let place = scene.append(given.clone()).await.unwrap();
        let read = scene.read_from(0, place.offset).await.remove(0);
        assert_eq!((read.key, read.value, read.headers), (given.key, given.value, given.headers));
    }
}

/// A delivery of the largest size that may be written is taken and read.
pub async fn a_delivery_of_the_largest_size_is_taken(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let value = Bytes::from(vec![7; DELIVERY_BYTES]);
    scene.append(NewRecord { value: Some(value.clone()), ..scene.record(0, "") }).await.unwrap();
    assert!(scene.read_from(0, 0).await[0].value == Some(value));
}

/// A record over the limit is refused before it waits anywhere, and changes nothing for others.
pub async fn a_record_too_large_is_refused_at_once(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let value = Some(Bytes::from(vec![7; RECORD_BYTES + 1]));
    let refused = scene.append(NewRecord { value, ..scene.record(0, "") }).await.unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { size } if size > RECORD_BYTES), "{refused}");
    scene.append(scene.record(0, "small")).await.unwrap();
    assert_eq!(values(&scene.read_from(0, 0).await), ["small"]);
}

/// What does not fit into the queue is refused at once and never stands in the log; the rest does, in order.
pub async fn a_refused_record_is_never_in_the_log(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let settings = AppenderSettings { queue_records: 3, ..appender_settings() };
    let appender = scene.journal.appender(settings).unwrap();
    let (mut taken, mut acks) = (Vec::new(), Vec::new());
    for value in numbers(0..200) {
        match appender.append(scene.record(0, &value)) {
            Ok(ack) => {
                taken.push(value);
                acks.push(ack);
            }
            Err(refused) => assert_eq!(refused, AppendError::QueueFull),
        }
    }
    for ack in acks {
        soon("an acknowledgement comes", ack).await.unwrap();
    }
    assert_eq!(values(&scene.read_from(0, 0).await), taken);
}

/// A flush returns when everything handed in is acknowledged.
pub async fn flushing_waits_for_every_acknowledgement(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let appender = scene.journal.appender(appender_settings()).unwrap();
    let acks: Vec<_> = numbers(0..300).map(|value| appender.append(scene.record(0, &value)).unwrap()).collect();
    assert!(appender.flush(PATIENCE).await);
    assert_eq!(scene.watermarks(0).await.high, 300);
    for ack in acks {
        soon("an acknowledgement comes", ack).await.unwrap();
    }
    assert!(appender.flush(std::time::Duration::ZERO).await, "an empty queue is flushed already");
}

/// Append times never go back along a partition, and an acknowledgement that tells one tells the record's.
pub async fn append_times_never_go_back(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let places = scene.append_all(0, numbers(0..300)).await;
    let records = scene.read_from(0, 0).await;
    assert!(records.is_sorted_by_key(|record| record.append_time));
    for (place, record) in places.iter().zip(&records) {
        assert!(place.append_time.is_none_or(|time| time == record.append_time));
    }
}
