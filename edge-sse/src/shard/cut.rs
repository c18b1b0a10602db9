//! A chunk of which the socket took a part only: what must still be written, and where the stream stands when it was. Pure.
//!
//! A stream that is behind keeps the rest of one block and no more; everything behind that block is pulled again when the socket can
//! take bytes. The id of the block says where from.

/// How a block begins that is Tidegate's own.
const NOTICE: &[u8] = b"event: tidegate.";

/// Where a chunk was cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// The rest of the block that was begun.
    pub rest: &'a [u8],
    /// Where the stream stands behind that block.
    pub stands: Stands<'a>,
}

/// Where a stream stands behind a cut.
#[derive(Debug, PartialEq, Eq)]
pub enum Stands<'a> {
    /// Where it stood before the chunk.
    Before,
    /// At this position.
    At(&'a str),
    /// Where it stands behind the chunk.
    Behind,
}

impl<'a> Cut<'a> {
    /// The cut of a chunk of whole blocks, which may end with a comment, after so many bytes.
    #[must_use]
    pub fn of(chunk: &'a [u8], written: usize) -> Self {
        Self::at(chunk, written, written)
    }

    /// The same, with all notices that the chunk begins with.
    #[must_use]
    pub fn behind_notices(chunk: &'a [u8], written: usize) -> Self {
        Self::at(chunk, written, written.max(end_of_notices(chunk)))
    }

    /// The cut at the first end of a block at or behind `least`.
    fn at(chunk: &'a [u8], written: usize, least: usize) -> Self {
        let written = written.min(chunk.len());
        if least == 0 {
            return Self { rest: &[], stands: Stands::Before };
        }
        let Some(end) = end_of_block(chunk, least) else {
            return Self { rest: &chunk[written..], stands: Stands::Behind };
        };
        let stands = id_of(&chunk[..end]).map_or(Stands::Behind, Stands::At);
        let rest = if stands == Stands::Behind { &chunk[written..] } else { &chunk[written..end] };
        Self { rest, stands }
    }
}

/// Where the notices end that a chunk begins with.
fn end_of_notices(chunk: &[u8]) -> usize {
    let mut end = 0;
    while chunk[end..].starts_with(NOTICE) {
        let Some(next) = end_of_block(chunk, end + NOTICE.len()) else { return chunk.len() };
        end = next;
    }
    end
}

/// The first end of a block at or behind a place.
fn end_of_block(chunk: &[u8], place: usize) -> Option<usize> {
    let from = place.saturating_sub(2);
    chunk[from..].windows(2).position(|two| two == b"\n\n").map(|found| from + found + 2)
}

/// The id of the block that these bytes end with.
fn id_of(chunk: &[u8]) -> Option<&str> {
    let lines = chunk.strip_suffix(b"\n\n")?;
    let last = lines.rsplit(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(last.strip_prefix(b"id: ")?).ok()
}

#[cfg(test)]
mod tests {
    use super::{Cut, Stands};

    const CHUNK: &[u8] = b"data: 1\nid: a\n\ndata: 22\nid: b\n\n:\n";

    #[test]
    fn wherever_a_chunk_is_cut_what_was_written_and_the_rest_are_whole_blocks() {
        let ends = [(15, "a"), (31, "b")];
        for written in 1..=31 {
            let cut = Cut::of(CHUNK, written);
            let (end, id) = ends.into_iter().find(|(end, _)| *end >= written).unwrap();
            assert_eq!(cut, Cut { rest: &CHUNK[written..end], stands: Stands::At(id) }, "{written}");
        }
    }

    #[test]
    fn notices_that_lead_a_chunk_are_kept_whole() {
        let chunk = b"event: tidegate.gap\ndata: {}\nid: a\n\nevent: tidegate.gap\ndata: {}\nid: b\n\ndata: 3\nid: c\n\ndata: 4\nid: d\n\n";
        let (notices, third) = (72, 87);
        for written in 0..=notices {
            let cut = Cut::behind_notices(chunk, written);
            assert_eq!(cut, Cut { rest: &chunk[written..notices], stands: Stands::At("b") }, "{written}");
        }
        for written in notices + 1..=third {
            let cut = Cut::behind_notices(chunk, written);
            assert_eq!(cut, Cut { rest: &chunk[written..third], stands: Stands::At("c") }, "{written}");
        }
        assert_eq!(Cut::behind_notices(CHUNK, 0), Cut { rest: b"", stands: Stands::Before });
    }

    #[test]
    fn nothing_written_is_nothing_begun_and_a_comment_is_finished() {
        assert_eq!(Cut::of(CHUNK, 0), Cut { rest: b"", stands: Stands::Before });
        assert_eq!(Cut::of(CHUNK, 32), Cut { rest: b"\n", stands: Stands::Behind });
    }

    #[test]
    fn a_block_without_an_id_takes_the_whole_chunk_with_it() {
        let chunk = b"event: tidegate.bye\ndata: {}\n\n";
        assert_eq!(Cut::of(chunk, 3), Cut { rest: &chunk[3..], stands: Stands::Behind });
    }
}
