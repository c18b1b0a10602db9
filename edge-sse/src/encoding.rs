//! Content codings of what is written in pieces: gzip and zstd (RFC 9110 8.4.1, RFC 8878), each piece readable as soon as it is there.
//!
//! In: pieces of text. Out: coded pieces. An idle gzip stream costs eight bytes: each piece is deflated from a fresh state and looks back at
//! nothing, so that the state is shared by all, and so is a piece that many get. Pure.

mod accept;
mod gzip;

use std::io;

use bytes::Bytes;
use http::HeaderMap;
use zstd::stream::raw::{CParameter, Encoder as ZstdEncoder, InBuffer, Operation, OutBuffer};

pub use gzip::{Deflater, Fragment, Member};

/// The window of a zstd stream, as a power of two: what it costs each client who takes nothing else.
const ZSTD_WINDOW_LOG: u32 = 12;
/// zstd's fastest that is not below its usual ones.
const ZSTD_LEVEL: i32 = 1;
/// What zstd writes at a time.
const OUT_BYTES: usize = 4 * 1024;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// None.
    Identity,
    /// gzip: one member.
    Gzip,
    /// zstd: one frame.
    Zstd,
}

/// One stream's coding, as far as it has come.
#[derive(Debug)]
pub enum Encoder {
    /// Nothing changes.
    Identity,
    /// A member, its header not yet written, or so many bytes in.
    Gzip(Member),
    /// A frame.
    Zstd(Box<Frame>),
}

/// A zstd frame with its own state.
pub struct Frame(ZstdEncoder<'static>);

impl Encoding {
    /// The best that a request asks for: what it prefers; of equals gzip, then zstd, then nothing.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        accept::best(headers)
    }

    /// As `Content-Encoding` has it; none for identity.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

impl Encoder {
    /// A stream that has not begun.
    ///
    /// # Errors
    /// There is no memory for zstd's state.
    pub fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip(Member::default()),
            Encoding::Zstd => Self::Zstd(Box::new(Frame::new()?)),
        })
    }

    /// The next piece, coded whole: a reader who has it has all of the text.
    ///
    /// # Errors
    /// zstd's state is damaged; the stream must end.
    pub fn piece(&mut self, text: Bytes, deflater: &mut Deflater) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(text),
            Self::Gzip(member) => Ok(member.join(&deflater.fragment(&text))),
            Self::Zstd(frame) => frame.piece(&text),
        }
    }

    /// What ends the stream in good order.
    ///
    /// # Errors
    /// zstd's state is damaged.
    pub fn finish(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(Bytes::new()),
            Self::Gzip(member) => Ok(member.end()),
            Self::Zstd(frame) => frame.end(),
        }
    }
}

impl Frame {
    fn new() -> io::Result<Self> {
        let mut encoder = ZstdEncoder::new(ZSTD_LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
        Ok(Self(encoder))
    }

    fn piece(&mut self, text: &[u8]) -> io::Result<Bytes> {
        let mut coded = Vec::with_capacity(text.len() / 2);
        let mut input = InBuffer::around(text);
        while input.pos() < text.len() {
            write(&mut coded, |output| self.0.run(&mut input, output))?;
        }
        while write(&mut coded, |output| self.0.flush(output))? > 0 {}
        Ok(coded.into())
    }

    fn end(&mut self) -> io::Result<Bytes> {
        let mut coded = Vec::new();
        while write(&mut coded, |output| self.0.finish(output, true))? > 0 {}
        Ok(coded.into())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frame")
    }
}

/// One step of zstd; what it says is left to do.
fn write(coded: &mut Vec<u8>, step: impl FnOnce(&mut OutBuffer<'_, [u8]>) -> io::Result<usize>) -> io::Result<usize> {
    let mut room = [0; OUT_BYTES];
    let mut output = OutBuffer::around(&mut room[..]);
    let left = step(&mut output)?;
    coded.extend_from_slice(output.as_slice());
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;

    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let block = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..200),
            "data: \\{\"[a-z]{1,8}\":[0-9]{1,20}\\}\n\n".prop_map(String::into_bytes),
            (1_usize..90_000).prop_map(|len| b"same ".iter().copied().cycle().take(len).collect()),
        ];
        proptest::collection::vec(block, 1..20)
    }

    /// Codes piece after piece; a decoder that is given what there is so far has all of the text so far. The text and its code.
    fn each_at_once<D: Write>(
        encoding: Encoding,
        pieces: Vec<Vec<u8>>,
        mut reader: D,
        read: impl Fn(&D) -> &Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<u8>), TestCaseError> {
        let (mut encoder, mut deflater) = (Encoder::new(encoding).unwrap(), Deflater::default());
        let (mut text, mut coded) = (Vec::new(), Vec::new());
        for piece in pieces {
            text.extend_from_slice(&piece);
            let more = encoder.piece(piece.into(), &mut deflater).unwrap();
            reader.write_all(&more).unwrap();
            reader.flush().unwrap();
            prop_assert_eq!(read(&reader), &text);
            coded.extend_from_slice(&more);
        }
        coded.extend_from_slice(&encoder.finish().unwrap());
        Ok((text, coded))
    }

    proptest! {
        #[test]
        fn a_gzip_reader_has_every_piece_at_once_and_one_member_at_the_end(pieces in pieces()) {
            let reader = flate2::write::GzDecoder::new(Vec::new());
            let (text, coded) = each_at_once(Encoding::Gzip, pieces, reader, |reader| reader.get_ref())?;
            let (mut again, mut whole) = (Vec::new(), flate2::bufread::GzDecoder::new(&coded[..]));
            whole.read_to_end(&mut again).unwrap();
            prop_assert_eq!(again, text);
            prop_assert!(whole.into_inner().is_empty(), "one member, and nothing behind it");
        }

        #[test]
        fn a_zstd_reader_has_every_piece_at_once_and_one_frame_at_the_end(pieces in pieces()) {
            let reader = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
            let (text, coded) = each_at_once(Encoding::Zstd, pieces, reader, |reader| reader.get_ref())?;
            let (mut again, whole) = (Vec::new(), zstd::stream::read::Decoder::with_buffer(&coded[..]).unwrap());
            whole.single_frame().read_to_end(&mut again).unwrap();
            prop_assert_eq!(again, text);
        }
    }

    #[test]
    fn one_fragment_goes_to_streams_that_stand_at_different_places() {
        let mut deflater = Deflater::default();
        let (first, shared) = (deflater.fragment(b"only for one\n\n"), deflater.fragment(b"for both\n\n"));
        let (mut one, mut other) = (Member::default(), Member::default());
        let long = [one.join(&first), one.join(&shared), one.end()].concat();
        let short = [other.join(&shared), other.end()].concat();
        for (coded, text) in [(long, "only for one\n\nfor both\n\n"), (short, "for both\n\n")] {
            let mut read = String::new();
            flate2::read::MultiGzDecoder::new(&coded[..]).read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn what_was_never_begun_ends_as_an_empty_text() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let coded = Encoder::new(encoding).unwrap().finish().unwrap();
            let mut text = Vec::new();
            match encoding {
                Encoding::Gzip => flate2::read::GzDecoder::new(&coded[..]).read_to_end(&mut text).unwrap(),
                Encoding::Zstd | Encoding::Identity => {
                    zstd::stream::read::Decoder::new(&coded[..]).unwrap().read_to_end(&mut text).unwrap()
                }
            };
            assert!(text.is_empty());
        }
    }

    #[test]
    fn an_idle_gzip_stream_has_a_dozen_bytes() {
        assert!(std::mem::size_of::<Member>() <= 12);
    }
}
