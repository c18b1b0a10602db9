//! Which HTTP a client speaks: by the first bytes of a plain connection (RFC 9113 3.4), by ALPN over TLS (RFC 7301).

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How HTTP/2 is called in ALPN.
pub(super) const ALPN_HTTP2: &[u8] = b"h2";
/// How HTTP/1.1 is called in ALPN.
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";
/// While a preface is cut, its rest is looked for so often: a peek is not woken by what it has seen.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

impl Spoken {
    /// Looks at the first bytes of a connection and leaves them where they are. Waits until there are enough.
    ///
    /// # Errors
    /// The connection ended.
    pub(super) async fn peek(socket: &TcpStream) -> io::Result<Self> {
        let mut seen = [0; PREFACE.len()];
        loop {
            let count = socket.peek(&mut seen).await?;
            let seen = seen.get(..count).unwrap_or_default();
            if seen.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !PREFACE.starts_with(seen) {
                return Ok(Self::Http1);
            }
            if seen.len() == PREFACE.len() {
                return Ok(Self::Http2);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What was agreed upon in a handshake; a client without ALPN speaks HTTP/1.1.
    pub(super) fn agreed(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(ALPN_HTTP2) { Self::Http2 } else { Self::Http1 }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::{PREFACE, Spoken};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn the_first_bytes_tell_also_where_they_come_one_by_one() {
        for (sent, spoken) in [
            (&b"GET / HTTP/1.1\r\n"[..], Spoken::Http1),
            (b"PROPFIND / HTTP/1.1\r\n", Spoken::Http1),
            (PREFACE, Spoken::Http2),
        ] {
            let (server, mut client) = pair().await;
            let sending = async {
                for byte in sent {
                    client.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (found, ()) = tokio::join!(Spoken::peek(&server), sending);
            assert_eq!(found.unwrap(), spoken);
            let mut left = vec![0; sent.len()];
            tokio::io::AsyncReadExt::read_exact(&mut { server }, &mut left).await.unwrap();
            assert_eq!(left, sent, "nothing is taken");
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_at_once_speaks_nothing() {
        let (server, client) = pair().await;
        drop(client);
        assert!(Spoken::peek(&server).await.is_err());
    }
}
