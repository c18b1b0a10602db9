//! One deployment for all rounds: Kafka and a registry that others share, a store of its own, an ingest, two routers, three edges.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use serde_json::json;
use tokio::time::Instant;

use crate::chaos::edges::Edges;
use crate::chaos::plan::{Kind, Plan};
use crate::client;
use crate::deployment::{Deployment, Role};
use crate::process::Process;
use crate::services::{self, OwnService, Services};
use crate::wait::until;

/// Edges.
const EDGES: usize = 3;
/// Routers.
const ROUTERS: usize = 2;
/// What is told of people is not conflated here, so that every change of it can be counted.
const CONFLATED: [&str; 2] = [r#"conflate: "payload.user_id","#, r#"conflate: "'occupancy'""#];

/// Everything that runs.
#[derive(Debug)]
pub struct World {
    ingest: Process,
    routers: Vec<Process>,
    processes: Vec<Process>,
    store: OwnService,
    /// As clients know them.
    pub edges: Edges,
    // Behind the processes, whose logs go with it.
    deployment: Deployment,
}

impl World {
    /// Starts it.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn start(services: &Services) -> Self {
        let store = OwnService::cassandra().await;
        let mut deployment = Deployment::on(services);
        let catalogue = rooms(&deployment.path("rooms"));
        for (name, value) in [("--catalogue", "bench"), ("--catalogue", &catalogue), ("--cql", &store.address)] {
            deployment.flag(name, value);
        }
        deployment.verb(&["migrate", "--cql", &store.address], b"").await;
        let ingest = deployment.start(Role::Ingest).await;
        let router = |number: usize| {
            let deployment = &deployment;
            async move {
                let name = format!("router-{number}");
                deployment.start_with(Role::Router, &name, &[("TIDEGATE_ROUTER__INSTANCE", &name)]).await
            }
        };
        let edge = |number: usize| {
            let deployment = &deployment;
            async move { deployment.start_with(Role::Edge, &format!("edge-{number}"), &[]).await }
        };
        let routers = join_all((0..ROUTERS).map(router)).await;
        let processes = join_all((0..EDGES).map(edge)).await;
        let edges = Edges::new(processes.iter().map(|edge| edge.url("")).collect());
        let world = Self { ingest, routers, processes, store, edges, deployment };
        world.healed(Duration::from_secs(60)).await.expect("the store answers");
        world
    }

    /// The base URL of the ingest.
    #[must_use]
    pub fn ingest(&self) -> String {
        self.ingest.url("")
    }

    /// A token of each of these users.
    pub async fn tokens(&self, users: &[String], roles: &[&str]) -> Vec<String> {
        let mut tokens = Vec::new();
        for user in users {
            tokens.push(self.deployment.token(user, roles).await);
        }
        tokens
    }

    /// It happens; what happened at once is over when this returns.
    pub async fn fail(&mut self, plan: &Plan) {
        match plan.kind {
            Kind::Edge => {
                let edge = plan.which % self.processes.len();
                self.edges.set(edge, false);
                self.processes[edge].kill().await;
            }
            Kind::Store => self.store.kill().await,
            Kind::Hung => self.store.freeze().await,
            Kind::Router => {
                let router = plan.which % self.routers.len();
                self.routers[router].kill().await;
            }
        }
    }

    /// What was killed is started again, and works; when that began.
    pub async fn heal(&mut self, plan: &Plan) -> Instant {
        let began = Instant::now();
        match plan.kind {
            Kind::Edge => {
                let edge = plan.which % self.processes.len();
                self.processes[edge] = self.processes[edge].launch().clone().start().await;
                self.processes[edge].ready().await;
                self.edges.set(edge, true);
                began
            }
            Kind::Store => {
                self.store.start().await;
                Instant::now()
            }
            Kind::Hung => {
                self.store.thaw().await;
                began
            }
            Kind::Router => {
                let router = plan.which % self.routers.len();
                self.routers[router] = self.routers[router].launch().clone().start().await;
                self.routers[router].ready().await;
                began
            }
        }
    }

    /// Waits until every living edge says that the store answers.
    ///
    /// # Errors
    /// Not within the time.
    pub async fn healed(&self, within: Duration) -> Result<(), String> {
        let asked = self.edges.living().into_iter().map(|edge| async move {
            let url = self.edges.url(edge, "/readyz");
            let looked = until(within, || async {
                let answer = client::try_send(self.edges.http.get(&url)).await?;
                let said = answer.json();
                let answers = said["dependencies"]["store"]["ready"] == json!(true);
                if answer.status.is_success() && answers { Ok(()) } else { Err(answer.text) }
            });
            looked.await.map_err(|error| format!("edge {edge}: {error}"))
        });
        try_join_all(asked).await.map(drop)
    }

    /// Nothing has ended that was not killed.
    ///
    /// # Panics
    /// Something has.
    pub fn all_run(&mut self) {
        let all = self.processes.iter_mut().chain(&mut self.routers).chain([&mut self.ingest]);
        for process in all {
            assert!(process.is_running(), "{:?} has ended by itself\n{}", process.launch().args, process.log());
        }
    }
}

/// The catalogue with rooms, from the one that is shipped.
fn rooms(to: &Path) -> String {
    let from: PathBuf = services::checkout().join("schemas/catalogues/wikipedia");
    std::fs::create_dir_all(to).expect("a directory");
    for file in std::fs::read_dir(from).expect("the catalogue") {
        let file = file.expect("a file");
        let mut text = std::fs::read_to_string(file.path()).expect("text");
        if file.file_name() == "catalogue.yaml" {
            for conflated in CONFLATED {
                assert!(text.contains(conflated), "the catalogue says {conflated:?} no more");
                let end = if conflated.ends_with(',') { "," } else { "" };
                text = text.replace(conflated, &format!("conflate: \"\"{end}"));
            }
        }
        std::fs::write(to.join(file.file_name()), text).expect("written");
    }
    to.display().to_string()
}
