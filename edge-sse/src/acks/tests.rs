//! What is promised of acknowledged positions, over the embedded store, and over one that is never reached.

use std::sync::atomic::{AtomicI64, Ordering};

use futures::FutureExt;
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use schemas::position::LogHash;
use schemas::time::Timestamp;
use store::cql::{CqlConfig, CqlStore};
use store::embedded::{EmbeddedConfig, EmbeddedStore};
use store::{Cursors, Persons};

use super::*;

fn position(next: u64, other: u64) -> Position {
    let partition = |partition| DeliveryPartition { lane: Lane::High, partition };
    let next = vec![(partition(0), next), (partition(1), other)];
    Position { log: LogHash(7), time: Timestamp::from_millis(5), generation: 0, next }
}

fn stream(device: &str) -> Acknowledging {
    let ada = Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() };
    let channels = ["team:7".to_owned(), "team:*".to_owned()];
    Acknowledging::of(&ada, &Device::parse(device).unwrap(), &channels).unwrap()
}

fn stopped_clock() -> Clock {
    Clock::new(|| Timestamp::from_millis(1_000))
}

fn embedded(directory: &std::path::Path) -> EmbeddedStore {
    let timeout = Duration::from_secs(60);
    EmbeddedStore::open(EmbeddedConfig { timeout, ..EmbeddedConfig::new(directory) }).unwrap()
}

async fn acknowledge(acks: &Acks, device: &str, position: &Position) -> Kept {
    tokio::select! {
        kept = acks.acknowledge(stream(device), position) => kept.unwrap(),
        () = acks.keep() => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn the_last_acknowledgement_of_a_device_is_where_it_goes_on_also_on_another_edge() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(embedded(directory.path()));
    let (here, there) = (
        Acks::new(Some(store.clone()), Arc::default(), stopped_clock()),
        Acks::new(Some(store), Arc::default(), stopped_clock()),
    );
    assert_eq!(here.last(&stream("tab").key).await, Ok(None));
    for next in 1..=3 {
        // All at one moment of the clock: the last of them counts.
        assert_eq!(acknowledge(&here, "tab", &position(next, 1)).await, Kept::Stored);
    }
    acknowledge(&here, "telephone", &position(9, 9)).await;
    assert_eq!(there.last(&stream("tab").key).await, Ok(Some(position(3, 1).to_string())));
    assert_eq!(there.last(&stream("telephone").key).await, Ok(Some(position(9, 9).to_string())));
}

#[tokio::test]
async fn an_acknowledgement_that_was_overtaken_moves_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let acks = Acks::new(Some(Arc::new(embedded(directory.path()))), Arc::default(), stopped_clock());
    acknowledge(&acks, "tab", &position(5, 5)).await;
    for old in [position(4, 5), position(5, 4), position(5, 5), position(0, 0)] {
        assert_eq!(acknowledge(&acks, "tab", &old).await, Kept::Stored);
        assert_eq!(acks.last(&stream("tab").key).await, Ok(Some(position(5, 5).to_string())));
    }
    // Further in one partition, which is no way back: what it has not of the other comes again.
    acknowledge(&acks, "tab", &position(4, 6)).await;
    assert_eq!(acks.last(&stream("tab").key).await, Ok(Some(position(4, 6).to_string())));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_the_latest_position_waits_and_is_gone_on_from() {
    let away: Arc<dyn Store> = Arc::new(CqlStore::new(CqlConfig::new(["127.0.0.1:1"])));
    let acks = Acks::new(Some(away), Arc::default(), stopped_clock());
    for next in 1..=3 {
        assert_eq!(acknowledge(&acks, "tab", &position(next, 1)).await, Kept::Waits);
    }
    assert_eq!(acks.lock().waiting.len(), 1);
    assert_eq!(acks.last(&stream("tab").key).await, Ok(Some(position(3, 1).to_string())));
    assert!(acks.last(&stream("other").key).await.is_err_and(|error| error.retry()));
    acks.finish().await;
    assert_eq!(acks.lock().waiting.len(), 1, "the edge ends all the same");
}

#[tokio::test]
async fn what_waited_comes_to_the_store_and_those_who_wait_hear_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = embedded(directory.path());
    let acks = Acks::new(Some(Arc::new(store.clone())), Arc::default(), stopped_clock());
    let waiting: Vec<_> = (1..=3).map(|next| acks.take(stream("tab"), &position(next, 1)).unwrap().unwrap()).collect();
    acks.note(stream("telephone"), &position(1, 1));
    acks.finish().await;
    for heard in waiting {
        assert_eq!(heard.now_or_never(), Some(Ok(())));
    }
    let ada = stream("tab").key.user;
    assert_eq!(store.cursors(&ada).await.unwrap().len(), 2);
    assert!(acks.lock().waiting.is_empty());
}

#[tokio::test]
async fn one_stream_too_many_is_refused_and_those_that_wait_may_go_further() {
    let away: Arc<dyn Store> = Arc::new(CqlStore::new(CqlConfig::new(["127.0.0.1:1"])));
    let acks = Acks::new(Some(away), Arc::default(), stopped_clock());
    for device in 0..WAITING_MOST {
        acks.take(stream(&device.to_string()), &position(1, 1)).unwrap();
    }
    let refused = acks.take(stream("another"), &position(1, 1)).unwrap_err();
    assert_eq!((refused.slug, refused.retry_after), (Slug::Unavailable, Some(AGAIN_SECONDS)));
    assert!(acks.take(stream("0"), &position(2, 1)).is_ok());
}

#[tokio::test]
async fn nothing_is_kept_of_nobody_or_without_a_store() {
    let nobody = Acknowledging::of(&Claims::anonymous(), &Device::parse("tab").unwrap(), &[]).unwrap_err();
    assert_eq!(nobody.slug, Slug::Unauthorized);
    let clock = AtomicI64::new(1);
    let acks = Acks::new(
        None,
        Arc::default(),
        Clock::new(move || Timestamp::from_millis(clock.fetch_add(1, Ordering::Relaxed))),
    );
    assert_eq!(acks.acknowledge(stream("tab"), &position(1, 1)).await.unwrap_err().slug, Slug::Unavailable);
}

#[tokio::test]
async fn of_whoever_is_let_go_of_nothing_waits_and_nothing_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let store = embedded(directory.path());
    let acks = Acks::new(Some(Arc::new(store.clone())), Arc::default(), stopped_clock());
    acknowledge(&acks, "tab", &position(9, 9)).await;
    let waits = acks.take(stream("telephone"), &position(1, 1)).unwrap().unwrap();
    let under_way = acks.next_writes();
    let user = stream("tab").key.user;
    acks.let_go_of(&user);
    assert!(waits.now_or_never().is_some_and(|heard| heard.is_err()), "it is not stored");
    assert_eq!(acks.next_writes(), []);
    let erased: Arc<dyn Store> = Arc::new(store.clone());
    acks.stored(&under_way, &erased).await;
    assert!(acks.lock().known.is_empty(), "what was under way makes nothing known");
    store.erase_cursors(&user, AckTime(2_000_000)).await.unwrap();
    // Whoever comes again stands where they say, though they stood further before.
    acks.take(stream("tab"), &position(1, 1)).unwrap().expect("it is new");
}
