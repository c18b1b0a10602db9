//! Text as it goes to the streams of a shard that asked for gzip: a fragment, deflated once for all who are given the same (ADR 0013).
//!
//! In: text. Out: fragments. It knows no stream; what a stream needs for its trailer stands with the stream.

use std::collections::VecDeque;

use crate::encoding::{Deflater, Fragment};

/// Texts whose fragments are kept: signs of life, notices of one cohort, and what a herd that comes back together has missed.
const KEPT: usize = 4;

/// A shard's coder.
#[derive(Debug, Default)]
pub struct Coder {
    deflater: Deflater,
    /// The last one used stands last.
    kept: VecDeque<(Box<[u8]>, Fragment)>,
}

impl Coder {
    /// The fragment of a text that others may be given, too.
    pub fn shared(&mut self, text: &[u8]) -> Fragment {
        let known = self.kept.iter().position(|(known, _)| **known == *text);
        let known = known.and_then(|place| self.kept.remove(place));
        let (text, fragment) = known.unwrap_or_else(|| (text.into(), self.deflater.fragment(text)));
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((text, fragment.clone()));
        fragment
    }

    /// The fragment of a text that is for one stream alone.
    pub fn single(&mut self, text: &[u8]) -> Fragment {
        self.deflater.fragment(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Coder, KEPT};

    #[test]
    fn what_was_used_last_is_kept_and_a_text_is_always_the_same_fragment() {
        let mut coder = Coder::default();
        let text = |number: usize| format!("data: {number}\n\n").into_bytes();
        let first = coder.shared(&text(0));
        for number in 1..=3 * KEPT {
            let fragment = coder.shared(&text(number));
            assert_eq!(fragment, coder.single(&text(number)));
            assert_eq!(coder.shared(&text(0)), first);
            assert!(coder.kept.len() <= KEPT);
            assert!(coder.kept.iter().any(|(known, _)| **known == *text(0)), "it is in use");
        }
    }
}
