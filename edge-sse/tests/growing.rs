//! The delivery topics grow under streams: a generation with other partitions begins, and whoever stays, comes back or comes new has every
//! event once, and in order per channel and lane.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use edge_sse::Config;
use journal::Journal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::lane::Lane;
use schemas::position::{LogHash, Position};
use serde_json::json;
use support::client::{Block, Client};
use support::growth::{Growing, SOURCES};
use support::watched::Watched;
use support::{Served, position};

const CHANNELS: [&str; 5] = ["wiki:en", "wiki:de", "wiki:fr", "wiki:it", "wiki:simple"];
/// Runs of a soak; otherwise a tenth of them.
const RUNS: u64 = 120;

fn no_window() -> Config {
    Config { window_bytes: 0, catch_up_bytes: 0, ..Config::default() }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

async fn deliver(growing: &mut Growing, channel: &str, range: std::ops::Range<usize>) {
    for number in range {
        growing.deliver(number, channel, Lane::Medium).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_over_to_the_next_generation_at_once_and_its_id_forgets_the_last() {
    let mut growing = Growing::new().await;
    let served = growing.world.serve(Config::default()).await;
    let mut stays = served.open("channel=wiki:en").await;
    let first = stays.notice("tidegate.ready").await.id().to_owned();
    deliver(&mut growing, "wiki:en", 0..3).await;
    assert_eq!(stays.events(3).await, names(0..3));
    growing.grow(3).await;
    growing.claim_all().await;
    let grown = tokio::time::Instant::now();
    deliver(&mut growing, "wiki:en", 3..6).await;
    let mut last = Vec::new();
    for number in 3..6 {
        let block = stays.event().await;
        assert_eq!(block.event_id(), number.to_string());
        last.push(block.id().to_owned());
    }
    assert!(grown.elapsed() < Duration::from_secs(2), "what moved says so: {:?}", grown.elapsed());
    let at = position(&last[2]);
    let expected: Vec<_> = Lane::ALL.map(|lane| growing.partition("wiki:en", lane, 1)).to_vec();
    assert_eq!(at.next.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), expected);
    assert_eq!((position(&first).generation, at.generation), (1, 2));
    let other = growing.world.serve(no_window()).await;
    for edge in [&served, &other] {
        for (id, rest) in [(&first, 0..6), (&last[0], 4..6)] {
            let mut resumed = edge.resume("channel=wiki:en", id).await;
            assert_eq!(resumed.notice("tidegate.ready").await.json()["start"], json!("resumed"));
            assert_eq!(resumed.events(rest.len()).await, names(rest));
        }
        for query in ["since=0", "lastEventId=earliest", "rewind=100"] {
            let mut fresh = edge.open(&format!("channel=wiki:en&{query}")).await;
            fresh.notice("tidegate.ready").await;
            assert_eq!(fresh.events(6).await, names(0..6), "{query}");
        }
        let mut fresh = edge.open("channel=wiki:en&rewind=4").await;
        fresh.notice("tidegate.ready").await;
        assert_eq!(fresh.events(4).await, names(2..6));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_later_generation_overtakes_what_an_earlier_one_holds() {
    let mut growing = Growing::new().await;
    let watched = Watched::new(growing.world.journal.clone());
    let served = growing.world.serve_on(watched.clone(), Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    deliver(&mut growing, "wiki:en", 0..1).await;
    assert_eq!(client.events(1).await, names(0..1));
    let earlier = growing.partition("wiki:en", Lane::Medium, 0);
    watched.set_deaf_to(Some(growing.world.names.delivery_partition(earlier)));
    deliver(&mut growing, "wiki:en", 1..3).await;
    growing.grow(3).await;
    growing.claim_all().await;
    deliver(&mut growing, "wiki:en", 3..6).await;
    growing.deliver(100, "wiki:en", Lane::High).await;
    assert_eq!(client.event().await.event_id(), "100", "across lanes nothing is promised");
    let silence = tokio::time::timeout(Duration::from_secs(40), client.event()).await;
    assert!(silence.is_err(), "the later generation waits: {silence:?}");
    watched.set_deaf_to(None);
    assert_eq!(client.events(5).await, names(1..6));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stays_behind_holds_up_nobody() {
    let mut growing = Growing::new().await;
    let served = growing.world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en&channel=wiki:fr").await;
    client.notice("tidegate.ready").await;
    growing.grow(3).await;
    let moves = Growing::source("wiki:en");
    growing.claim(moves).await;
    deliver(&mut growing, "wiki:en", 0..3).await;
    assert_eq!(client.events(3).await, names(0..3));
    assert_ne!(Growing::source("wiki:fr"), moves);
    let id = growing.partition("wiki:en", Lane::Medium, 0);
    deliver(&mut growing, "wiki:fr", 3..4).await;
    assert_eq!(client.events(1).await, names(3..4));
    deliver(&mut growing, "wiki:en", 4..5).await;
    let block = client.event().await;
    assert_eq!(block.event_id(), "4");
    assert!(position(block.id()).get(id).is_some(), "the earlier generation is read on");
}

#[tokio::test(start_paused = true)]
async fn what_retention_has_cut_of_an_earlier_generation_is_told_as_repartitioned() {
    let mut growing = Growing::new().await;
    let served = growing.world.serve(no_window()).await;
    let mut live = served.open("channel=wiki:en").await;
    let id = live.notice("tidegate.ready").await.id().to_owned();
    deliver(&mut growing, "wiki:en", 0..5).await;
    live.events(5).await;
    growing.grow(3).await;
    growing.claim_all().await;
    deliver(&mut growing, "wiki:en", 5..8).await;
    live.events(3).await;
    let earlier = growing.partition("wiki:en", Lane::Medium, 0);
    let topic = growing.world.names.delivery_partition(earlier);
    let end = growing.world.journal.clone();
    let end = journal::Journal::watermarks(&*end, &topic).await.unwrap().high;
    growing.world.journal.trim(&topic, end).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = growing.world.serve(Config::default()).await;
    for edge in [&served, &other] {
        let mut client = edge.resume("channel=wiki:en", &id).await;
        assert_eq!(client.notice("tidegate.ready").await.json()["start"], json!("gap"));
        let gap = client.notice("tidegate.gap").await.json();
        let from = position(&id).get(earlier).unwrap();
        let expected = json!({"lane": "medium", "partition": earlier.partition, "from": from, "to": end, "reason": "repartitioned"});
        assert_eq!(gap, expected);
        assert_eq!(client.events(3).await, names(5..8));
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_of_a_generation_that_is_not_there_goes_on_at_the_earliest_and_says_so() {
    let mut growing = Growing::new().await;
    deliver(&mut growing, "wiki:en", 0..3).await;
    let served = growing.world.serve(Config::default()).await;
    let medium = growing.partition("wiki:en", Lane::Medium, 0);
    let time = growing.world.now();
    let unknown = Position { log: LogHash(1), time, generation: 2, next: vec![(medium, 2)] };
    let mut client = served.resume("channel=wiki:en", &unknown.to_string()).await;
    assert_eq!(client.notice("tidegate.ready").await.json()["start"], json!("gap"));
    for lane in Lane::ALL {
        let gap = client.notice("tidegate.gap").await.json();
        let from = if lane == Lane::Medium { 2 } else { 0 };
        let expected = json!({"lane": lane, "partition": medium.partition, "from": from, "to": 0, "reason": "repartitioned", "may_repeat": true});
        assert_eq!(gap, expected);
    }
    assert_eq!(client.events(3).await, names(0..3));
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_hears_of_a_generation_by_a_position_looks_for_it() {
    let mut growing = Growing::new().await;
    let served = growing.world.serve(Config::default()).await;
    growing.grow(3).await;
    growing.claim_all().await;
    deliver(&mut growing, "wiki:en", 0..2).await;
    let other = growing.world.serve(Config::default()).await;
    let mut client = other.open("channel=wiki:en&since=0").await;
    client.notice("tidegate.ready").await;
    let id = client.event().await.id().to_owned();
    let mut tries = 0;
    let mut resumed = loop {
        let mut resumed = served.resume("channel=wiki:en", &id).await;
        let block = resumed.block().await;
        match block.get("event") {
            Some("tidegate.ready") => break resumed,
            Some("tidegate.bye") => assert_eq!(block.json()["reason"], json!("not_ready")),
            other => panic!("{other:?}"),
        }
        tries += 1;
        assert!(tries < 5, "it has looked");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(resumed.events(1).await, names(1..2));
}

/// One client over all its connections: it has what it was given, and goes on from its last id.
struct Reader {
    query: &'static str,
    client: Client,
    last: String,
    got: Vec<(String, String)>,
}

impl Reader {
    async fn open(served: &Served, query: &'static str, id: Option<&str>) -> Self {
        let mut client =
            served.open_with(query, &id.map(|id| ("last-event-id", id)).into_iter().collect::<Vec<_>>()).await;
        let last = client.notice("tidegate.ready").await.id().to_owned();
        Self { query, client, last, got: Vec::new() }
    }

    async fn take(&mut self) {
        let block: Block = self.client.block().await;
        assert!(matches!(block.get("event"), None | Some("tidegate.position")), "{block:?}");
        self.last = block.id().to_owned();
        if !block.is_notice() {
            let event = block.json();
            let (channel, lane) = (event["subject"].as_str().unwrap(), event["lane"].as_str().unwrap());
            self.got.push((format!("{channel} {lane}"), block.event_id()));
        }
    }

    /// The connection is cut, and the client comes back to some edge.
    async fn come_back(&mut self, served: &Served) {
        let got = std::mem::take(&mut self.got);
        *self = Self { got, ..Self::open(served, self.query, Some(&self.last)).await };
    }

    fn wants(&self, channel: &str) -> bool {
        self.query.contains("wiki:*") || self.query.split('&').any(|pair| pair == format!("channel={channel}"))
    }
}

fn by_channel_and_lane(all: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut sorted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (place, event) in all {
        sorted.entry(place).or_default().push(event);
    }
    sorted
}

/// Topics grow twice, sources move when they like, edges come, and readers are cut: at the end each has everything once and in order.
async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut growing = Growing::new().await;
    let mut edges = Vec::new();
    for config in support::cut::configs(Duration::from_secs(5)) {
        edges.push(growing.world.serve(config).await);
    }
    let queries = ["channel=wiki:*", "channel=wiki:en", "channel=wiki:en&channel=wiki:de&channel=wiki:simple"];
    let mut readers = Vec::new();
    for (query, edge) in queries.iter().cycle().zip(&edges).chain(queries.iter().zip(edges.iter().rev())) {
        readers.push(Reader::open(edge, query, None).await);
    }
    let mut appended: Vec<(&str, String, String)> = Vec::new();
    for _ in 0..250 {
        match random.random_range(0..100) {
            0..2 if growing.generations() < 3 => growing.grow(random.random_range(1..6)).await,
            2..12 => {
                let source = random.random_range(0..SOURCES);
                if growing.is_behind(source) || random.random_bool(0.1) {
                    growing.claim(source).await;
                }
            }
            12..60 => {
                let channel = CHANNELS[random.random_range(0..CHANNELS.len())];
                let (lane, number) = (Lane::ALL[random.random_range(0..3)], appended.len());
                growing.deliver(number, channel, lane).await;
                appended.push((channel, format!("{channel} {lane}"), number.to_string()));
            }
            60..64 => tokio::time::sleep(Duration::from_secs(random.random_range(0..15))).await,
            64..74 => {
                let at = random.random_range(0..readers.len());
                let edge = &edges[random.random_range(0..edges.len())];
                come_back(&mut readers[at], edge).await;
            }
            _ => {
                let at = random.random_range(0..readers.len());
                // Nothing may be there for it now.
                let _ = tokio::time::timeout(Duration::from_millis(500), readers[at].take()).await;
            }
        }
    }
    growing.claim_all().await;
    for reader in &mut readers {
        let expected: Vec<_> = appended
            .iter()
            .filter(|(channel, ..)| reader.wants(channel))
            .map(|(_, place, event)| (place.clone(), event.clone()))
            .collect();
        while reader.got.len() < expected.len() {
            reader.take().await;
        }
        assert_eq!(by_channel_and_lane(reader.got.clone()), by_channel_and_lane(expected), "seed {seed}");
    }
    for edge in edges {
        edge.stop().await;
    }
}

/// An edge that does not know the newest generation yet says so, and looks for it.
async fn come_back(reader: &mut Reader, edge: &Served) {
    let newest = position(&reader.last).generation;
    loop {
        let mut probe = edge.resume(reader.query, &reader.last).await;
        let block = probe.block().await;
        if block.get("event") == Some("tidegate.ready") {
            break;
        }
        assert_eq!((block.json()["reason"].clone(), newest > 1), (json!("not_ready"), true), "{block:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    reader.come_back(edge).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_grows_moves_and_is_cut_every_event_comes_once_and_in_order() {
    let runs = if std::env::var_os("TIDEGATE_SOAK").is_some() { RUNS } else { RUNS / 10 };
    for seed in 0..runs {
        run(seed).await;
    }
}
