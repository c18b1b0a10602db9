//! Masks: what stands in a field's place for a reader who does not hold one of its labels, where the schema wants it shown in part.
//!
//! In: the words of a schema's property `mask`. Out: masks, and texts that tell less than the value did. A mask never fails into the
//! open: what it cannot shorten is null.

use aws_lc_rs::hmac;

use crate::id::Tenant;

use super::moment::Span;
use super::shape::{Node, NodeId, Shape};

/// Characters or digits that a mask may leave.
const LEFT_MOST: usize = 8;
/// What stands for the characters that are not told; always so many, so that the length is not told either.
const HIDDEN: &str = "****";
/// A shorter text is hidden whole: four of its characters would be most of it.
const SHOWN_FROM_CHARS: usize = 8;
/// Characters that [`Mask::LastFour`] leaves.
const LAST_CHARS: usize = 4;
/// Bytes of a pseudonym: 32 hex digits.
const PSEUDONYM_BYTES: usize = 16;

/// What is left of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    /// Nothing but that the field exists.
    Null,
    /// The last four characters of a text.
    LastFour,
    /// A pseudonym: the same for equal values of one tenant under one key.
    Hash,
    /// The first characters of a text (a postcode), or so many digits behind the point (a coordinate).
    Digits(usize),
    /// The beginning of the hour, day, month or year.
    Since(Span),
}

/// The secret under which [`MaskKey::pseudonym`] is computed. It never stands in a catalogue, an error or a log.
#[derive(Clone)]
pub struct MaskKey(hmac::Key);

/// What a view is masked with.
#[derive(Debug, Clone, Copy)]
pub struct Masking<'a> {
    /// The deployment's secret.
    pub key: &'a MaskKey,
    /// Whose event it is: pseudonyms of two tenants cannot be compared.
    pub tenant: &'a Tenant,
}

impl Mask {
    /// Reads a word: `null`, `last_four`, `hash`, `truncate:<number>` or `truncate:<hour|day|month|year>`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "null" => Some(Self::Null),
            "last_four" => Some(Self::LastFour),
            "hash" => Some(Self::Hash),
            _ => {
                let to = word.strip_prefix("truncate:")?;
                let digits = to.parse().ok().filter(|digits| *digits <= LEFT_MOST).map(Self::Digits);
                digits.or_else(|| Span::parse(to).map(Self::Since))
            }
        }
    }

    /// Whether it can be applied to every value of a type. A map's keys would stay, and a record has fields of its own: these are null or
    /// nothing.
    pub(super) fn suits(self, shape: &Shape, id: NodeId) -> bool {
        match (self, shape.node(id)) {
            (Self::Null, _) | (_, Node::Null) => true,
            (_, Node::Union(branches)) => branches.iter().all(|branch| self.suits(shape, *branch)),
            (_, Node::Array(items)) => self.suits(shape, *items),
            (Self::Hash, node) => !matches!(node, Node::Record(_) | Node::Map(_) | Node::Boolean),
            (Self::LastFour, node) => matches!(node, Node::String),
            (Self::Digits(_), node) => matches!(node, Node::String | Node::Float | Node::Double),
            (Self::Since(span), Node::Date) => span > Span::Day,
            (Self::Since(_), node) => matches!(node, Node::Timestamp(_) | Node::LocalTimestamp(_)),
        }
    }
}

impl MaskKey {
    /// Of the bytes of a secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// 32 hex digits that stand for a value: HMAC-SHA256, cut to 128 bits, over the tenant and the value's JSON.
    pub(super) fn pseudonym(&self, tenant: &Tenant, json: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(tenant.as_str().as_bytes());
        context.update(&[0]);
        context.update(json);
        let tag = context.sign();
        tag.as_ref().iter().take(PSEUDONYM_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey")
    }
}

/// `****` and the last four characters, of a text that is long enough.
pub(super) fn last_four(text: &str) -> String {
    let chars = text.chars().count();
    let shown = if chars < SHOWN_FROM_CHARS { 0 } else { LAST_CHARS };
    HIDDEN.chars().chain(text.chars().skip(chars - shown)).collect()
}

/// A number with so many digits behind the point; the others are cut off.
pub(super) fn cut_off(number: f64, digits: usize) -> f64 {
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or_default());
    (number * scale).trunc() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_words_are_masks() {
        for (word, mask) in [
            ("null", Mask::Null),
            ("last_four", Mask::LastFour),
            ("hash", Mask::Hash),
            ("truncate:0", Mask::Digits(0)),
            ("truncate:8", Mask::Digits(8)),
            ("truncate:hour", Mask::Since(Span::Hour)),
            ("truncate:year", Mask::Since(Span::Year)),
        ] {
            assert_eq!(Mask::parse(word), Some(mask), "{word}");
        }
        for word in ["", "Null", "last_five", "truncate", "truncate:", "truncate:9", "truncate:-1", "truncate:week"] {
            assert_eq!(Mask::parse(word), None, "{word}");
        }
    }

    #[test]
    fn a_short_text_is_hidden_whole_and_no_length_is_told() {
        assert_eq!(last_four("4111111111111234"), "****1234");
        assert_eq!(last_four("äöüß1234"), "****1234");
        assert_eq!((last_four("1234567"), last_four("")), ("****".to_owned(), "****".to_owned()));
    }

    #[test]
    fn pseudonyms_differ_by_key_tenant_and_value() {
        let (one, other) = (Tenant::default_tenant(), Tenant::parse("acme").unwrap());
        let (key, another) = (MaskKey::new(b"a"), MaskKey::new(b"b"));
        let ada = key.pseudonym(&one, br#""Ada""#);
        assert_eq!((ada.len(), &ada), (32, &key.pseudonym(&one, br#""Ada""#)));
        for different in
            [key.pseudonym(&one, br#""Ben""#), key.pseudonym(&other, br#""Ada""#), another.pseudonym(&one, br#""Ada""#)]
        {
            assert_ne!(ada, different);
        }
        assert_eq!(format!("{key:?}"), "MaskKey");
    }
}
