//! One stream in a shard: its socket, and, while it is apart from its cohort, a cursor of its own and the rest of a block.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use schemas::time::Timestamp;
use tokio::time::Instant;

use super::agenda::Seat;
use super::coder::Coder;
use super::piece::{Left, Part, Piece};
use crate::access::Access;
use crate::caller::Place;
use crate::encoding;
use crate::feed::Feed;
use crate::interest::Held;
use crate::metrics;

/// Bytes that are read from a client at a time, and thrown away: a stream has one direction.
const SCRATCH_BYTES: usize = 4 * 1024;
/// Reads in a row from one client, so that one that talks without end keeps nobody waiting.
const READS_IN_A_ROW: usize = 16;

/// A stream.
#[derive(Debug)]
pub struct Member {
    /// Its socket.
    pub socket: TcpStream,
    /// What the trailer of a stream in gzip is made of; none goes as it is.
    pub gzip: Option<encoding::Member>,
    /// Its seat.
    pub seat: Seat,
    /// Its cohort.
    pub cohort: u32,
    /// Its place in the cohort's list of those together, or of those apart.
    pub place: u32,
    /// The cohort's count of moves when it was last told where it stands.
    pub told: u64,
    /// A look whether it is stuck is due.
    pub watched: bool,
    /// What it has of its own while it is apart.
    pub apart: Option<Box<Apart>>,
    /// When its token ends.
    pub expires_at: Option<Timestamp>,
    /// The same, by the clock that the shard's agenda goes by.
    pub ends_at: Option<Instant>,
    /// When its holder is told of that; none once they were.
    pub tells_at: Option<Instant>,
    /// What it was given.
    pub access: Access,
    /// The partitions that it reads.
    pub held: Held,
    /// Held while it lives.
    pub _place: Place,
}

/// What a stream has while it is apart.
#[derive(Debug)]
pub struct Apart {
    /// Its own cursor.
    pub feed: Feed,
    /// What the socket did not take yet: the rest of a block, or words that must not be lost.
    pub rest: Vec<u8>,
    /// Since when the socket has taken nothing; none while it takes.
    pub stuck: Option<Instant>,
    /// It ends when the rest is written.
    pub ends: bool,
    /// It is given nothing: what it may have is not known now.
    pub paused: bool,
    /// It waits for its turn.
    pub queued: bool,
    /// A page was asked for, and mail will come.
    pub awaits_page: bool,
    /// When the end of a rest is due.
    pub awaits_rest: Option<Instant>,
    /// A look at positions of the future is due.
    pub awaits_future: bool,
}

/// What a socket did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// It took everything.
    All,
    /// It took so many bytes, and no more now.
    Part(usize),
    /// It is gone.
    Gone,
}

impl Apart {
    /// A stream that has its own cursor, and owes these bytes first.
    #[must_use]
    pub fn new(feed: Feed, rest: Vec<u8>) -> Self {
        Self {
            feed,
            rest,
            stuck: None,
            ends: false,
            paused: false,
            queued: false,
            awaits_page: false,
            awaits_rest: None,
            awaits_future: false,
        }
    }
}

impl Member {
    /// Gives bytes to the socket.
    pub fn write(&mut self, bytes: &[u8]) -> Wrote {
        let mut written = 0;
        while written < bytes.len() {
            match self.socket.write(&bytes[written..]) {
                Ok(0) => return Wrote::Gone,
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Wrote::Part(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed(&error);
                    return Wrote::Gone;
                }
            }
        }
        Wrote::All
    }

    /// Gives a piece to the socket. Where it takes a part, [`Member::left`] says how to go on.
    pub fn give(&mut self, piece: &mut Piece<'_>, coder: &mut Coder) -> Wrote {
        let Some(mut gzip) = self.gzip else { return self.write(piece.chunk().as_bytes()) };
        let fragment = piece.fragment(coder);
        let wrote = self.write(fragment.as_bytes());
        if wrote == Wrote::All {
            gzip.take(fragment);
            self.gzip = Some(gzip);
        }
        wrote
    }

    /// What is left of a piece of which the socket took a part.
    pub fn left(&mut self, piece: &mut Piece<'_>, part: Part<'_>, coder: &mut Coder) -> Left {
        match &mut self.gzip {
            Some(gzip) if part.written > 0 => {
                gzip.take(piece.fragment(coder));
                piece.left_deflated(part)
            }
            Some(_) | None => {
                let left = piece.left(part);
                Left { rest: self.coded(&left.rest, coder).into_owned(), ..left }
            }
        }
    }

    /// Whether the rest of a fragment is owed, which may hold more than the block that was begun.
    pub fn owes_fragment(&self) -> bool {
        self.gzip.is_some() && self.apart.as_ref().is_some_and(|apart| !apart.rest.is_empty())
    }

    /// Words that are written whatever comes, as they stand in this stream.
    pub fn coded<'a>(&mut self, words: &'a [u8], coder: &mut Coder) -> Cow<'a, [u8]> {
        let Some(gzip) = self.gzip.as_mut().filter(|_| !words.is_empty()) else { return Cow::Borrowed(words) };
        let fragment = coder.shared(words);
        gzip.take(&fragment);
        Cow::Owned(fragment.as_bytes().to_vec())
    }

    /// The socket has ended in error: asks for which.
    pub fn ask_why(&mut self) {
        if let Ok(Some(error)) = self.socket.take_error() {
            self.failed(&error);
        }
    }

    /// The client takes nothing, or acknowledges nothing.
    pub fn let_go(&mut self) {
        self.access.ended_by("stall");
        metrics::let_go();
    }

    fn failed(&mut self, error: &io::Error) {
        if error.kind() == ErrorKind::TimedOut {
            self.let_go();
        }
    }

    /// Throws away what the client says; whether it is still there.
    pub fn listen(&mut self) -> bool {
        let mut scratch = [0; SCRATCH_BYTES];
        for _ in 0..READS_IN_A_ROW {
            match self.socket.read(&mut scratch) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }
}
