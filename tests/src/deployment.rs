//! One deployment as a user would run it: embedded in one process, or roles of their own on Kafka.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{self, Launch, Process};
use crate::services::{self, Services};

/// How long a verb that does one thing may take.
const VERB_LIMIT: Duration = Duration::from_secs(60);
/// How long a replay of all edits may take, with everything that is killed meanwhile.
const REPLAY_LIMIT: Duration = Duration::from_secs(900);

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All of them in one process.
    Up,
    /// `POST /v1/events`.
    Ingest,
    /// Plans and delivers.
    Router,
    /// Streams.
    Edge,
}

/// Data, key, prefix and logs of one deployment; everything goes with it.
#[derive(Debug)]
pub struct Deployment {
    directory: TempDir,
    flags: Vec<String>,
    services: Option<Services>,
    prefix: String,
}

impl Role {
    /// The verb.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ingest => "ingest",
            Self::Router => "router",
            Self::Edge => "edge",
        }
    }
}

impl Deployment {
    /// On the embedded bodies.
    ///
    /// # Panics
    /// No directory can be made.
    #[must_use]
    pub fn embedded() -> Self {
        let directory = TempDir::with_prefix("tidegate-test-").expect("a directory");
        let mut deployment = Self { directory, flags: Vec::new(), services: None, prefix: String::new() };
        deployment.flag("--data", &deployment.data().display().to_string());
        deployment
    }

    /// On Kafka and a registry, under a prefix of its own.
    #[must_use]
    pub fn on(services: &Services) -> Self {
        let mut deployment = Self::embedded();
        deployment.prefix = services::own_prefix();
        deployment.services = Some(services.clone());
        deployment.flag("--kafka", &services.kafka);
        deployment.flag("--registry", &services.registry);
        let prefix = deployment.prefix.clone();
        deployment.flag("--prefix", &prefix);
        deployment
    }

    /// Adds a flag to every process.
    pub fn flag(&mut self, name: &str, value: &str) {
        self.flags.extend([name.to_owned(), value.to_owned()]);
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A path in this deployment's own temporary directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The prefix of topics and groups.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A topic's full name.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// How to start a role; `name` tells its log from others.
    #[must_use]
    pub fn launch(&self, role: Role, name: &str) -> Launch {
        let mut args: Vec<OsString> = vec![role.verb().into()];
        args.extend(self.flags.iter().map(OsString::from));
        Launch {
            args,
            listen: None,
            log_filter: process::LOG_FILTER.to_owned(),
            env: Vec::new(),
            log: self.path(&format!("{name}.log")),
        }
    }

    /// Starts a role and waits until it is ready.
    pub async fn start(&self, role: Role) -> Process {
        self.start_with(role, role.verb(), &[]).await
    }

    /// Starts a role, under a name and with further environment, and waits until it is ready.
    pub async fn start_with(&self, role: Role, name: &str, env: &[(&str, &str)]) -> Process {
        let mut launch = self.launch(role, name);
        launch.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = launch.start().await;
        process.ready().await;
        process
    }

    /// Runs a verb with this deployment's `--data`, and expects it to succeed; what it printed.
    ///
    /// # Panics
    /// It fails.
    pub async fn verb(&self, args: &[&str], stdin: &[u8]) -> String {
        let output = self.try_verb(args, stdin, VERB_LIMIT).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tidegate {}: {:?}\n{error}", args.join(" "), output.status);
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Runs a verb with this deployment's `--data` to its end.
    pub async fn try_verb(&self, args: &[&str], stdin: &[u8], within: Duration) -> Output {
        let data = self.data().display().to_string();
        let args = [args, &["--data", &data]].concat();
        process::run(&args, stdin, within).await
    }

    /// A token with these roles.
    pub async fn token(&self, sub: &str, roles: &[&str]) -> String {
        let roles = roles.iter().flat_map(|role| ["--role", role]);
        let args: Vec<&str> = ["token", "--sub", sub].into_iter().chain(roles).collect();
        self.verb(&args, b"").await
    }

    /// Replays a file of edits to an address; the last line that it says.
    ///
    /// # Panics
    /// It fails, or takes longer than the limit.
    pub async fn replay(&self, file: &Path, to: &str, further: &[&str]) -> String {
        let file = file.display().to_string();
        let args = [&["replay", &file, "--map", "wikipedia", "--to", to], further].concat();
        let output = self.try_verb(&args, b"", REPLAY_LIMIT).await;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "replay: {:?}\n{}\n{}", output.status, said[0], said[1]);
        let last = |text: &str| text.lines().rev().find(|line| line.contains("sent ")).map(str::to_owned);
        last(&said[0]).or_else(|| last(&said[1])).unwrap_or_else(|| panic!("no sum in {said:?}"))
    }
}
