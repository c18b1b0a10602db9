//! Where the real services are, and brokers of a test's own that it may kill.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::process;

/// How long a service may take to start.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Kafka and a registry that all tests share; each takes a prefix of its own.
#[derive(Debug, Clone)]
pub struct Services {
    /// `host:port`.
    pub kafka: String,
    /// The base URL of the Confluent API.
    pub registry: String,
}

impl Services {
    /// From `TIDEGATE_KAFKA` and `TIDEGATE_REGISTRY`; none, and a word on stderr, where they are not set.
    ///
    /// # Panics
    /// They are not set although `TIDEGATE_REQUIRE_SERVICES` is: no run of `./dev test` skips anything.
    #[must_use]
    pub fn find(test: &str) -> Option<Self> {
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(kafka), Some(registry)) = (of("TIDEGATE_KAFKA"), of("TIDEGATE_REGISTRY")) {
            return Some(Self { kafka, registry });
        }
        assert!(of("TIDEGATE_REQUIRE_SERVICES").is_none(), "TIDEGATE_KAFKA and TIDEGATE_REGISTRY are not set");
        eprintln!("{test}: not run, because TIDEGATE_KAFKA and TIDEGATE_REGISTRY are not set (./dev test sets them)");
        None
    }
}

/// The hosts of a store that all tests share, from `TIDEGATE_CQL`; none, and a word on stderr, where it is not set.
///
/// # Panics
/// It is not set although `TIDEGATE_REQUIRE_SERVICES` is.
#[must_use]
pub fn cql(test: &str) -> Option<String> {
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let hosts = of("TIDEGATE_CQL");
    if hosts.is_none() {
        assert!(of("TIDEGATE_REQUIRE_SERVICES").is_none(), "TIDEGATE_CQL is not set");
        eprintln!("{test}: not run, because TIDEGATE_CQL is not set (./dev test sets it)");
    }
    hosts
}

/// A prefix that no other test has, in this run or another on the same broker.
#[must_use]
pub fn own_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("t{:08x}{:x}{count}.", rand::random::<u32>(), std::process::id())
}

/// The checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from(".."), Path::to_path_buf)
}

/// Python with what the tests need of it.
#[must_use]
pub fn python() -> Command {
    let own = || checkout().join(".venv/bin/python");
    Command::new(std::env::var_os("TIDEGATE_PYTHON").map_or_else(own, PathBuf::from))
}

/// A service that belongs to one test, on a port and data of its own; it ends with the test.
#[derive(Debug)]
pub struct OwnService {
    script: PathBuf,
    run: TempDir,
    settings: Vec<(&'static str, String)>,
    /// As clients name it.
    pub address: String,
}

impl OwnService {
    /// A broker.
    pub async fn kafka() -> Self {
        Self::start_new("kafka.sh", Vec::new()).await
    }

    /// A broker with further listeners for those who show a certificate, and for a user with a password. The directory holds `ca.pem` and
    /// `broker.pem`.
    pub async fn secure_kafka(directory: &Path, (user, password): (&str, &str)) -> Self {
        let secure = ("KAFKA_SECURE", directory.display().to_string());
        Self::start_new("kafka.sh", vec![secure, ("KAFKA_SCRAM", format!("{user}:{password}"))]).await
    }

    /// The address of a further listener of a secure broker: `ssl` or `sasl_ssl`.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn listener(&self, name: &str) -> String {
        let file = self.run.path().join("kafka").join(name);
        std::fs::read_to_string(file).expect("a listener's address").trim().to_owned()
    }

    /// A registry.
    pub async fn registry() -> Self {
        Self::start_new("registry.sh", Vec::new()).await
    }

    /// A store.
    pub async fn cassandra() -> Self {
        Self::start_new("cassandra.sh", Vec::new()).await
    }

    async fn start_new(script: &str, settings: Vec<(&'static str, String)>) -> Self {
        let run = TempDir::with_prefix("tidegate-service-").expect("a directory");
        let script = checkout().join("infra/local").join(script);
        let mut service = Self { script, run, settings, address: String::new() };
        service.start().await;
        service.address = service.call("address").await;
        service
    }

    /// Starts it (again), at the same address and on the same data; it is ready when this returns.
    pub async fn start(&self) {
        self.call("start").await;
    }

    /// kill -9, and waits for the end: a start must not take what is still ending for running.
    pub async fn kill(&self) {
        self.call("crash").await;
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&self) {
        self.call("stop").await;
    }

    /// SIGSTOP: it stands still, and its sockets stay open.
    pub async fn freeze(&self) {
        process::signal("STOP", &self.call("pid").await).await;
    }

    /// SIGCONT.
    pub async fn thaw(&self) {
        process::signal("CONT", &self.call("pid").await).await;
    }

    async fn call(&self, verb: &str) -> String {
        let mut command = Command::new(&self.script);
        command.arg(verb).env("TIDEGATE_SERVICES_RUN", self.run.path()).kill_on_drop(true);
        command.envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        let output = tokio::time::timeout(START_LIMIT, command.output())
            .await
            .unwrap_or_else(|_| panic!("{} {verb} has not ended within {START_LIMIT:?}", self.script.display()))
            .expect("the script runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {verb}: {error}", self.script.display());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for OwnService {
    fn drop(&mut self) {
        // The directory goes right after this, and with it the pid: so this one waits.
        let _ =
            std::process::Command::new(&self.script).arg("stop").env("TIDEGATE_SERVICES_RUN", self.run.path()).output();
    }
}
