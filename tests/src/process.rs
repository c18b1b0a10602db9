//! The real binary as a process: found, started, listened to, killed, frozen, and ended with the test.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::wait::until;

/// How long a process may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a process may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// How long a process may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Requests are not worth a line each where there are thousands.
pub const LOG_FILTER: &str = "info,tidegate::access=warn";
/// How much of a log is shown when a test fails.
const LOG_TAIL_BYTES: u64 = 6_000;

/// What to start, and again after a kill.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The verb and its flags, without `--listen`.
    pub args: Vec<OsString>,
    /// Where to listen; none means a port that is free now.
    pub listen: Option<SocketAddr>,
    /// What is logged.
    pub log_filter: String,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// The file that gets stderr, appended over restarts.
    pub log: PathBuf,
}

/// A running process that serves HTTP.
#[derive(Debug)]
pub struct Process {
    child: Child,
    base: String,
    address: SocketAddr,
    launch: Launch,
}

/// The binary: `$TIDEGATE_BIN`, else the one beside the test's own executable.
///
/// # Panics
/// There is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TIDEGATE_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a process knows its own path");
    let directory = own.parent().expect("target/<profile>, and deps below it for a test");
    let profile = if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    let path = profile.join("tidegate");
    assert!(path.exists(), "{} is not built: `cargo build -p tidegate`, or run `./dev test`", path.display());
    path
}

/// A free port of this machine, below the range that the kernel gives to clients: while a killed process is away, no
/// client's own socket can take its port.
#[must_use]
pub fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::random_range(15_000..32_000)));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A command that knows nothing of the tests' own environment.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

/// Runs a verb to its end, with `stdin` as input.
///
/// # Panics
/// It cannot be started, or does not end within the limit.
pub async fn run(args: &[&str], stdin: &[u8], within: Duration) -> Output {
    let mut command = command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    let feed = async {
        // A process that refuses its input may end before it has read it.
        let _ = input.write_all(stdin).await;
        drop(input);
    };
    let (_, output) = tokio::time::timeout(within, async { tokio::join!(feed, child.wait_with_output()) })
        .await
        .unwrap_or_else(|_| panic!("`tidegate {}` has not ended within {within:?}", args.join(" ")));
    output.expect("its output is read")
}

impl Launch {
    /// Starts it, and waits until it says where it listens.
    ///
    /// # Panics
    /// It ends first, says something else, or takes too long.
    pub async fn start(&self) -> Process {
        let listen = self.listen.unwrap_or_else(free_address).to_string();
        let log = File::options().create(true).append(true).open(&self.log).expect("the log opens");
        let mut command = command();
        command
            .args(&self.args)
            .args(["--listen", &listen, "--log", &self.log_filter])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = tokio::time::timeout(START_LIMIT, lines.next_line())
            .await
            .unwrap_or_else(|_| panic!("it has said nothing within {START_LIMIT:?}\n{}", tail(&self.log)))
            .expect("stdout is UTF-8")
            .unwrap_or_else(|| panic!("it ended before it listened: {:?}\n{}", self.args, tail(&self.log)));
        // What else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (base, address) = first
            .strip_prefix("listening on ")
            .and_then(|base| Some((base.to_owned(), base.split_once("://")?.1.trim_end_matches('/').parse().ok()?)))
            .unwrap_or_else(|| panic!("the first line on stdout is {first:?}"));
        Process { child, base, address, launch: Launch { listen: Some(address), ..self.clone() } }
    }
}

impl Process {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// How to start it again, at the same address.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.launch.log).unwrap_or_default()
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// It does not within the limit.
    pub async fn ready(&self) {
        // Whether it is ready is asked here; whom a client trusts is asked elsewhere.
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().expect("a client");
        until(READY_LIMIT, || async {
            let answer = http.get(self.url("/readyz")).send().await.map_err(|e| e.to_string())?;
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            if status.is_success() { Ok(()) } else { Err(format!("{status}: {text}")) }
        })
        .await
        .unwrap_or_else(|e| panic!("{:?} is not ready: {e}\n{}", self.launch.args, tail(&self.launch.log)));
    }

    /// The number of the process.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// kill -9, and waits for the end.
    ///
    /// # Panics
    /// It cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is killed");
    }

    /// kill -9, and starts it again at the same address; not yet ready.
    pub async fn kill_and_restart(&mut self) {
        self.kill().await;
        *self = self.launch.start().await;
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// It does not end within the limit.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM").await;
        tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it has not ended {STOP_LIMIT:?} after SIGTERM"))
            .expect("its status")
    }

    /// SIGSTOP: it stands still, and its sockets stay open.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
    }

    /// SIGCONT.
    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// The system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    async fn signal(&self, name: &str) {
        signal(name, &self.id().to_string()).await;
    }
}

/// Sends a signal to a process that a test started.
///
/// # Panics
/// It cannot be sent.
pub async fn signal(name: &str, pid: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), pid]).status().await.expect("kill runs");
    assert!(status.success(), "kill -{name} {pid}");
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {:?}\n{}", self.launch.args, tail(&self.launch.log));
        }
    }
}

fn tail(log: &Path) -> String {
    let Ok(mut file) = File::open(log) else { return String::new() };
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let _ = file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL_BYTES)));
    let _ = file.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
