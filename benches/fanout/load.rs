//! Many streams held by few threads, each with an event loop of its own: connects them, drops them, brings them back where they stood.
//!
//! A stream costs a socket and its tally; one read buffer serves all streams of a thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use crate::contender::Contender;
use crate::counters::Counters;
use crate::error::Failure;
use crate::marker::now_micros;
use crate::tally::{Ledger, Sum, Tally};
use crate::wire::{Fed, Wire};

const READ_BYTES: usize = 64 * 1024;
const EVENTS_AT_ONCE: usize = 1024;
/// The one token that is no stream's.
const COMMANDS: Token = Token(usize::MAX);
/// Source addresses of one load: each gives a client about 28,000 ports to one server.
const SOURCES: usize = 8;

/// What a load is.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Whose words are spoken.
    pub(crate) contender: Contender,
    /// Where its streams are.
    pub(crate) address: SocketAddr,
    /// Tells channels of this run from others.
    pub(crate) run: String,
    /// The channel's number of each stream.
    pub(crate) channels: Vec<u64>,
    /// Whether streams will resume.
    pub(crate) traced: bool,
    /// Event loops.
    pub(crate) threads: usize,
    /// The third byte of the clients' addresses, 127.0.N.x.
    pub(crate) source: u8,
}

/// Streams, and their threads.
#[derive(Debug)]
pub(crate) struct Load {
    /// What comes of it while it runs.
    pub(crate) counters: Arc<Counters>,
    workers: Vec<Worker>,
}

/// What all streams of a load have received.
#[derive(Debug)]
pub(crate) struct Received {
    /// Counts.
    pub(crate) sum: Sum,
    /// Publish → socket, in microseconds.
    pub(crate) latencies: Histogram<u64>,
}

#[derive(Debug)]
struct Worker {
    commands: Sender<Command>,
    waker: Waker,
    thread: JoinHandle<Result<(Vec<Tally>, Ledger), Failure>>,
}

enum Command {
    /// Opens all streams, at most so many at one time.
    Connect(usize),
    /// Closes all of them.
    Drop,
    /// Closes them and ends the thread.
    Finish,
}

impl Load {
    /// Starts the threads; no stream is open yet.
    ///
    /// # Errors
    /// The system gives no event loop.
    pub(crate) fn start(plan: &Plan) -> Result<Self, Failure> {
        let counters = Arc::new(Counters::new());
        let workers = (0..plan.threads).map(|number| Worker::start(plan, number, counters.clone()));
        Ok(Self { workers: workers.collect::<Result<_, _>>()?, counters })
    }

    /// Opens all streams, at most `at_once` at one time; [`Counters::connected`] says how far it is.
    pub(crate) fn connect(&self, at_once: usize) {
        self.counters.connected.store(0, Relaxed);
        let each = at_once.div_ceil(self.workers.len().max(1));
        self.workers.iter().for_each(|worker| worker.tell(Command::Connect(each)));
    }

    /// Drops all streams; those of a traced load will come back where they stood.
    pub(crate) fn drop_all(&self) {
        self.workers.iter().for_each(|worker| worker.tell(Command::Drop));
    }

    /// Ends it; `published` says how many events each channel had.
    ///
    /// # Errors
    /// A thread failed.
    pub(crate) fn finish(self, published: impl Fn(u64) -> u64) -> Result<Received, Failure> {
        self.workers.iter().for_each(|worker| worker.tell(Command::Finish));
        let mut received = Received { sum: Sum::default(), latencies: Ledger::new().into_latencies() };
        for worker in self.workers {
            let ended = worker.thread.join().map_err(|_| Failure::contender("the load", "a thread panicked"))?;
            let (tallies, ledger) = ended?;
            tallies.iter().for_each(|tally| tally.add_to(&mut received.sum, published(tally.channel())));
            // Both were made with the same bounds.
            let _ = received.latencies.add(ledger.into_latencies());
        }
        Ok(received)
    }
}

impl Worker {
    fn start(plan: &Plan, number: usize, counters: Arc<Counters>) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::system("an event loop"))?;
        let waker = Waker::new(poll.registry(), COMMANDS).map_err(Failure::system("a waker"))?;
        let (commands, received) = channel();
        let streams = plan.channels.iter().enumerate().skip(number).step_by(plan.threads);
        let streams = streams.map(|(at, channel)| Stream::new(at, *channel, plan)).collect();
        let plan = plan.clone();
        let thread = std::thread::spawn(move || {
            let mut circle = Circle {
                poll,
                plan,
                counters,
                streams,
                waiting: VecDeque::new(),
                connecting: 0,
                at_once: 1,
                buffer: vec![0; READ_BYTES],
                ledger: Ledger::new(),
            };
            circle.turn(&received)?;
            Ok((circle.streams.into_iter().map(|stream| stream.tally).collect(), circle.ledger))
        });
        Ok(Self { commands, waker, thread })
    }

    /// A thread that has ended hears nothing, and its end is what `finish` reports.
    fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = self.waker.wake();
    }
}

/// One stream of one thread.
#[derive(Debug)]
struct Stream {
    source: SocketAddr,
    tally: Tally,
    wire: Wire,
    link: Link,
    resume: Option<String>,
}

#[derive(Debug)]
enum Link {
    None,
    Connecting(TcpStream),
    Asked(TcpStream),
    Open(TcpStream),
}

