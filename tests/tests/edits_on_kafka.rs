//! The main job on real Kafka with one process a role: 39,244 edits in, each out exactly once and in order, whatever is
//! killed. One replay at a time, so that two cores are enough for each.

use std::time::Duration;

use tests::deployment::{Deployment, Role};
use tests::edits;
use tests::kafka;
use tests::process::Process;
use tests::reader::Reader;
use tests::replay::{Watcher, moments};
use tests::rounds;
use tests::services::{OwnService, Services};
use tests::tally::Sees;
use tests::wait::until;
use tokio::sync::Mutex;

/// A reader of (a) cuts its connection after so many events.
const CUT_EVERY: usize = 1_000;
/// Which fight freezes a router.
const FROZEN_FIGHT: usize = 10;
/// How long the group may take to put a frozen member out.
const SESSION_LIMIT: Duration = Duration::from_secs(90);
/// About how long one fight takes.
const FIGHT_SECONDS: usize = 5;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The three roles, each a process.
struct Roles {
    deployment: Deployment,
    ingest: Process,
    router: Process,
    edge: Process,
}

impl Roles {
    async fn start(deployment: Deployment) -> Self {
        let (ingest, router, edge) =
            tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router), deployment.start(Role::Edge));
        Self { deployment, ingest, router, edge }
    }

    async fn reader(&self) -> Reader {
        Reader::connect(&self.edge.url("/v1/stream?channel=wiki:*"), None).await
    }

    fn process(&mut self, role: Role) -> &mut Process {
        match role {
            Role::Ingest => &mut self.ingest,
            Role::Router => &mut self.router,
            Role::Edge | Role::Up => &mut self.edge,
        }
    }
}

async fn replay(deployment: &Deployment, url: &str, speed: &[&str]) {
    let said = deployment.replay(&edits::all().path, url, speed).await;
    assert!(said.contains(&format!("sent {}", edits::all().lines.len())), "{said}");
}

/// A replay during which a role is killed five times.
async fn survives_kills_of(role: Role) {
    let Some(services) = Services::find("kills on Kafka") else { return };
    let _one = ONE_AT_A_TIME.lock().await;
    let mut roles = Roles::start(Deployment::on(&services)).await;
    let watcher = Watcher::of_all(roles.reader().await, Sees::NoPlace);
    let deployment = std::mem::replace(&mut roles.deployment, Deployment::embedded());
    let url = roles.ingest.url("");
    let kills = async {
        for moment in moments(rounds::kills()) {
            watcher.has(moment).await;
            roles.process(role).kill_and_restart().await;
        }
    };
    tokio::join!(replay(&deployment, &url, &["--speed", "max"]), kills);
    watcher.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_also_to_a_reader_who_is_cut_every_thousand() {
    let Some(services) = Services::find("edits on Kafka") else { return };
    let _one = ONE_AT_A_TIME.lock().await;
    let roles = Roles::start(Deployment::on(&services)).await;
    let moderator = roles.deployment.token("moderator", &["moderator"]).await;
    let url = roles.edge.url("/v1/stream?channel=wiki:*");
    let watchers = [
        Watcher::of_all(roles.reader().await, Sees::NoPlace),
        Watcher::of_all(Reader::connect(&url, Some(&moderator)).await, Sees::Everything),
        Watcher::of_all(roles.reader().await.cut_every(CUT_EVERY), Sees::NoPlace),
    ];
    replay(&roles.deployment, &roles.ingest.url(""), &["--speed", "max"]).await;
    for watcher in watchers {
        watcher.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_over_five_kills_of_the_router() {
    survives_kills_of(Role::Router).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_over_five_kills_of_the_edge() {
    survives_kills_of(Role::Edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_over_five_kills_of_the_ingest() {
    survives_kills_of(Role::Ingest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_edits_come_once_in_order_over_a_kill_of_the_broker() {
    let Some(mut services) = Services::find("a kill of the broker") else { return };
    let _one = ONE_AT_A_TIME.lock().await;
    let broker = OwnService::kafka().await;
    services.kafka.clone_from(&broker.address);
    let roles = Roles::start(Deployment::on(&services)).await;
    let watcher = Watcher::of_all(roles.reader().await, Sees::NoPlace);
    let kill = async {
        for moment in moments(rounds::broker_kills()) {
            watcher.has(moment).await;
            broker.kill().await;
            broker.start().await;
        }
    };
    let url = roles.ingest.url("");
    tokio::join!(replay(&roles.deployment, &url, &["--speed", "max"]), kill);
    watcher.finish().await;
}

/// A second router comes and goes; in one of the fights the first stands still past its session, and wakes.
async fn fight(roles: &mut Roles, deployment: &Deployment, services: &Services) {
    let rival = deployment.launch(Role::Router, "rival");
    for fight in (1..=rounds::fights()).step_by(2) {
        let mut rival = rival.start().await;
        rival.ready().await;
        if fight == FROZEN_FIGHT - 1 {
            roles.router.freeze().await;
            past_the_session(services, &deployment.topic("tidegate-router")).await;
            roles.router.thaw().await;
            roles.router.ready().await;
        }
        if fight % 4 == 1 { rival.kill().await } else { assert!(rival.stop().await.success()) }
    }
}

/// Waits until the group has put the frozen member out.
async fn past_the_session(services: &Services, group: &str) {
    let alone = until(SESSION_LIMIT, || async {
        match kafka::group_members(services, group).await {
            1 => Ok(()),
            members => Err(format!("{members} members")),
        }
    });
    alone.await.unwrap_or_else(|error| panic!("the frozen router is still a member: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_that_fight_over_the_partitions_change_nothing_that_a_reader_sees() {
    let Some(services) = Services::find("fighting routers") else { return };
    let _one = ONE_AT_A_TIME.lock().await;
    let mut roles = Roles::start(Deployment::on(&services)).await;
    let watcher = Watcher::of_all(roles.reader().await, Sees::NoPlace);
    let deployment = std::mem::replace(&mut roles.deployment, Deployment::embedded());
    let url = roles.ingest.url("");
    // So fast that there is traffic in all of it.
    let rate = (edits::all().lines.len() / (rounds::fights() * FIGHT_SECONDS)).to_string();
    let pace = ["--rate", &rate];
    tokio::join!(replay(&deployment, &url, &pace), fight(&mut roles, &deployment, &services));
    watcher.finish().await;
}
