//! One process that is measured or helps to: started, waited for, ended with its value.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::error::Failure;

/// How long a process may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one answer of `/readyz` may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A running process; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Role {
    name: String,
    child: Child,
    first_line: String,
}

/// The deployment that our processes belong to.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// Kafka's bootstrap hosts.
    pub(crate) kafka: String,
    /// The broker's process.
    pub(crate) kafka_pid: Option<u32>,
    /// The schema registry.
    pub(crate) registry: String,
    /// Stands before every topic: each deployment has its own.
    pub(crate) prefix: String,
    directory: tempfile::TempDir,
}

impl Role {
    /// Starts a process and takes the first line of its stdout.
    ///
    /// # Errors
    /// It cannot be started, or ends before that line.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, Failure> {
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(Failure::system(format!("starting {name}")))?;
        let mut role = Self { name: name.to_owned(), child, first_line: String::new() };
        let stdout = role.child.stdout.take().ok_or_else(|| Failure::contender(name, "no stdout"))?;
        let (said, first) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            let _ = lines.read_line(&mut line);
            let _ = said.send(line);
            // What else it prints must not fill the pipe.
            std::io::copy(&mut lines, &mut std::io::sink())
        });
        role.first_line = first.recv_timeout(READY_MAX).unwrap_or_default();
        if role.first_line.is_empty() {
            return Err(Failure::contender(name, "it ended or hangs before it is ready"));
        }
        Ok(role)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The way to its stdin, once.
    pub(crate) fn stdin(&mut self) -> Result<ChildStdin, Failure> {
        self.child.stdin.take().ok_or_else(|| Failure::contender(&self.name, "its stdin is taken"))
    }

    /// Where it said that it listens.
    ///
    /// # Errors
    /// It said something else.
    pub(crate) fn address(&self) -> Result<SocketAddr, Failure> {
        let said = self.first_line.trim();
        let address = said.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        address.ok_or_else(|| Failure::contender(&self.name, format!("its first line is {said:?}")))
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// It does not within the limit.
    pub(crate) fn await_ready(&self) -> Result<(), Failure> {
        let (address, started) = (self.address()?, Instant::now());
        while started.elapsed() < READY_MAX {
            if says_ready(address).unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(Failure::contender(&self.name, "not ready in time"))
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Deployment {
    /// A new one on the services that the environment names; none where it names no Kafka.
    ///
    /// # Errors
    /// No directory can be made.
    pub(crate) fn find() -> Result<Option<Self>, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(kafka), Some(registry)) = (variable("TIDEGATE_KAFKA"), variable("TIDEGATE_REGISTRY")) else {
            return Ok(None);
        };
        let directory = tempfile::TempDir::with_prefix("tidegate-bench-").map_err(Failure::system("a directory"))?;
        let config = "[http]\nconnections_max = 19500\n\n[edge]\nconnections_max = 200000\n";
        std::fs::write(directory.path().join("tidegate.toml"), config).map_err(Failure::system("the config"))?;
        let prefix = format!("bench{:08x}.", rand::random::<u32>());
        let kafka_pid = variable("TIDEGATE_KAFKA_PID").and_then(|pid| pid.parse().ok());
        Ok(Some(Self { kafka, kafka_pid, registry, prefix, directory }))
    }

    /// Starts one role of the binary beside this one, and waits until it is ready.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn start(&self, verb: &str) -> Result<Role, Failure> {
        let log = self.directory.path().join(format!("{verb}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log).map_err(Failure::system("a log"))?;
        let mut command = Command::new(beside("tidegate")?);
        command.args([verb, "--listen", "127.0.0.1:0", "--catalogue", "bench", "--log", "warn"]);
        command.args(["--kafka", &self.kafka, "--registry", &self.registry, "--prefix", &self.prefix]);
        command.arg("--config").arg(self.directory.path().join("tidegate.toml"));
        command.arg("--data").arg(self.directory.path().join("data")).stderr(log);
        let role = Role::start(verb, &mut command)?;
        role.await_ready()?;
        Ok(role)
    }

    /// Starts a publisher; its stdin takes lines.
    ///
    /// # Errors
    /// It cannot reach the log.
    pub(crate) fn publisher(&self) -> Result<Role, Failure> {
        let mut command = Command::new(beside("fanout")?);
        command.args(["publisher", "--kafka", &self.kafka, "--registry", &self.registry, "--prefix", &self.prefix]);
        Role::start("publisher", &mut command)
    }
}

/// A binary of the same build.
///
/// # Errors
/// It is not there.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::system("this binary's own path"))?;
    let path = own.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(Failure::Usage(format!("{} is not built", path.display()))) }
}

fn says_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
