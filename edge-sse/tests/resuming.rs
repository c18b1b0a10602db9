//! Where a stream starts, and what it is told where it cannot start there.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use edge_sse::Config;
use journal::{Journal, TopicNames};
use schemas::lane::Lane;
use schemas::limits;
use schemas::position::{LogHash, Position};
use serde_json::json;
use support::{World, position, sample};

/// Nothing stays in memory: every event is read from pages of the log.
fn no_window() -> Config {
    Config { window_bytes: 0, ..Config::default() }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_from_any_id_without_gap_or_repeat() {
    let world = World::new().await;
    for config in [Config::default(), no_window()] {
        let served = world.serve(config).await;
        let mut client = served.open("channel=wiki:*").await;
        let mut ids = vec![client.notice("tidegate.ready").await.id().to_owned()];
        let mut got = Vec::new();
        for n in 0..30 {
            let channel = ["wiki:en", "wiki:de", "wiki:fr"][n % 3];
            world.deliver(&sample::delivery(&n.to_string(), channel, Lane::ALL[n % 2])).await;
        }
        for _ in 0..30 {
            let block = client.event().await;
            ids.push(block.id().to_owned());
            got.push(block.event_id());
        }
        for (at, id) in ids.iter().enumerate() {
            let mut resumed = served.resume("channel=wiki:*", id).await;
            assert_eq!(resumed.notice("tidegate.ready").await.json()["start"], json!("resumed"));
            let mut rest = resumed.events(30 - at).await;
            let mut expected = got[at..].to_vec();
            rest.sort();
            expected.sort();
            assert_eq!(rest, expected, "from {at}");
        }
        served.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_header_wins_over_the_query_and_empty_counts_as_absent() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 0, 3).await;
    let first = client.event().await.id().to_owned();
    let second = client.event().await.id().to_owned();
    for (query, header, next) in [
        (format!("lastEventId={first}"), second.as_str(), "2"),
        (format!("lastEventId={first}"), "", "1"),
        (format!("last_event_id={second}&lastEvent={first}"), "", "2"),
        (format!("lastEventId=&lastEvent={second}&since=0"), "", "2"),
        ("since=0".to_owned(), "earliest", "0"),
    ] {
        let mut resumed = served.resume(&format!("channel=wiki:en&{query}"), header).await;
        resumed.notice("tidegate.ready").await;
        assert_eq!(resumed.event().await.event_id(), next, "{query} {header}");
    }
}

#[tokio::test(start_paused = true)]
async fn since_and_rewind_start_where_they_say() {
    let world = World::new().await;
    for n in 0..10 {
        tokio::time::advance(Duration::from_secs(10)).await;
        world.deliver_many("wiki:en", n, 1).await;
    }
    let fifth = world.now().minus(Duration::from_secs(40));
    for config in [Config::default(), no_window(), Config { prime_records: 3, ..Config::default() }] {
        let served = world.serve(config).await;
        let back = (world.now().millis() - fifth.millis()) / 1_000 + 5;
        for (query, start, first) in [
            ("since=0".to_owned(), "since", 0),
            ("since=1999-12-31T23:00:00+01:00".to_owned(), "since", 0),
            (format!("since={fifth}"), "since", 5),
            (format!("since={}", fifth.millis()), "since", 5),
            (format!("rewind={back}s"), "rewind", 5),
            ("rewind=4".to_owned(), "rewind", 6),
            ("rewind=100".to_owned(), "rewind", 0),
            ("lastEventId=earliest".to_owned(), "since", 0),
        ] {
            let mut client = served.open(&format!("channel=wiki:en&{query}")).await;
            assert_eq!(client.notice("tidegate.ready").await.json()["start"], json!(start), "{query}");
            assert_eq!(client.events(10 - first).await, names(first..10), "{query}");
        }
        served.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewind_counts_per_channel_and_only_what_the_reader_sees() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 5).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    world.deliver_many("wiki:de", 10, 5).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut hidden = sample::delivery("hidden", "wiki:en", Lane::Medium);
    hidden.only_users = vec!["somebody".to_owned()];
    world.deliver(&hidden).await;
    world.deliver(&sample::delivery("urgent", "wiki:en", Lane::High)).await;
    for config in [Config::default(), no_window()] {
        let served = world.serve(config).await;
        let mut client = served.open("channel=wiki:en&channel=wiki:de&rewind=2").await;
        client.notice("tidegate.ready").await;
        let mut got = client.events_until_heartbeat().await;
        got.sort();
        assert_eq!(got, ["13", "14", "4", "urgent"]);
        served.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_retention_has_cut_is_a_gap_and_the_stream_goes_on_at_the_earliest() {
    let world = World::new().await;
    let served = world.serve(no_window()).await;
    let mut live = served.open("channel=wiki:en").await;
    let id = live.notice("tidegate.ready").await.id().to_owned();
    world.deliver_many("wiki:en", 0, 10).await;
    assert_eq!(live.events(10).await, names(0..10));
    let partition = world.partition("wiki:en", Lane::Medium);
    world.journal.trim(&world.names.delivery_partition(partition), 6).await.unwrap();
    let mut client = served.resume("channel=wiki:en", &id).await;
    let ready = client.notice("tidegate.ready").await;
    assert_eq!((ready.json()["start"].clone(), ready.id()), (json!("gap"), id.as_str()));
    let gap = client.notice("tidegate.gap").await;
    let expected = json!({"lane": "medium", "partition": partition.partition, "from": 0, "to": 6, "reason": "expired"});
    assert_eq!(gap.json(), expected);
    assert_eq!(position(gap.id()).get(partition), Some(6));
    assert_eq!(client.events(4).await, names(6..10));
}

#[tokio::test(start_paused = true)]
async fn retention_that_overtakes_a_catch_up_is_a_gap_and_then_it_goes_on() {
    let world = World::new().await;
    let config = Config { replay_bytes_per_minute: 1, catch_up_bytes: 0, ..no_window() };
    let served = world.serve(config).await;
    world.deliver_many("wiki:en", 0, 1_000).await;
    let mut client = served.open("channel=wiki:en&since=0").await;
    client.notice("tidegate.ready").await;
    let first = client.events(100).await;
    assert_eq!(first, names(0..100));
    let partition = world.partition("wiki:en", Lane::Medium);
    world.journal.trim(&world.names.delivery_partition(partition), 990).await.unwrap();
    let mut next = 100;
    let gap = loop {
        let block = client.block().await;
        if block.get("event") == Some("tidegate.gap") {
            break block;
        }
        if !block.is_notice() {
            assert_eq!(block.event_id(), next.to_string());
            next += 1;
        }
    };
    assert_eq!((&gap.json()["from"], &gap.json()["to"]), (&json!(next), &json!(990)));
    assert_eq!(client.events(10).await, names(990..1_000));
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_only_so_much_from_the_log_in_a_minute() {
    let world = World::new().await;
    let served = world.serve(Config { replay_bytes_per_minute: 1, ..no_window() }).await;
    world.deliver_many("wiki:en", 0, 1_000).await;
    let mut client = served.open("channel=wiki:en&since=0").await;
    client.notice("tidegate.ready").await;
    let began = tokio::time::Instant::now();
    assert_eq!(client.events(1_000).await, names(0..1_000));
    assert!(began.elapsed() >= Duration::from_secs(60), "one chunk a minute");
}

#[tokio::test(start_paused = true)]
async fn unless_configured_that_is_64_mib() {
    let world = World::new().await;
    let served = world.serve(no_window()).await;
    let (events, bytes) = (1_200, limits::EVENT_BYTES_DEFAULT - 4_096);
    for n in 0..events {
        let mut delivery = sample::delivery(&n.to_string(), "wiki:en", Lane::Medium);
        delivery.views[0].data = Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)));
        world.deliver(&delivery).await;
    }
    let mut client = served.open("channel=wiki:en&since=0").await;
    client.notice("tidegate.ready").await;
    let (began, mut in_time) = (tokio::time::Instant::now(), 0);
    for n in 0..events {
        assert_eq!(client.event().await.event_id(), n.to_string());
        in_time += usize::from(began.elapsed() < Duration::from_secs(60));
    }
    let mib = 1024 * 1024;
    // What is read ahead when the allowance ends still comes.
    let (least, most) = (64 * mib / (bytes + 1_024), 66 * mib / bytes);
    assert!((least..=most).contains(&in_time), "{in_time} in the first minute, and not {least} to {most}");
}

#[tokio::test(start_paused = true)]
async fn a_position_beyond_the_log_waits_for_it_and_then_is_of_the_future() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let first = served.open("channel=wiki:en").await.notice("tidegate.ready").await.id().to_owned();
    let partition = world.partition("wiki:en", Lane::Medium);
    let mut ahead = position(&first);
    let at = ahead.next.iter().position(|(known, _)| *known == partition).unwrap();
    ahead.next[at].1 = 2;
    let mut waiting = served.resume("channel=wiki:en", &ahead.to_string()).await;
    waiting.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 0, 3).await;
    assert_eq!(waiting.event().await.event_id(), "2", "the log came to it in time");
    ahead.next[at].1 = 100;
    let began = tokio::time::Instant::now();
    let mut future = served.resume("channel=wiki:en", &ahead.to_string()).await;
    assert_eq!(future.notice("tidegate.ready").await.json()["start"], json!("resumed"));
    let gap = future.notice("tidegate.gap").await;
    let expected =
        json!({"lane": "medium", "partition": partition.partition, "from": 100, "to": 3, "reason": "future"});
    assert_eq!((gap.json(), position(gap.id()).get(partition)), (expected, Some(3)));
    assert_eq!(began.elapsed().as_secs(), 5);
    world.deliver_many("wiki:en", 3, 1).await;
    assert_eq!(future.event().await.event_id(), "3");
}

