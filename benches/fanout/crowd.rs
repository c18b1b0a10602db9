//! The client processes of `hold`: started, heard, and asked at the end what their streams received.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Held;
use crate::error::Failure;
use crate::role::beside;

/// Streams are awaited so long.
const CONNECTING_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    clients: Vec<Client>,
}

/// One.
#[derive(Debug)]
struct Client {
    child: Child,
    stdin: ChildStdin,
    progress: Arc<Progress>,
    listener: JoinHandle<Option<Held>>,
}

/// How far it is.
#[derive(Debug, Default)]
struct Progress {
    connected: AtomicU64,
    delivered: AtomicU64,
    lost: AtomicU64,
}

impl Crowd {
    /// Starts a process with a stream for each of these channels, of so many in all.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn add(
        &mut self,
        address: SocketAddr,
        run: &str,
        own: Range<u64>,
        channels: u64,
        source: u8,
        http2: bool,
    ) -> Result<(), Failure> {
        let mut command = Command::new(beside("fanout")?);
        let numbers = [("--first", own.start), ("--streams", own.end - own.start), ("--channels", channels)];
        command.args(["client", "--run", run, "--address", &address.to_string(), "--source", &source.to_string()]);
        command.args(numbers.iter().flat_map(|(flag, number)| [(*flag).to_owned(), number.to_string()]));
        command.args(http2.then_some("--http2"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::system("starting a client"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::contender("a client", "no pipes"));
        };
        let progress = Arc::new(Progress::default());
        let told = progress.clone();
        let listener = std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| told.hear(&line))
        });
        self.clients.push(Client { child, stdin, progress, listener });
        Ok(())
    }

    /// Waits until so many streams are open.
    ///
    /// # Errors
    /// They are not in time.
    pub(crate) fn await_connected(&self, streams: u64) -> Result<(), Failure> {
        let started = Instant::now();
        while self.sum(|progress| &progress.connected) < streams {
            if started.elapsed() > CONNECTING_MAX {
                let (connected, lost) = (self.sum(|progress| &progress.connected), self.sum(|progress| &progress.lost));
                return Err(Failure::contender(
                    "the clients",
                    format!("{connected} of {streams} streams are open, {lost} failed"),
                ));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until so many events are delivered; whether they are in time.
    pub(crate) fn await_delivered(&self, events: u64, within: Duration) -> bool {
        let started = Instant::now();
        while self.delivered() < events {
            if started.elapsed() > within {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Events delivered so far, as last heard.
    pub(crate) fn delivered(&self) -> u64 {
        self.sum(|progress| &progress.delivered)
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.clients.iter().map(|client| client.child.id()).collect()
    }

    /// Ends them; `events` were published in all.
    ///
    /// # Errors
    /// One says nothing.
    pub(crate) fn finish(mut self, events: u64) -> Result<Vec<Held>, Failure> {
        let end = |client: Client| {
            let Client { mut child, mut stdin, listener, .. } = client;
            writeln!(stdin, "{events}").map_err(Failure::system("ending a client"))?;
            let held = listener.join().ok().flatten();
            let _ = child.wait();
            held.ok_or_else(|| Failure::contender("a client", "it ended without a word"))
        };
        self.clients.drain(..).map(end).collect()
    }

    fn sum(&self, of: impl Fn(&Progress) -> &AtomicU64) -> u64 {
        self.clients.iter().map(|client| of(&client.progress).load(Relaxed)).sum()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for client in &mut self.clients {
            let _ = client.child.kill();
            let _ = client.child.wait();
        }
    }
}

impl Progress {
    /// Takes a line; its last one.
    fn hear(&self, line: &str) -> Option<Held> {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        if let (Some(Ok(connected)), Some(Ok(delivered)), Some(Ok(lost))) =
            (numbers.next(), numbers.next(), numbers.next())
        {
            self.connected.store(connected, Relaxed);
            self.delivered.store(delivered, Relaxed);
            self.lost.store(lost, Relaxed);
            return None;
        }
        serde_json::from_str(line).ok()
    }
}
