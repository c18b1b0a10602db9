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
pub struct Role {
    name: String,
    child: Child,
    first_line: String,
}

impl Role {
    /// Starts a process and takes the first line of its stdout.
    ///
    /// # Errors
    /// It cannot be started, or ends before that line.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, Failure> {
        without_ours(command);
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
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The way to its stdin, once.
    ///
    /// # Errors
    /// It is taken.
    pub fn stdin(&mut self) -> Result<ChildStdin, Failure> {
        self.child.stdin.take().ok_or_else(|| Failure::contender(&self.name, "its stdin is taken"))
    }

    /// Where it said that it listens.
    ///
    /// # Errors
    /// It said something else.
    pub fn address(&self) -> Result<SocketAddr, Failure> {
        let said = self.first_line.trim();
        let address = said.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        address.ok_or_else(|| Failure::contender(&self.name, format!("its first line is {said:?}")))
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// It does not within the limit.
    pub fn await_ready(&self) -> Result<(), Failure> {
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

/// A binary of the same build.
///
/// # Errors
/// It is not there.
pub fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::system("this binary's own path"))?;
    let path = own.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(Failure::Usage(format!("{} is not built", path.display()))) }
}

/// The environment that says where the bench finds its services is not its processes' own.
pub(crate) fn without_ours(command: &mut Command) {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(variable);
        }
    }
}

fn says_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
