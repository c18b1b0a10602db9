//! The small names: tenant, event id, source, event type, label. Each is parsed once at the rim.
//!
//! Texts enter, names within their limits leave. A name never changes its text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a text is not the name that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// It is over its limit.
    #[error("{what} has {size} bytes, more than {limit}")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Its bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It holds a character that this name may not hold.
    #[error("{what} may not hold {character:?}")]
    Character {
        /// Which name.
        what: &'static str,
        /// The first such character.
        character: char,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr, $forbidden:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// Empty, over its limit, or a character that it may not hold.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check($what, text, $limit, $forbidden)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text as it was parsed.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// Who owns a channel: 1 to 64 bytes without `/`, `:` or a control character. `default` where none is given.
    Tenant, "the tenant", limits::TENANT_BYTES, |c| c == '/' || c == ':' || c.is_control()
}
name! {
    /// A producer's id of an event (CloudEvents `id`).
    EventId, "the id", limits::ATTRIBUTE_BYTES, char::is_control
}
name! {
    /// The context in which the event happened (CloudEvents `source`).
    Source, "the source", limits::ATTRIBUTE_BYTES, char::is_control
}
name! {
    /// What kind of event it is (CloudEvents `type`), e.g. `wiki.edit`.
    EventType, "the type", limits::ATTRIBUTE_BYTES, |c| c.is_control() || c.is_whitespace()
}
name! {
    /// What a reader must hold to see a field or an event.
    Label, "the label", limits::ATTRIBUTE_BYTES, |c| c.is_control() || c.is_whitespace()
}

impl Tenant {
    /// The tenant of events and tokens that name none.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }
}

impl EventType {
    /// The part before the first dot, which names the topic `events.<domain>`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

pub(crate) fn check(
    what: &'static str,
    text: &str,
    limit: usize,
    forbidden: impl Fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > limit {
        return Err(NameError::TooLong { what, size: text.len(), limit });
    }
    match text.chars().find(|c| forbidden(*c)) {
        Some(character) => Err(NameError::Character { what, character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_as_many_bytes_as_its_limit_and_no_more() {
        let of = |size: usize| "x".repeat(size);
        assert!(Tenant::parse(&of(limits::TENANT_BYTES)).is_ok());
        let error = Tenant::parse(&of(limits::TENANT_BYTES + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the tenant has 65 bytes, more than 64");
        assert!(EventId::parse(&of(limits::ATTRIBUTE_BYTES)).is_ok());
        assert!(EventId::parse(&of(limits::ATTRIBUTE_BYTES + 1)).is_err());
    }

    #[test]
    fn each_name_refuses_what_it_may_not_hold() {
        assert!(Tenant::parse("a/b").is_err() && Tenant::parse("a:b").is_err() && Tenant::parse("").is_err());
        assert!(EventId::parse("a b").is_ok() && EventId::parse("a\0b").is_err());
        assert!(EventType::parse("wiki edit").is_err());
        assert!(Label::parse("two words").is_err());
        assert!(serde_json::from_str::<Source>("\"\"").is_err());
    }

    #[test]
    fn a_type_belongs_to_the_domain_before_its_first_dot() {
        for (text, domain) in [("wiki.edit.minor", "wiki"), ("wiki", "wiki")] {
            assert_eq!(EventType::parse(text).unwrap().domain(), domain);
        }
    }
}