#[tokio::test(start_paused = true)]
async fn a_position_of_another_log_goes_on_by_time_and_says_so() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    for n in 0..4 {
        world.deliver_many("wiki:en", n, 1).await;
        tokio::time::advance(Duration::from_secs(40)).await;
    }
    let medium = world.partition("wiki:en", Lane::Medium);
    // 60 s before this time is between the first and the second event.
    let time = world.now().minus(Duration::from_secs(4 * 40)).plus(Duration::from_secs(80));
    let foreign = Position { log: LogHash(1), time, generation: 0, next: vec![(medium, 77)] };
    let mut client = served.resume("channel=wiki:en", &foreign.to_string()).await;
    let ready = client.notice("tidegate.ready").await;
    assert_eq!((ready.json()["start"].clone(), ready.id()), (json!("gap"), foreign.to_string().as_str()));
    for lane in Lane::ALL {
        let gap = client.notice("tidegate.gap").await;
        let (from, to) = if lane == Lane::Medium { (77, 1) } else { (0, 0) };
        let expected = json!({"lane": lane, "partition": medium.partition, "from": from, "to": to, "reason": "foreign", "may_repeat": true});
        assert_eq!(gap.json(), expected);
        let known = position(gap.id()).log != LogHash(1);
        assert_eq!(known, lane == Lane::Low, "a client that is cut before the last gap is told all of them again");
    }
    assert_eq!(client.events(3).await, names(1..4));
}

