//! The floor: the least that a server can do for a fan-out. One thread, one `write` for each subscriber and event, and nothing else: no channels,
//! no past, no memory of a client. A yardstick, never a product.
//!
//! GET subscribes, whatever the path; POST publishes its body to all.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use memchr::memmem::find;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::error::Failure;

const LISTENER: Token = Token(0);
const EVENTS_AT_ONCE: usize = 1024;
const READ_BYTES: usize = 64 * 1024;
/// A request has fewer bytes.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Everyone who is connected.
#[derive(Debug, Default)]
struct Floor {
    subscribers: Vec<TcpStream>,
    others: BTreeMap<usize, (TcpStream, Vec<u8>)>,
    token: usize,
}

/// A whole request at the beginning of what came.
struct Request {
    subscribes: bool,
    body: std::ops::Range<usize>,
}

/// Serves until the process ends; says where on stdout.
///
/// # Errors
/// The system gives no socket.
#[allow(clippy::print_stdout, reason = "its first line is its address")]
pub(crate) fn serve() -> Result<(), Failure> {
    let system = |what: &str| Failure::system(what.to_owned());
    let mut poll = Poll::new().map_err(system("an event loop"))?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(system("listening"))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(system("listening"))?;
    println!("listening on http://{}", listener.local_addr().map_err(system("listening"))?);
    let mut events = Events::with_capacity(EVENTS_AT_ONCE);
    let mut floor = Floor::default();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(system("waiting")(error)),
            Ok(()) | Err(_) => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                floor.accept(&listener, &poll);
            } else {
                floor.hear(event.token().0, &poll);
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) {
        while let Ok((mut socket, _)) = listener.accept() {
            self.token += 1;
            let registered = poll.registry().register(&mut socket, Token(self.token), Interest::READABLE);
            if registered.is_ok() && socket.set_nodelay(true).is_ok() {
                self.others.insert(self.token, (socket, Vec::new()));
            }
        }
    }

    /// Takes what someone says who is not a subscriber yet; who says nonsense is let go.
    fn hear(&mut self, token: usize, poll: &Poll) {
        let Some((mut socket, mut bytes)) = self.others.remove(&token) else { return };
        if !read_all(&mut socket, &mut bytes) || bytes.len() > REQUEST_BYTES_MAX {
            return;
        }
        while let Some(request) = Request::first(&bytes) {
            if request.subscribes {
                return self.subscribe(socket, poll);
            }
            self.deliver(&bytes[request.body.clone()]);
            if socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
            bytes.drain(..request.body.end);
        }
        self.others.insert(token, (socket, bytes));
    }

    fn subscribe(&mut self, mut socket: TcpStream, poll: &Poll) {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        // From now on it is only written to.
        if poll.registry().deregister(&mut socket).is_ok() && socket.write_all(head).is_ok() {
            self.subscribers.push(socket);
        }
    }

    fn deliver(&mut self, body: &[u8]) {
        let block = [b"id: 1700000000:0\ndata: ", body, b"\n\n"].concat();
        self.subscribers.retain_mut(|socket| socket.write(&block).is_ok_and(|written| written == block.len()));
    }
}

impl Request {
    fn first(bytes: &[u8]) -> Option<Self> {
        const END: &[u8] = b"\r\n\r\n";
        let head_end = find(bytes, END)? + END.len();
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let body = head_end..head_end + length.unwrap_or(0_usize);
        (bytes.len() >= body.end).then(|| Self { subscribes: head.starts_with("get "), body })
    }
}

/// Reads what is there; whether the other side is still connected.
fn read_all(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; READ_BYTES];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
