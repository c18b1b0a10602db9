//! The delivery partitions grow from 3 to 5 a lane while edits flow: who stays, who comes back with an old `Last-Event-ID`, and who comes new
//! has all edits once and in order.

use std::path::Path;

use schemas::lane::Lane;
use schemas::position::{Position, Presented};
use tests::deployment::{Deployment, Role};
use tests::edits;
use tests::process::Process;
use tests::reader::Reader;
use tests::replay::{Watcher, moments};
use tests::services::Services;
use tests::tally::Sees;

/// Edits a second on Kafka: running routers look for a newer generation every 20 s, and edits must still flow then.
const RATE: &str = "800";
/// Events between two cuts of a reader's own connection.
const CUT_EVERY: usize = 500;

async fn watch(edge: &Process, start: &str) -> Reader {
    Reader::connect(&edge.url(&format!("/v1/stream?channel=wiki:*{start}")), None).await
}

fn of_all(reader: Reader) -> Watcher {
    Watcher::of_all(reader, Sees::NoPlace)
}

fn all() -> (&'static Path, String) {
    (&edits::all().path, format!("sent {}", edits::all().lines.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_grow_under_running_routers_and_edges_and_streams_stay_open() {
    let Some(services) = Services::find("growing") else { return };
    let mut deployment = Deployment::on(&services);
    deployment.flag("--partitions", "3");
    let (ingest, _router) = tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router));
    let edge = deployment.start(Role::Edge).await;
    let stays = of_all(watch(&edge, "").await);
    let cut = of_all(watch(&edge, "").await.cut_every(CUT_EVERY));
    let old = watch(&edge, "").await.last_id().expect("an id").to_owned();
    let growth = async {
        stays.has(moments(8).next().expect("a moment")).await;
        let (kafka, registry, prefix) = (&services.kafka, &services.registry, deployment.prefix());
        let args = ["--kafka", kafka, "--registry", registry, "--prefix", prefix, "--partitions", "5"];
        deployment.verb(&[&["topics", "apply"][..], &args].concat(), b"").await
    };
    let url = ingest.url("");
    let (file, sent) = all();
    let replay = deployment.replay(file, &url, &["--rate", RATE]);
    let (said, grown) = tokio::join!(replay, growth);
    assert!(said.contains(&sent), "{said}");
    assert!(grown.starts_with("grown: generation 2 has 5 partitions a lane, after 3"), "{grown}");
    let back = of_all(watch(&edge, &format!("&lastEventId={old}")).await);
    let fresh = of_all(watch(&edge, "&lastEventId=earliest").await);
    let (stayed, _) = stays.finish().await;
    assert_eq!(stayed.connections, 1, "nobody was sent away");
    for watcher in [cut, back, fresh] {
        watcher.finish().await;
    }
    let Presented::Position(at) = Position::parse(stayed.last_id().expect("an id")).expect("ours") else {
        panic!("an edge writes the version that it reads");
    };
    assert_eq!((at.generation, at.next.len()), (2, 5 * Lane::ALL.len()), "it has gone over, and left the earlier one");
    let started = deployment.launch(Role::Edge, "another").start().await;
    started.ready().await;
    of_all(watch(&started, "&lastEventId=earliest").await).finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_log_grows_between_two_runs_and_streams_come_back_to_it() {
    let mut deployment = Deployment::embedded();
    deployment.flag("--partitions", "3");
    let mut up = deployment.start(Role::Up).await;
    let old = watch(&up, "").await.last_id().expect("an id").to_owned();
    let watchers = [of_all(watch(&up, "").await), of_all(watch(&up, "").await.cut_every(CUT_EVERY))];
    let url = up.url("");
    let growth = async {
        watchers[0].has(moments(2).next().expect("a moment")).await;
        assert!(up.stop().await.success());
        let grown = deployment.verb(&["topics", "apply", "--partitions", "5"], b"").await;
        up = up.launch().start().await;
        up.ready().await;
        grown
    };
    let (file, sent) = all();
    let (said, grown) = tokio::join!(deployment.replay(file, &url, &["--rate", "2000"]), growth);
    assert!(said.contains(&sent) && grown.starts_with("grown: generation 2"), "{said}; {grown}");
    for start in [format!("&lastEventId={old}"), "&lastEventId=earliest".to_owned()] {
        of_all(watch(&up, &start).await).finish().await;
    }
    for watcher in watchers {
        let (reader, _) = watcher.finish().await;
        assert!(reader.connections > 1);
    }
}
