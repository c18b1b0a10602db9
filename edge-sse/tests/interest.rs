//! An edge reads what its streams read, and a stream on a partition that nobody read until now is as exact as any other.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use edge_sse::Config;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use serde_json::json;
use support::watched::Watched;
use support::{Served, World, sample};

const KEPT: Duration = Duration::from_secs(3);
/// Longer than a partition is kept, and than it takes to notice.
const COLD: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config { interest_kept: KEPT, ..Config::default() }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Where a channel stands in every lane.
fn partitions(world: &World, channel: &str) -> BTreeSet<TopicPartition> {
    Lane::ALL.into_iter().map(|lane| world.names.delivery_partition(world.partition(channel, lane))).collect()
}

#[tokio::test(start_paused = true)]
async fn an_edge_reads_the_partitions_of_its_streams_and_for_a_while_after_the_last_one_left() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let served = world.serve_on(watched.clone(), config()).await;
    assert!(watched.followed().is_empty());
    let english = partitions(&world, "wiki:en");
    let mut one = served.open("channel=wiki:en").await;
    one.notice("tidegate.ready").await;
    assert_eq!(watched.followed(), english);
    let mut all = served.open("channel=wiki:*").await;
    all.notice("tidegate.ready").await;
    assert_eq!(watched.followed().len(), 6);
    drop(all);
    tokio::time::advance(KEPT - Duration::from_millis(500)).await;
    served.open("channel=wiki:*").await.notice("tidegate.ready").await;
    tokio::time::sleep(KEPT - Duration::from_millis(500)).await;
    assert_eq!(watched.followed().len(), 6, "the last one has left just now");
    tokio::time::sleep(COLD).await;
    assert_eq!(watched.followed(), english);
    world.deliver_many("wiki:en", 0, 1).await;
    assert_eq!(one.event().await.event_id(), "0", "who stayed is live");
    drop(one);
    tokio::time::sleep(COLD).await;
    assert!(watched.followed().is_empty() && served.edge.readiness().ready());
}

/// What was appended to a channel, and ids of streams that got it: each is the place before the event of its number.
struct Story<'a> {
    world: &'a World,
    watched: &'a Watched,
    served: Served,
    appended: Vec<Timestamp>,
    ids: Vec<(usize, String)>,
    random: StdRng,
}

impl Story<'_> {
    async fn append(&mut self, events: usize) {
        self.world.deliver_many("wiki:en", self.appended.len(), events).await;
        self.appended.resize(self.appended.len() + events, self.world.now());
    }

    /// For so long that the partition is followed no more, or not.
    async fn away(&mut self) {
        let away = self.random.random_range(0..2 * COLD.as_millis());
        tokio::time::sleep(Duration::from_millis(u64::try_from(away).unwrap())).await;
    }

    /// A start, and the event that it begins with.
    fn start(&mut self) -> (String, usize) {
        let len = self.appended.len();
        let known = self.random.random_range(0..self.ids.len());
        let back = self.random.random_range(0..40_usize);
        let ago = Duration::from_secs(self.random.random_range(1..40));
        let since = |time: Timestamp| self.appended.partition_point(|appended| *appended < time);
        match self.random.random_range(0..6) {
            0 => (String::new(), len),
            1 => ("&lastEventId=earliest".to_owned(), 0),
            2 => (format!("&rewind={back}"), len.saturating_sub(back)),
            3 => (format!("&rewind={}s", ago.as_secs()), since(self.world.now().minus(ago))),
            4 => {
                let time = self.world.now().minus(ago);
                (format!("&since={}", time.millis()), since(time))
            }
            _ => {
                let (at, id) = &self.ids[known];
                (format!("&lastEventId={id}"), *at)
            }
        }
    }

    /// Everything from its start on, and what comes while it is open.
    async fn read(&mut self) {
        let (query, from) = self.start();
        self.watched.set_late(Duration::from_millis(self.random.random_range(0..100)));
        let mut client = self.served.open(&format!("channel=wiki:en{query}")).await;
        let ready = client.notice("tidegate.ready").await;
        let live = self.random.random_range(1..4);
        self.append(live).await;
        let mut at = from;
        self.ids.push((at, ready.id().to_owned()));
        while at < self.appended.len() {
            let block = client.event().await;
            assert_eq!(block.event_id(), at.to_string(), "{query} begins with {from}");
            at += 1;
            self.ids.push((at, block.id().to_owned()));
        }
        self.ids.drain(..self.ids.len().saturating_sub(500));
    }
}

