//! One deployment of ours, for the length of a run: a prefix of its own in the log, a keyspace of its own in the store, a directory that goes with it.
//!
//! In: the services that the environment names. Out: processes of the release binary beside this one. It stops no service.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::Command;

use crate::error::Failure;
use crate::role::{Role, beside, without_ours};

/// What an edge may hold: more than a process may open files, so that the machine is the limit.
const LIMITS: &str = "[http]\nconnections_max = 19500\n\n[edge]\nconnections_max = 200000\n";

/// The deployment that our processes belong to.
#[derive(Debug)]
pub struct Deployment {
    /// Kafka's bootstrap hosts.
    pub kafka: String,
    /// The broker's process.
    pub kafka_pid: Option<u32>,
    /// The schema registry.
    pub registry: String,
    /// Stands before every topic: each deployment has its own.
    pub prefix: String,
    catalogue: &'static str,
    cql: Option<String>,
    directory: tempfile::TempDir,
}

impl Deployment {
    /// A new one on the services that the environment names; none where it names no Kafka.
    ///
    /// # Errors
    /// No directory can be made.
    pub fn find(catalogue: &'static str) -> Result<Option<Self>, Failure> {
        let (Some(kafka), Some(registry)) = (variable("TIDEGATE_KAFKA"), variable("TIDEGATE_REGISTRY")) else {
            return Ok(None);
        };
        let directory = tempfile::TempDir::with_prefix("tidegate-bench-").map_err(Failure::system("a directory"))?;
        let prefix = format!("bench{:08x}.", rand::random::<u32>());
        let kafka_pid = variable("TIDEGATE_KAFKA_PID").and_then(|pid| pid.parse().ok());
        let deployment = Self { kafka, kafka_pid, registry, prefix, catalogue, cql: None, directory };
        deployment.configure(LIMITS)?;
        Ok(Some(deployment))
    }

    /// From now on its edges remember, in the store that the environment names, whose tables are made here; whether it names one.
    ///
    /// # Errors
    /// The tables cannot be made.
    pub fn remember(&mut self) -> Result<bool, Failure> {
        let Some(cql) = variable("TIDEGATE_CQL") else { return Ok(false) };
        let keyspace = self.prefix.trim_end_matches('.');
        self.configure(&format!("{LIMITS}\n[cql_client]\nkeyspace = \"{keyspace}\"\n"))?;
        let mut migrate = Command::new(beside("tidegate")?);
        migrate.args(["migrate", "--cql", &cql]).arg("--config").arg(self.config());
        without_ours(&mut migrate);
        let made = migrate.output().map_err(Failure::system("tidegate migrate"))?;
        if !made.status.success() {
            return Err(Failure::contender("tidegate migrate", String::from_utf8_lossy(&made.stderr)));
        }
        self.cql = Some(cql);
        Ok(true)
    }

    /// Starts one role of the binary beside this one, and waits until it is ready.
    ///
    /// # Errors
    /// It is not.
    pub fn start(&self, verb: &str) -> Result<Role, Failure> {
        let log = self.directory.path().join(format!("{verb}.log"));
        let log = File::options().create(true).append(true).open(log).map_err(Failure::system("a log"))?;
        let mut command = Command::new(beside("tidegate")?);
        command.args([verb, "--listen", "127.0.0.1:0", "--catalogue", self.catalogue, "--log", "warn"]);
        command.args(["--kafka", &self.kafka, "--registry", &self.registry, "--prefix", &self.prefix]);
        command.args(self.cql.iter().flat_map(|hosts| ["--cql", hosts]));
        command.arg("--config").arg(self.config()).arg("--data").arg(self.data()).stderr(log);
        let role = Role::start(verb, &mut command)?;
        role.await_ready()?;
        Ok(role)
    }

    /// Starts a publisher; its stdin takes lines.
    ///
    /// # Errors
    /// It cannot reach the log.
    pub fn publisher(&self) -> Result<Role, Failure> {
        let mut command = Command::new(beside("fanout")?);
        command.args(["publisher", "--kafka", &self.kafka, "--registry", &self.registry, "--prefix", &self.prefix]);
        Role::start("publisher", &mut command)
    }

    /// The key that its tokens are signed with, once a process has made it.
    ///
    /// # Errors
    /// None has.
    pub fn token_key(&self) -> io::Result<Vec<u8>> {
        fs::read(self.data().join("token.key"))
    }

    fn configure(&self, text: &str) -> Result<(), Failure> {
        fs::write(self.config(), text).map_err(Failure::system("the config"))
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("tidegate.toml")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
