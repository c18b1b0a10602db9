//! A stream on its way to a shard: everything that was found out about it, and the socket it came with.

use std::net::TcpStream;
use std::sync::Arc;

use schemas::time::Timestamp;

use super::cohort::Cast;
use crate::access::Access;
use crate::caller::Place;
use crate::cursor::Cursor;
use crate::edge::Session;
use crate::encoding;
use crate::interest::Held;

/// A stream that is ready to be written.
#[derive(Debug)]
pub struct Opened {
    /// What it shares with others.
    pub cast: Cast,
    /// The windows that it reads.
    pub session: Arc<Session>,
    /// Where it starts.
    pub cursor: Cursor,
    /// The partitions that it reads.
    pub held: Held,
    /// `tidegate.ready`, and the gaps of its start.
    pub opening: Vec<u8>,
    /// For a stream in gzip; none goes as it is.
    pub gzip: Option<encoding::Member>,
    /// When its token ends.
    pub expires_at: Option<Timestamp>,
    /// The count that it is in.
    pub access: Access,
}

/// A stream with its socket.
#[derive(Debug)]
pub struct Newcomer {
    /// The stream.
    pub opened: Opened,
    /// Its socket, which does not block.
    pub socket: TcpStream,
    /// The head of the answer, which is written first.
    pub head: Vec<u8>,
    /// Held while the stream lives: its place in the listener's count.
    pub place: Place,
}
