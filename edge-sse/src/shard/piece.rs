//! A chunk on its way to streams, as text or deflated, and what is left of it for a stream whose socket took a part only. Pure.

use super::coder::Coder;
use super::cut::{Cut, Stands};
use crate::cursor::Cursor;
use crate::encoding::Fragment;
use crate::frame::Chunk;

/// A chunk for many: deflated once, and only if one of them asked for that.
#[derive(Debug)]
pub struct Piece<'a> {
    chunk: &'a Chunk,
    fragment: Option<Fragment>,
}

/// Where a stream stood before a piece and stands behind it, and how many bytes it took.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Before the chunk.
    pub before: &'a Cursor,
    /// Behind it.
    pub behind: &'a Cursor,
    /// Bytes as they go over the wire.
    pub written: usize,
}

/// What a stream goes on with that took a part.
#[derive(Debug)]
pub struct Left {
    /// Where it goes on.
    pub cursor: Cursor,
    /// What it must be given first.
    pub rest: Vec<u8>,
    /// Bytes of the chunk's text that are written, or written with the rest.
    pub bytes: usize,
}

impl<'a> Piece<'a> {
    /// A piece.
    #[must_use]
    pub fn of(chunk: &'a Chunk) -> Self {
        Self { chunk, fragment: None }
    }

    /// Its chunk.
    #[must_use]
    pub fn chunk(&self) -> &'a Chunk {
        self.chunk
    }

    /// The chunk, deflated.
    pub fn fragment(&mut self, coder: &mut Coder) -> &Fragment {
        self.fragment.get_or_insert_with(|| coder.shared(self.chunk.as_bytes()))
    }

    /// What is left for a stream that took a part of the text: the rest of the block that was begun. Gaps of partitions that began another
    /// life stand in no position: they lead a chunk, and are kept whole.
    #[must_use]
    pub fn left(&self, part: Part<'_>) -> Left {
        let Part { before, behind, written } = part;
        let bytes = self.chunk.as_bytes();
        let lives_on = before.knows_lives_of(behind);
        let cut = if lives_on { Cut::of(bytes, written) } else { Cut::behind_notices(bytes, written) };
        let cursor = match cut.stands {
            Stands::Before => Some(before.clone()),
            Stands::At(id) => behind.taken_back(before, id),
            Stands::Behind => None,
        };
        let (cursor, rest) = match cursor {
            Some(cursor) => (cursor, cut.rest),
            None => (behind.clone(), &bytes[written..]),
        };
        Left { cursor, rest: rest.to_vec(), bytes: written + rest.len() }
    }

    /// What is left for a stream that took a part of the fragment: all the rest of that, because nothing else can follow half of it.
    #[must_use]
    pub fn left_deflated(&self, part: Part<'_>) -> Left {
        let rest = self.fragment.as_ref().and_then(|fragment| fragment.as_bytes().get(part.written..));
        let rest = rest.unwrap_or_default().to_vec();
        Left { cursor: part.behind.clone(), rest, bytes: self.chunk.as_bytes().len() }
    }
}