#[tokio::test(start_paused = true)]
async fn every_start_on_a_partition_that_nobody_read_is_exact() {
    let world = World::new().await;
    let rounds = if std::env::var_os("TIDEGATE_SOAK").is_some() { 300 } else { 100 };
    let watched = Watched::new(world.journal.clone());
    for (seed, window_bytes) in [(1, 1 << 25), (2, 100_000), (3, 0)] {
        let served = world.serve_on(watched.clone(), Config { window_bytes, prime_records: 20, ..config() }).await;
        let id = served.open("channel=wiki:en").await.block().await.id().to_owned();
        let random = StdRng::seed_from_u64(seed);
        let appended = Vec::new();
        let mut story = Story { world: &world, watched: &watched, served, appended, ids: Vec::new(), random };
        story.appended = stored(&world).await;
        story.ids.push((story.appended.len(), id));
        for _ in 0..rounds / 3 {
            let more = story.random.random_range(0..30);
            // Once in a while the log grows so much that its window begins anew.
            let much = if story.random.random_ratio(1, 25) { 2_050 } else { 0 };
            story.away().await;
            story.append(more + much).await;
            story.away().await;
            story.read().await;
        }
        story.served.stop().await;
    }
}

/// When each event of the channel was appended.
async fn stored(world: &World) -> Vec<Timestamp> {
    use journal::{Journal, ReadLimits};
    let partition = world.names.delivery_partition(world.partition("wiki:en", Lane::Medium));
    let limits = ReadLimits { records: 100_000, bytes: 1 << 28, wait: Duration::ZERO };
    let (mut times, mut next) = (Vec::new(), 0);
    loop {
        let page = world.journal.read(&partition, next, limits).await.unwrap();
        if page.records.is_empty() {
            return times;
        }
        times.extend(page.records.iter().map(|record| record.append_time));
        next = page.next;
    }
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_made_anew_while_nobody_reads_them_are_read_from_their_start() {
    let world = World::new().await;
    let served = world.serve(config()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 0, 3).await;
    client.events(3).await;
    drop(client);
    tokio::time::sleep(COLD).await;
    let topic = world.names.delivery(Lane::Medium);
    journal::Journal::topic(&*world.journal, &topic).await.unwrap().unwrap();
    world.journal.delete_topic(&topic).await.unwrap();
    world.make_topic(&topic, support::PARTITIONS).await;
    world.deliver_many("wiki:en", 10, 2).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let mut client = served.open("channel=wiki:en&lastEventId=earliest").await;
    client.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 12, 1).await;
    assert_eq!(client.events(3).await, names(10..13));
}

#[tokio::test(start_paused = true)]
async fn a_stream_starts_though_the_log_is_slow_to_say_where() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let served = Arc::new(world.serve_on(watched.clone(), config()).await);
    let id = served.open("channel=wiki:en").await.block().await.id().to_owned();
    tokio::time::sleep(COLD).await;
    world.deliver_many("wiki:en", 0, 3_000).await;
    watched.set_down(true);
    let resumed = served.clone();
    let mut client = tokio::spawn(async move { resumed.resume("channel=wiki:en", &id).await }).await.unwrap();
    assert_eq!(client.notice("tidegate.ready").await.json()["start"], json!("resumed"));
    tokio::time::sleep(COLD).await;
    watched.set_down(false);
    let asked = tokio::time::Instant::now();
    assert_eq!(client.events(3_000).await, names(0..3_000));
    assert!(asked.elapsed() < Duration::from_secs(4), "not with the next heartbeat only");
}

#[tokio::test(start_paused = true)]
async fn an_edge_far_behind_says_so_and_its_streams_go_on() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let served = world.serve_on(watched.clone(), config()).await;
    let mut client = served.open("channel=wiki:en").await;
    let id = client.notice("tidegate.ready").await.id().to_owned();
    world.deliver_many("wiki:en", 0, 3).await;
    assert_eq!(client.events(3).await, names(0..3));
    let medium = world.partition("wiki:en", Lane::Medium);
    watched.set_deaf_to(Some(world.names.delivery_partition(medium)));
    world.deliver_many("wiki:en", 3, 3).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let trouble = served.edge.readiness().dependencies[0].state.clone().unwrap_err();
    let (seconds, place) = trouble.split_once(" s behind on ").unwrap();
    assert!((10..=30).contains(&seconds.parse::<u32>().unwrap()), "{trouble}");
    assert_eq!(place, format!("partition {} of lane medium", medium.partition));
    world.deliver(&sample::delivery("urgent", "wiki:en", Lane::High)).await;
    assert_eq!(client.event().await.event_id(), "urgent", "the other partitions go on");
    let mut resumed = served.resume("channel=wiki:en", &id).await;
    resumed.notice("tidegate.ready").await;
    let mut got = resumed.events(4).await;
    got.sort();
    assert_eq!(got, ["0", "1", "2", "urgent"], "streams start, too");
    watched.set_deaf_to(None);
    assert_eq!((client.events(3).await, resumed.events(3).await), (names(3..6), names(3..6)));
    assert!(served.edge.readiness().ready());
}
