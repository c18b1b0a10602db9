//! The least of HTTP/1.1 that a reader of a stream needs: the end of the head, its status, and chunks taken off in place.

/// Bytes that a head may have.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How a head ends.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What came on one connection, from its first byte on.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    head: Vec<u8>,
    body: Body,
}

/// Where in the answer it stands.
#[derive(Debug, Default, Clone, Copy)]
enum Body {
    /// The head is not complete.
    #[default]
    Awaited,
    /// Ends with the connection.
    Plain,
    Chunked(Chunk),
}

#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// Among the digits of a size.
    Size(usize),
    /// Behind them: an extension, or the end of the line.
    SizeEnd(usize),
    /// So many bytes are left.
    Data(usize),
    /// The line end behind the data.
    DataEnd,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fed<'a> {
    /// Not yet a whole head.
    More,
    /// Bytes of the body; the first ones come with the head.
    Body {
        /// The head was completed by this read.
        opened: bool,
        /// Without chunk sizes.
        bytes: &'a mut [u8],
    },
    /// Another status than 200, or no HTTP: the first line.
    Refused(String),
}

impl Wire {
    /// Takes what was read. The body is what `buffer` is left with, moved together in place.
    pub(crate) fn feed<'a>(&mut self, buffer: &'a mut [u8]) -> Fed<'a> {
        if !matches!(self.body, Body::Awaited) {
            return Fed::Body { opened: false, bytes: self.unwrap(buffer) };
        }
        let before = self.head.len();
        self.head.extend_from_slice(buffer);
        let Some(end) = memchr::memmem::find(&self.head, HEAD_END) else {
            return if self.head.len() > HEAD_BYTES_MAX {
                Fed::Refused("a head without end".to_owned())
            } else {
                Fed::More
            };
        };
        let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Fed::Refused(status.to_owned());
        }
        let chunked = head.contains("transfer-encoding: chunked");
        self.body = if chunked { Body::Chunked(Chunk::Size(0)) } else { Body::Plain };
        self.head = Vec::new();
        Fed::Body { opened: true, bytes: self.unwrap(&mut buffer[end + HEAD_END.len() - before..]) }
    }

    fn unwrap<'a>(&mut self, buffer: &'a mut [u8]) -> &'a mut [u8] {
        let Body::Chunked(chunk) = &mut self.body else { return buffer };
        let (mut read, mut written) = (0, 0);
        while read < buffer.len() {
            if let Chunk::Data(left) = *chunk {
                let taken = left.min(buffer.len() - read);
                buffer.copy_within(read..read + taken, written);
                read += taken;
                written += taken;
                *chunk = if taken == left { Chunk::DataEnd } else { Chunk::Data(left - taken) };
            } else {
                *chunk = chunk.behind(buffer[read]);
                read += 1;
            }
        }
        &mut buffer[..written]
    }
}

impl Chunk {
    /// Where a byte outside of the data leads.
    fn behind(self, byte: u8) -> Self {
        let digit = char::from(byte).to_digit(16).and_then(|digit| usize::try_from(digit).ok());
        match (self, byte, digit) {
            (Self::Size(0) | Self::SizeEnd(0), b'\n', _) => Self::Size(0),
            (Self::Size(size) | Self::SizeEnd(size), b'\n', _) => Self::Data(size),
            (Self::Size(size), _, Some(digit)) => Self::Size(size * 16 + digit),
            (Self::Size(size) | Self::SizeEnd(size), _, _) => Self::SizeEnd(size),
            (Self::DataEnd, b'\n', _) => Self::Size(0),
            (Self::DataEnd, _, _) => Self::DataEnd,
            (Self::Data(left), _, _) => Self::Data(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(answer: &[u8], step: usize) -> Vec<u8> {
        let mut wire = Wire::default();
        let mut body = Vec::new();
        for part in answer.chunks(step) {
            let mut part = part.to_vec();
            match wire.feed(&mut part) {
                Fed::Body { bytes, .. } => body.extend_from_slice(bytes),
                Fed::More => {}
                Fed::Refused(line) => panic!("{line}"),
            }
        }
        body
    }

    #[test]
    fn chunks_are_taken_off_however_the_bytes_come() {
        let answer =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n00a;x=1\r\n0123456789\r\n1\r\n!\r\n";
        for step in 1..answer.len() {
            assert_eq!(body_of(answer, step), b"abcd0123456789!", "{step}");
        }
    }

    #[test]
    fn a_plain_body_is_as_it_comes_and_another_status_is_refused() {
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\ndata: 4\r\n\r\n", 7), b"data: 4\r\n\r\n");
        let refused = Wire::default().feed(&mut b"HTTP/1.1 503 No\r\n\r\n".to_vec())
            == Fed::Refused("http/1.1 503 no".to_owned());
        assert!(refused);
    }
}
