//! Where events are published: the HTTP door of a peer, or the standard input of a publisher's process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ChildStdin;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use memchr::memmem::find;

use crate::contender::{Contender, Post};
use crate::error::Failure;

/// A way that takes nothing for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(20);
const STALL_PAUSE: Duration = Duration::from_micros(200);
/// Batches of lines between us and the pipe.
const BATCHES_MAX: usize = 4;
/// An answer to a post has fewer bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// One way in. Events of one outlet keep their order.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// Requests are sent together, and all their answers awaited.
    Http(Door),
    /// Lines of channel, TAB, payload, written by a thread of their own: a pipe has no timeout.
    Lines(SyncSender<Vec<u8>>),
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Door {
    contender: Contender,
    address: SocketAddr,
    header: String,
    socket: Option<TcpStream>,
    answers: Vec<u8>,
}

impl Outlet {
    /// A connection to a peer's door, made when it is needed; `header` lets us publish.
    pub(crate) fn http(contender: Contender, address: SocketAddr, header: String) -> Self {
        Self::Http(Door { contender, address, header, socket: None, answers: Vec::new() })
    }

    /// The standard input of a publisher. Its thread ends with the process that reads, or with this.
    pub(crate) fn lines(mut stdin: ChildStdin) -> Self {
        let (batches, queued) = sync_channel::<Vec<u8>>(BATCHES_MAX);
        std::thread::spawn(move || queued.iter().try_for_each(|batch| stdin.write_all(&batch)));
        Self::Lines(batches)
    }

    /// Before a load: a peer may have closed a connection that was idle.
    pub(crate) fn refresh(&mut self) {
        match self {
            Self::Http(door) => door.socket = None,
            Self::Lines(_) => {}
        }
    }

    /// Publishes events.
    ///
    /// # Errors
    /// It is refused, or the way is gone or stalls. Which events arrived is not known then.
    pub(crate) fn publish(&mut self, posts: &[Post]) -> Result<(), Failure> {
        match self {
            Self::Http(door) => door.publish(posts),
            Self::Lines(batches) => {
                let line = |Post { channel, payload }: &Post| format!("{channel}\t{payload}\n");
                queue(batches, posts.iter().map(line).collect::<String>().into_bytes())
            }
        }
    }
}

fn queue(batches: &SyncSender<Vec<u8>>, mut batch: Vec<u8>) -> Result<(), Failure> {
    let started = Instant::now();
    let failed = |why: &str| Failure::contender("the publisher", why);
    loop {
        batch = match batches.try_send(batch) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(failed("it has ended")),
            Err(TrySendError::Full(_)) if started.elapsed() > STALL_MAX => return Err(failed("it takes nothing")),
            Err(TrySendError::Full(batch)) => batch,
        };
        std::thread::sleep(STALL_PAUSE);
    }
}

impl Door {
    fn publish(&mut self, posts: &[Post]) -> Result<(), Failure> {
        let mut requests = String::new();
        let answers = self.contender.publish(posts, &self.header, &mut requests);
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect().map_err(Failure::system("connecting a publisher"))?,
        };
        socket.write_all(requests.as_bytes()).map_err(Failure::system("publishing"))?;
        (0..answers).try_for_each(|_| self.await_answer(&mut socket))?;
        self.socket = Some(socket);
        Ok(())
    }

    fn connect(&mut self) -> std::io::Result<TcpStream> {
        self.answers.clear();
        let socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(STALL_MAX))?;
        socket.set_write_timeout(Some(STALL_MAX))?;
        Ok(socket)
    }

    fn await_answer(&mut self, socket: &mut TcpStream) -> Result<(), Failure> {
        loop {
            if let Some(length) = answer_length(&self.answers) {
                let answer: Vec<u8> = self.answers.drain(..length).collect();
                return self.judge(&String::from_utf8_lossy(&answer));
            }
            let mut bytes = [0; READ_BYTES];
            let read = socket.read(&mut bytes).map_err(Failure::system("an answer to a post"))?;
            if read == 0 || self.answers.len() > ANSWER_BYTES_MAX {
                return Err(Failure::contender(self.contender.name(), "no answer to a post"));
            }
            self.answers.extend_from_slice(&bytes[..read]);
        }
    }

    fn judge(&self, answer: &str) -> Result<(), Failure> {
        let taken = answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
        if taken && !answer.contains("\"error\"") {
            return Ok(());
        }
        Err(Failure::contender(self.contender.name(), format!("an event was refused: {answer}")))
    }
}

/// The bytes of the first answer, once all of it is there.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
    let head_end = find(bytes, END)? + END.len();
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let length = if head.contains("transfer-encoding: chunked") {
        head_end + find(&bytes[head_end..], LAST_CHUNK)? + LAST_CHUNK.len()
    } else {
        let stated = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        head_end + stated.unwrap_or(0)
    };
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::answer_length;

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP";
        assert_eq!(answer_length(counted), Some(counted.len() - 4));
        assert_eq!(answer_length(&counted[..counted.len() - 5]), None);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(answer_length(chunked), Some(chunked.len()));
        assert_eq!(answer_length(b"HTTP/1.1 204 No\r\n"), None);
    }
}
