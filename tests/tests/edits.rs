//! The main job on the embedded bodies: 39,244 edits in, each out exactly once and in order, whatever is killed.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::client::{self, BATCH};
use tests::deployment::{Deployment, Role};
use tests::edits;
use tests::process::Process;
use tests::reader::Reader;
use tests::replay::{Watcher, moments};
use tests::rounds;
use tests::tally::{Sees, Tally};

/// A reader of (a) cuts its connection after so many events.
const CUT_EVERY: usize = 1_000;
/// Events in one POST of sentinels.
const SENTINELS_PER_POST: usize = 20;

fn all_wikis(process: &Process) -> String {
    process.url("/v1/stream?channel=wiki:*")
}

/// One more edit behind the last of every channel and lane: when they have come, everything before them has, too.
async fn publish_sentinels(url: &str, token: &str, last: &[Arc<Value>]) -> Vec<Arc<Value>> {
    let sentinels: Vec<Value> = last.iter().map(|edit| edits::sentinel(edit)).collect();
    let event = |(number, data): (usize, &Value)| {
        let mut event = client::event(&format!("sentinel-{number}"), data);
        event["subject"] = json!(edits::channel(data));
        event
    };
    let events: Vec<Value> = sentinels.iter().enumerate().map(event).collect();
    for batch in events.chunks(SENTINELS_PER_POST) {
        let answer = client::send(client::post(url, Some(token), BATCH, json!(batch).to_string())).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    sentinels.into_iter().map(Arc::new).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_trimmed_by_policy_and_a_second_replay_adds_none() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let moderator = deployment.token("moderator", &["moderator"]).await;
    let everyone = Reader::connect(&all_wikis(&process), None).await;
    let moderator = Reader::connect(&all_wikis(&process), Some(&moderator)).await;
    let cut = Reader::connect(&all_wikis(&process), None).await.cut_every(CUT_EVERY);
    let watchers = [
        Watcher::of_all(everyone, Sees::NoPlace),
        Watcher::of_all(moderator, Sees::Everything),
        Watcher::of_all(cut, Sees::NoPlace),
    ];
    let count = edits::all().lines.len();
    let said = deployment.replay(&edits::all().path, &process.url(""), &["--speed", "max"]).await;
    assert!(said.contains(&format!("sent {count}, already known 0")), "{said}");
    let [everyone, moderator, cut] = watchers;
    let (reader, mut tally) = everyone.finish().await;
    let (_, _) = moderator.finish().await;
    let (cut, _) = cut.finish().await;
    assert!(cut.connections >= count / CUT_EVERY, "it has connected {} times only", cut.connections);

    let again = deployment.replay(&edits::all().path, &process.url(""), &["--speed", "max"]).await;
    assert!(again.contains("already known"), "{again}");
    let publisher = deployment.token("sentinels", &["publisher"]).await;
    for sentinel in publish_sentinels(&process.url(""), &publisher, &tally.last_of_each()).await {
        tally.expect(sentinel);
    }
    Watcher::of(reader, tally).finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_over_five_kills_of_the_process() {
    let deployment = Deployment::embedded();
    let mut process = deployment.start(Role::Up).await;
    let reader = Reader::connect(&all_wikis(&process), None).await;
    let cut = Reader::connect(&all_wikis(&process), None).await.cut_every(CUT_EVERY);
    let (watcher, cut) = (Watcher::of_all(reader, Sees::NoPlace), Watcher::of_all(cut, Sees::NoPlace));
    let url = process.url("");
    let path = &edits::all().path;
    let replay = deployment.replay(path, &url, &["--speed", "max"]);
    let kills = async {
        for moment in moments(rounds::kills()) {
            watcher.has(moment).await;
            process.kill_and_restart().await;
        }
    };
    let (said, ()) = tokio::join!(replay, kills);
    assert!(said.contains(&format!("sent {}", edits::all().lines.len())), "{said}");
    watcher.finish().await;
    cut.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_written_before_a_restart_is_read_from_its_start() {
    let deployment = Deployment::embedded();
    let mut process = deployment.start(Role::Up).await;
    let first = edits::all().path.clone();
    deployment.replay(&first, &process.url(""), &["--speed", "max"]).await;
    assert!(process.stop().await.success());
    let process = process.launch().start().await;
    process.ready().await;
    let url = process.url("/v1/stream?channel=wiki:*&lastEventId=earliest");
    let reader = Reader::connect(&url, None).await;
    Watcher::of(reader, Tally::of(&edits::all().lines, Sees::NoPlace)).finish().await;
}
