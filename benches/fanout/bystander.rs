//! Bystanders of a load: streams of the same server whose effect on the others is measured. What they are given is not counted.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::error::Failure;

/// What the system keeps for a client that takes nothing: as little as it can.
const RECEIVE_BYTES: usize = 1;
/// One that reads the past has read enough of it after so many bytes, and begins again.
const PAST_BYTES: usize = 8 * 1024 * 1024;
/// One that is given nothing for so long has come to the end of it.
const PAST_ENDS: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 64 * 1024;

/// Clients that ask and then take no byte.
#[derive(Debug)]
pub(crate) struct Stalled {
    _sockets: Vec<Socket>,
}

/// Clients that read the past, one after the other, until they are dropped.
#[derive(Debug)]
pub(crate) struct Readers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Stalled {
    /// So many of them, each with the same request.
    ///
    /// # Errors
    /// The system gives no more sockets.
    pub(crate) fn open(address: SocketAddr, request: &[u8], clients: u64) -> Result<Self, Failure> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_recv_buffer_size(RECEIVE_BYTES)?;
            socket.connect(&address.into())?;
            socket.write_all(request)?;
            Ok(socket)
        };
        let sockets = (0..clients).map(|_| open()).collect::<io::Result<_>>();
        Ok(Self { _sockets: sockets.map_err(Failure::system("a client that stalls"))? })
    }
}

impl Readers {
    /// So many at one time, each with the same request.
    pub(crate) fn start(address: SocketAddr, request: &[u8], clients: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let reader = |_| {
            let (over, request) = (over.clone(), request.to_vec());
            std::thread::spawn(move || {
                while !over.load(Relaxed) {
                    read_once(address, &request, &over)?;
                }
                Ok(())
            })
        };
        Self { threads: (0..clients).map(reader).collect(), over }
    }

    /// Ends them.
    ///
    /// # Errors
    /// One was refused, or failed.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.over.store(true, Relaxed);
        let panicked = || Failure::contender("a reader of the past", "its thread panicked");
        let ended = |thread: JoinHandle<io::Result<()>>| {
            thread.join().map_err(|_| panicked())?.map_err(Failure::system("reading the past"))
        };
        self.threads.into_iter().try_for_each(ended)
    }
}

fn read_once(address: SocketAddr, request: &[u8], over: &AtomicBool) -> io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PAST_ENDS))?;
    socket.write_all(request)?;
    let (mut bytes, mut taken) = (vec![0; READ_BYTES], 0);
    while taken < PAST_BYTES && !over.load(Relaxed) {
        match socket.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => taken += read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
