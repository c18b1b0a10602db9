//! A channel `<kind>:<id>` with optional `/sub` parts, and the pattern `<kind>:*`.
//!
//! Texts enter, parsed channels leave. It never knows which kinds are declared: that is policy.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a text is no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// No `:` after a kind.
    #[error("a channel is <kind>:<id>")]
    NoKind,
    /// The kind holds something else than a-z, 0-9, `_` and `-`, or does not begin with a letter.
    #[error("a channel's kind is made of a-z, 0-9, _ and -, and begins with a letter")]
    Kind,
    /// The id is empty, or a part of it is, or it holds a control character, white space or `*`.
    #[error("a channel's id has no empty part, white space, control character or *")]
    Id,
    /// Over the limit.
    #[error("a channel has at most {limit} bytes", limit = limits::CHANNEL_BYTES)]
    TooLong,
}

/// A channel's text, e.g. `wiki:en` or `goal:12/comments`: at most 256 bytes, no white space, no control character, no `*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Channel(Arc<str>);

/// What a reader asks for: one channel, or all channels of a kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ChannelPattern {
    /// Just this one.
    One(Channel),
    /// `<kind>:*`; holds the kind.
    Kind(Arc<str>),
}

impl Channel {
    /// Parses `<kind>:<id>`.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        let (kind, id) = split(text)?;
        check_kind(kind)?;
        let bad = |c: char| c.is_control() || c.is_whitespace() || c == '*';
        if id.split('/').any(str::is_empty) || id.chars().any(bad) {
            return Err(ChannelError::Id);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The part after the first colon, sub parts included.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, id)| id)
    }
}

impl ChannelPattern {
    /// Parses a channel or `<kind>:*`.
    ///
    /// # Errors
    /// It is of neither form.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        match split(text)? {
            (kind, "*") => check_kind(kind).map(|()| Self::Kind(Arc::from(kind))),
            _ => Channel::parse(text).map(Self::One),
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::One(channel) => channel.kind(),
            Self::Kind(kind) => kind,
        }
    }

    /// The id; `*` for all channels of the kind.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::One(channel) => channel.id(),
            Self::Kind(_) => "*",
        }
    }

    /// Whether the pattern covers the channel.
    #[must_use]
    pub fn covers(&self, channel: &Channel) -> bool {
        match self {
            Self::One(one) => one == channel,
            Self::Kind(kind) => channel.kind() == &**kind,
        }
    }
}

fn split(text: &str) -> Result<(&str, &str), ChannelError> {
    if text.len() > limits::CHANNEL_BYTES {
        return Err(ChannelError::TooLong);
    }
    text.split_once(':').ok_or(ChannelError::NoKind)
}

fn check_kind(kind: &str) -> Result<(), ChannelError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    match kind.chars().next() {
        Some(first) if first.is_ascii_lowercase() && kind.chars().all(good) => Ok(()),
        _ => Err(ChannelError::Kind),
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id())
    }
}

impl TryFrom<String> for Channel {
    type Error = ChannelError;
    fn try_from(text: String) -> Result<Self, ChannelError> {
        Self::parse(&text)
    }
}

impl From<Channel> for String {
    fn from(channel: Channel) -> Self {
        channel.0.as_ref().to_owned()
    }
}

impl std::borrow::Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_channel_is_its_kind_and_its_id(kind in "[a-z][a-z0-9_-]{0,8}", id in "[^\\s\\p{Cc}*/]{1,9}(/[^\\s\\p{Cc}*/]{1,9})?") {
            let text = format!("{kind}:{id}");
            let channel = Channel::parse(&text).unwrap();
            prop_assert_eq!((channel.kind(), channel.id(), channel.to_string()), (&kind[..], &id[..], text.clone()));
            prop_assert_eq!(ChannelPattern::parse(&text), Ok(ChannelPattern::One(channel.clone())));
            let all = ChannelPattern::parse(&format!("{kind}:*")).unwrap();
            prop_assert!(all.covers(&channel));
        }

        #[test]
        fn any_text_is_a_channel_or_is_refused(text in any::<String>()) {
            if let Ok(channel) = Channel::parse(&text) {
                prop_assert_eq!(channel.as_str(), text);
            }
        }
    }

    #[test]
    fn each_malformed_channel_has_its_name() {
        for (text, error) in [
            ("", ChannelError::NoKind),
            ("wiki", ChannelError::NoKind),
            (":en", ChannelError::Kind),
            ("Wiki:en", ChannelError::Kind),
            ("1a:en", ChannelError::Kind),
            ("a b:en", ChannelError::Kind),
            ("wiki:", ChannelError::Id),
            ("wiki:a//b", ChannelError::Id),
            ("wiki:/a", ChannelError::Id),
            ("wiki:a b", ChannelError::Id),
            ("wiki:a\nb", ChannelError::Id),
            ("wiki:*", ChannelError::Id),
        ] {
            assert_eq!(Channel::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_channel_has_as_many_bytes_as_the_limit_and_no_more() {
        let longest = format!("wiki:{}", "x".repeat(limits::CHANNEL_BYTES - 5));
        assert!(Channel::parse(&longest).is_ok());
        assert_eq!(Channel::parse(&format!("{longest}x")), Err(ChannelError::TooLong));
    }

    #[test]
    fn a_pattern_covers_its_own_kind_only() {
        let user = Channel::parse("user:1").unwrap();
        assert!(!ChannelPattern::parse("wiki:*").unwrap().covers(&user));
        assert!(!ChannelPattern::parse("user:2").unwrap().covers(&user));
        assert_eq!(ChannelPattern::parse("user:*").unwrap().to_string(), "user:*");
    }
}
