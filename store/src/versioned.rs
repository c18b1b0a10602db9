//! A value whose every change is announced once, in order: an outbox of one row.
//!
//! Who changes the value makes the next version, publishes it under an id that follows from the version alone, and then says that it is
//! announced. While a version is not announced no further one is made: whoever wants to announces it first, under the same id, so that the
//! pipeline knows a repeat. kill -9 between the steps loses none and doubles none.

/// A value, its version, and the last version that was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// As it stands.
    pub value: T,
    /// 1 for the first, and 1 more for each change.
    pub version: u64,
    /// The last announced version: `version`, or `version - 1`.
    pub announced: u64,
}

/// What became of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was made.
    Done,
    /// It was not: this stands there, or nothing.
    Stands(Option<Versioned<T>>),
}

impl<T> Versioned<T> {
    /// The first version of a value.
    #[must_use]
    pub const fn first(value: T) -> Self {
        Self { value, version: 1, announced: 0 }
    }

    /// Whether the version still has to be announced.
    #[must_use]
    pub const fn is_unannounced(&self) -> bool {
        self.announced < self.version
    }
}
