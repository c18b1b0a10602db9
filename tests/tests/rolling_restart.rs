//! Two edges on real Kafka are stopped and started one after the other under load: every reader goes on where it stood, on an edge that knows
//! nothing of it, and has all edits once and in order.

use std::time::Duration;

use tests::deployment::{Deployment, Role};
use tests::edits;
use tests::process::Process;
use tests::reader::Reader;
use tests::replay::{Watcher, moments};
use tests::services::Services;
use tests::tally::Sees;

/// Edits a second.
const RATE: &str = "2000";
/// Readers of each edge.
const READERS: usize = 3;
/// The time over which streams leave.
const DRAIN: Duration = Duration::from_secs(1);

async fn edge(deployment: &Deployment, name: &str) -> Process {
    let mut launch = deployment.launch(Role::Edge, name);
    launch.env.push(("TIDEGATE_EDGE__DRAIN_MS".to_owned(), DRAIN.as_millis().to_string()));
    let edge = launch.start().await;
    edge.ready().await;
    edge
}

async fn watch(edge: &Process) -> Vec<Watcher> {
    let url = edge.url("/v1/stream?channel=wiki:*");
    let mut watchers = Vec::new();
    for _ in 0..READERS {
        watchers.push(Watcher::of_all(Reader::connect(&url, None).await, Sees::NoPlace));
    }
    watchers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_two_edges_loses_and_repeats_nothing() {
    let Some(services) = Services::find("a rolling restart") else { return };
    let deployment = Deployment::on(&services);
    let (ingest, _router) = tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router));
    let mut edges = [edge(&deployment, "one").await, edge(&deployment, "other").await];
    let mut watchers = watch(&edges[0]).await;
    watchers.extend(watch(&edges[1]).await);
    let restarts = async {
        for (edge, moment) in edges.iter_mut().zip(moments(2)) {
            watchers[0].has(moment).await;
            let status = edge.stop().await;
            assert!(status.success(), "{status:?}");
            *edge = edge.launch().start().await;
            edge.ready().await;
        }
    };
    let url = ingest.url("");
    let replay = deployment.replay(&edits::all().path, &url, &["--rate", RATE]);
    let (said, ()) = tokio::join!(replay, restarts);
    assert!(said.contains(&format!("sent {}", edits::all().lines.len())), "{said}");
    for watcher in watchers {
        let (reader, _) = watcher.finish().await;
        assert_eq!(reader.connections, 2, "each was told once to come again");
    }
}
