//! gzip in pieces that look back at nothing (RFC 1952, RFC 1951): raw deflate fragments, each ended by a sync flush at a whole byte, make one
//! valid stream whatever stands before and behind them. So one compressor serves everybody, and a fragment is made once for all who get it.

use bytes::{BufMut, Bytes, BytesMut};
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress};

/// No name, no time, an unknown system (RFC 1952 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block: of fixed codes, with nothing in it (RFC 1951 3.2.3).
const LAST_BLOCK: [u8; 2] = [3, 0];
/// Room beyond half of the text for what does not shrink.
const ROOM_BYTES: usize = 64;

/// Makes fragments. Shared: it remembers nothing of one in the next.
#[derive(Debug)]
pub struct Deflater(Compress);

/// A piece of text, deflated by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    deflated: Bytes,
    crc: u32,
    len: u64,
}

/// One stream, as far as it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Member {
    crc: u32,
    len: u32,
    begun: bool,
}

impl Default for Deflater {
    fn default() -> Self {
        Self(Compress::new(Compression::default(), false))
    }
}

impl Deflater {
    /// Deflates a piece.
    #[must_use]
    pub fn fragment(&mut self, text: &[u8]) -> Fragment {
        self.0.reset();
        let mut deflated = Vec::with_capacity(text.len() / 2 + ROOM_BYTES);
        loop {
            let taken = usize::try_from(self.0.total_in()).unwrap_or(text.len());
            let rest = text.get(taken..).unwrap_or_default();
            // It fails only when it is used after its end.
            let _ = self.0.compress_vec(rest, &mut deflated, FlushCompress::Sync);
            // A flush is done when it leaves room.
            if deflated.len() < deflated.capacity() {
                break;
            }
            deflated.reserve(deflated.len());
        }
        let mut hasher = Hasher::new();
        hasher.update(text);
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Fragment { deflated: deflated.into(), crc: hasher.finalize(), len }
    }
}

impl Fragment {
    /// What is written for it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.deflated
    }
}

impl Member {
    /// Takes a fragment into the stream, which has begun: its bytes are written next.
    pub fn take(&mut self, fragment: &Fragment) {
        let mut hasher = Hasher::new_with_initial(self.crc);
        hasher.combine(&Hasher::new_with_initial_len(fragment.crc, fragment.len));
        self.crc = hasher.finalize();
        // The trailer has the length modulo 2^32.
        self.len = self.len.wrapping_add(u32::try_from(fragment.len & u64::from(u32::MAX)).unwrap_or(0));
    }

    /// Takes a fragment into the stream: what is written for it. The first one comes with the header.
    #[must_use]
    pub fn join(&mut self, fragment: &Fragment) -> Bytes {
        self.take(fragment);
        if std::mem::replace(&mut self.begun, true) {
            return fragment.deflated.clone();
        }
        let mut first = BytesMut::with_capacity(HEADER.len() + fragment.deflated.len());
        first.put_slice(&HEADER);
        first.put_slice(&fragment.deflated);
        first.freeze()
    }

    /// The end of the stream.
    #[must_use]
    pub fn end(&mut self) -> Bytes {
        let mut end = BytesMut::with_capacity(HEADER.len() + LAST_BLOCK.len() + 8);
        if !std::mem::replace(&mut self.begun, true) {
            end.put_slice(&HEADER);
        }
        end.put_slice(&LAST_BLOCK);
        end.put_u32_le(self.crc);
        end.put_u32_le(self.len);
        end.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_ends_with_an_empty_stored_block_and_is_always_the_same() {
        let mut deflater = Deflater::default();
        let one = deflater.fragment(b"data: {}\n\n");
        let _ = deflater.fragment(&[7; 100_000]);
        assert_eq!(deflater.fragment(b"data: {}\n\n"), one);
        assert!(one.deflated.ends_with(&[0, 0, 0xff, 0xff]), "{:02x?}", one.deflated);
    }

    #[test]
    fn the_bytes_of_an_empty_member_are_those_of_everybody() {
        let empty = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Member::default().end()[..], empty);
    }
}