/// A position of version 2: what follows the time is unknown.
fn newer(log: LogHash, time: schemas::time::Timestamp) -> String {
    let old = Position { log, time, generation: 0, next: Vec::new() }.to_string();
    let mut bytes = URL_SAFE_NO_PAD.decode(&old[1..]).unwrap();
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"something new");
    // CRC-16/IBM-3740 over the version and all before.
    let checksum = std::iter::once(&b'2').chain(&bytes).fold(0xffff_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    });
    bytes.extend_from_slice(&checksum.to_be_bytes());
    format!("2{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test(start_paused = true)]
async fn a_position_of_a_newer_version_goes_on_from_its_time_with_a_gap() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    for n in 0..4 {
        world.deliver_many("wiki:en", n, 1).await;
        tokio::time::advance(Duration::from_secs(40)).await;
    }
    let log = position(served.open("channel=wiki:en").await.block().await.id()).log;
    // Between the second and the third event.
    let id = newer(log, world.now().minus(Duration::from_secs(100)));
    let mut client = served.resume("channel=wiki:en", &id).await;
    assert_eq!(client.notice("tidegate.ready").await.json()["start"], json!("gap"));
    for lane in Lane::ALL {
        let gap = client.notice("tidegate.gap").await.json();
        assert_eq!((&gap["lane"], &gap["reason"], &gap["may_repeat"]), (&json!(lane), &json!("foreign"), &json!(true)));
    }
    assert_eq!(client.events(2).await, names(2..4));
}

#[tokio::test(start_paused = true)]
async fn a_position_serves_channels_that_it_was_not_made_for() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let other = (0..).map(|n| format!("wiki:{n}"));
    let mut other = other
        .filter(|name| world.partition(name, Lane::High).partition != world.partition("wiki:en", Lane::High).partition);
    let other = other.next().unwrap();
    world.deliver_many(&other, 0, 1).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let mut client = served.open("channel=wiki:en").await;
    let id = client.notice("tidegate.ready").await.id().to_owned();
    world.deliver_many(&other, 1, 2).await;
    let mut both = served.resume(&format!("channel=wiki:en&channel={other}"), &id).await;
    both.notice("tidegate.ready").await;
    assert_eq!(both.events(2).await, names(1..3), "from the moment of the position on");
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_made_anew_under_a_running_edge_are_a_gap() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 0, 3).await;
    client.events(3).await;
    let (medium, names) = (world.partition("wiki:en", Lane::Medium), TopicNames::new(""));
    let topic = names.delivery(Lane::Medium);
    world.journal.delete_topic(&topic).await.unwrap();
    world.make_topic(&topic, support::PARTITIONS).await;
    world.deliver_many("wiki:en", 10, 1).await;
    let gap = loop {
        let block = client.block().await;
        if block.get("event") == Some("tidegate.gap") {
            break block;
        }
    };
    let expected = json!({"lane": "medium", "partition": medium.partition, "from": 3, "to": 0, "reason": "recreated"});
    assert_eq!(gap.json(), expected);
    let log = journal::topics::Generations::read(&*world.journal, &names).await.unwrap();
    assert_eq!(position(gap.id()).log, log.hash());
    assert_eq!(client.event().await.event_id(), "10");
}
