//! Why a record goes to the DLQ: one of a closed set of words, and a detail that never holds payload.

use serde::{Deserialize, Serialize};

/// The word that a record carries in the DLQ, as `tg_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its headers are no event's.
    NoHeaders,
    /// It has no value.
    NullValue,
    /// Its value does not say which schema it was written with.
    BadFraming,
    /// The registry does not know that schema.
    UnknownSchema,
    /// Its value cannot be read with that schema.
    Undecodable,
    /// Its value was written as something else than its type's record.
    TypeMismatch,
    /// No catalogue has its type.
    UnknownType,
    /// No catalogue has its channel's kind, or its type is for another kind.
    UnknownKind,
    /// A rule of its type fails on it.
    Forbidden,
    /// It, or what becomes of it, has too many bytes.
    TooLarge,
    /// A row that it is to be joined with is missing, and the catalogue lets it go no further.
    MissingRow,
    /// Routers have died of it.
    Crashing,
}

/// A record that cannot be delivered, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    /// The word.
    pub reason: Reason,
    /// In words; never holds payload.
    pub detail: String,
}

impl Reason {
    /// All of them.
    pub(crate) const ALL: [Self; 12] = [
        Self::NoHeaders,
        Self::NullValue,
        Self::BadFraming,
        Self::UnknownSchema,
        Self::Undecodable,
        Self::TypeMismatch,
        Self::UnknownType,
        Self::UnknownKind,
        Self::Forbidden,
        Self::TooLarge,
        Self::MissingRow,
        Self::Crashing,
    ];

    /// The word in `tg_reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoHeaders => "no_headers",
            Self::NullValue => "null_value",
            Self::BadFraming => "bad_framing",
            Self::UnknownSchema => "unknown_schema",
            Self::Undecodable => "undecodable",
            Self::TypeMismatch => "type_mismatch",
            Self::UnknownType => "unknown_type",
            Self::UnknownKind => "unknown_kind",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::MissingRow => "missing_row",
            Self::Crashing => "crashing",
        }
    }

    /// With a detail.
    pub(crate) fn because(self, detail: impl Into<String>) -> Dead {
        Dead { reason: self, detail: detail.into() }
    }
}
