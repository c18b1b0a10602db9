//! A socket that is let go when its client takes nothing for too long.
//!
//! A server that waits for such a client asks the stream for nothing, so that only the socket itself can notice. It is reset, not closed: a
//! client that comes back to life then sees an error, never half a block that ends as if it were whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A socket whose writes fail with `TimedOut` once they have waited for so long without a byte being taken.
#[derive(Debug)]
pub struct Patient<S> {
    socket: S,
    patience: Duration,
    ends: Option<Pin<Box<Sleep>>>,
    abandon: fn(&S),
}

impl Patient<TcpStream> {
    /// A TCP socket, reset when its client stalls.
    #[must_use]
    pub fn new(socket: TcpStream, patience: Duration) -> Self {
        // A socket that cannot be reset is closed.
        Self::with(socket, patience, |socket| drop(socket.set_zero_linger()))
    }
}

impl<S> Patient<S> {
    /// The socket, which is no longer watched.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.socket
    }

    fn with(socket: S, patience: Duration, abandon: fn(&S)) -> Self {
        Self { socket, patience, ends: None, abandon }
    }
}

impl<S: Unpin> Patient<S> {
    /// Passes on what a write says, unless it has waited for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.ends = None;
            return polled;
        }
        let patience = self.patience;
        let ends = self.ends.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match ends.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                (self.abandon)(&self.socket);
                tracing::info!("a client that takes nothing was let go");
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::Patient;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_byte_is_let_go_after_its_time() {
        let (ours, _theirs) = duplex(8);
        let began = Instant::now();
        let error = Patient::with(ours, PATIENCE, |_| ()).write_all(b"more than eight").await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_served() {
        let (ours, mut theirs) = duplex(1);
        let mut patient = Patient::with(ours, PATIENCE, |_| ());
        let slow = async {
            let mut got = Vec::new();
            for _ in 0..10 {
                tokio::time::advance(PATIENCE - Duration::from_secs(1)).await;
                got.push(theirs.read_u8().await.unwrap());
            }
            got
        };
        let (written, got) = tokio::join!(patient.write_all(b"0123456789"), slow);
        assert!(written.is_ok() && got == b"0123456789");
    }
}