impl Stream {
    fn new(at: usize, channel: u64, plan: &Plan) -> Self {
        let host = u8::try_from(2 + at % SOURCES).unwrap_or(2);
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, plan.source, host), 0));
        Self { source, tally: Tally::new(channel, plan.traced), wire: Wire::default(), link: Link::None, resume: None }
    }

    fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&self.source.into())?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
            Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
        }
    }
}

/// `EINPROGRESS`: a connection is on its way (connect(2)).
const IN_PROGRESS: i32 = 115;

/// One thread's event loop.
#[derive(Debug)]
struct Circle {
    poll: Poll,
    plan: Plan,
    counters: Arc<Counters>,
    streams: Vec<Stream>,
    waiting: VecDeque<usize>,
    connecting: usize,
    at_once: usize,
    buffer: Vec<u8>,
    ledger: Ledger,
}

impl Circle {
    fn turn(&mut self, commands: &Receiver<Command>) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Failure::System { what: "waiting for streams".to_owned(), source: error });
                }
                Ok(()) | Err(_) => {}
            }
            for event in &events {
                if event.token() != COMMANDS {
                    self.advance(event.token().0, event.is_read_closed());
                }
            }
            self.count();
            for command in commands.try_iter() {
                match command {
                    Command::Connect(at_once) => self.begin(at_once),
                    Command::Drop => self.drop_all(),
                    Command::Finish => return Ok(()),
                }
            }
            self.connect_more();
        }
    }

    fn count(&mut self) {
        let delivered = self.ledger.take_delivered();
        if delivered > 0 {
            self.counters.last_micros.fetch_max(now_micros(), Relaxed);
            self.counters.delivered.fetch_add(delivered, Relaxed);
        }
    }

    fn begin(&mut self, at_once: usize) {
        self.at_once = at_once;
        self.waiting = (0..self.streams.len()).collect();
    }

    fn drop_all(&mut self) {
        self.waiting.clear();
        self.connecting = 0;
        for stream in &mut self.streams {
            stream.link = Link::None;
            stream.wire = Wire::default();
            let trace = stream.tally.trace();
            stream.resume = trace.and_then(|(first, recent)| self.plan.contender.resume_token(first, recent));
            stream.tally.reconnect();
        }
    }

    fn connect_more(&mut self) {
        while self.connecting < self.at_once {
            let Some(at) = self.waiting.pop_front() else { return };
            self.connecting += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let connected = self.streams[at].connect(self.plan.address).and_then(|mut socket| {
                self.poll.registry().register(&mut socket, Token(at), interest)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => self.streams[at].link = Link::Connecting(socket),
                Err(error) => self.fail(at, format!("connect: {error}")),
            }
        }
    }

    fn fail(&mut self, at: usize, why: String) {
        self.streams[at].link = Link::None;
        self.connecting -= 1;
        self.counters.failed.fetch_add(1, Relaxed);
        self.counters.note(why);
    }

    /// The socket of a stream has something to say.
    fn advance(&mut self, at: usize, read_closed: bool) {
        match std::mem::replace(&mut self.streams[at].link, Link::None) {
            Link::None => {}
            Link::Connecting(socket) => self.ask(at, socket),
            Link::Asked(socket) => self.read(at, socket, false, read_closed),
            Link::Open(socket) => self.read(at, socket, true, read_closed),
        }
    }

    fn ask(&mut self, at: usize, mut socket: TcpStream) {
        if let Ok(Some(error)) | Err(error) = socket.take_error() {
            return self.fail(at, format!("connect: {error}"));
        }
        let stream = &mut self.streams[at];
        let channel = self.plan.contender.channel(&self.plan.run, stream.tally.channel());
        let request = self.plan.contender.subscribe(&channel, stream.resume.as_deref());
        match socket.write(&request) {
            Ok(written) if written == request.len() => stream.link = Link::Asked(socket),
            Ok(_) => self.fail(at, "a request was not taken whole".to_owned()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                stream.link = Link::Connecting(socket);
            }
            Err(error) => self.fail(at, format!("request: {error}")),
        }
    }

    /// Reads until there is no more; a read that leaves room in the buffer was the last (epoll(7)), unless the end stands behind it.
    fn read(&mut self, at: usize, mut socket: TcpStream, mut open: bool, read_closed: bool) {
        loop {
            let read = match socket.read(&mut self.buffer) {
                Ok(0) => return self.ended(at, open, "closed by the server".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return self.ended(at, open, format!("read: {error}")),
            };
            let stream = &mut self.streams[at];
            match stream.wire.feed(&mut self.buffer[..read]) {
                Fed::More => {}
                Fed::Refused(line) => return self.ended(at, open, line),
                Fed::Body { opened, bytes } => {
                    if opened {
                        open = true;
                        self.connecting -= 1;
                        self.counters.connected.fetch_add(1, Relaxed);
                    }
                    stream.tally.feed(bytes, &mut self.ledger, &self.counters);
                }
            }
            if read < READ_BYTES && open && !read_closed {
                break;
            }
        }
        self.streams[at].link = if open { Link::Open(socket) } else { Link::Asked(socket) };
    }

    fn ended(&mut self, at: usize, open: bool, why: String) {
        if !open {
            return self.fail(at, why);
        }
        self.counters.closed.fetch_add(1, Relaxed);
        self.counters.note(why);
    }
}
