//! What can go wrong with the log, one enum per operation. Each says whether a retry makes sense.

/// The log did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It does not answer now.
    #[error("the log does not answer: {detail}")]
    Unavailable {
        /// The client's words.
        detail: String,
    },
    /// There is no such topic or partition.
    #[error("there is no {what}")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// It answers no, and will again.
    #[error("the log refuses: {detail}")]
    Refused {
        /// Its words.
        detail: String,
    },
}

/// A record was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The appender's queue is full.
    #[error("the appender's queue is full")]
    QueueFull,
    /// The log takes no record of this size.
    #[error("the record has {size} bytes, more than the log takes")]
    TooLarge {
        /// Its bytes.
        size: usize,
    },
    /// Not acknowledged in time. It may still have been appended.
    #[error("not acknowledged in time: {detail}")]
    NotAcknowledged {
        /// The client's words.
        detail: String,
    },
    /// This appender appends no more.
    #[error("the appender has ended: {detail}")]
    Fatal {
        /// The client's words.
        detail: String,
    },
}

/// A range was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset is below the start or beyond the end.
    #[error("the offset is not within [{start}, {end}]")]
    OutOfRange {
        /// The log's start.
        start: u64,
        /// The log's end.
        end: u64,
    },
    /// Anything else.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A commit was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The ownership has ended.
    #[error("the partition is no longer owned")]
    NotOwned,
    /// The metadata beside the offset is over its limit; the same commit never succeeds.
    #[error("the commit's metadata has {size} bytes, more than {limit}")]
    MetadataTooLarge {
        /// Its bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The log does not answer now.
    #[error("the commit was not taken: {detail}")]
    Unavailable {
        /// The client's words.
        detail: String,
    },
}

/// A schema was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The registry has none of that reference.
    #[error("the registry knows no such schema")]
    NotFound,
    /// What it has is no Avro schema.
    #[error("the registry's schema is not Avro: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// It does not answer now.
    #[error("the registry does not answer: {detail}")]
    Unavailable {
        /// The client's words.
        detail: String,
    },
}

/// A schema was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// It breaks the subject's readers.
    #[error("the schema is not compatible with the registered one of {subject}: {detail}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// The registry's words.
        detail: String,
    },
    /// It does not answer now.
    #[error("the registry does not answer: {detail}")]
    Unavailable {
        /// The client's words.
        detail: String,
    },
}

/// The embedded log was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, or this one already has.
    #[error("{directory} is in use: one process at a time may open it")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The directory cannot be made, read or written.
    #[error("{directory} cannot be opened: {detail}")]
    Unavailable {
        /// The directory.
        directory: String,
        /// The store's words.
        detail: String,
    },
}

impl JournalError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Unknown { .. } | Self::Refused { .. } => false,
        }
    }
}

impl AppendError {
    /// Whether the same record may be handed to the same appender again.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::QueueFull | Self::NotAcknowledged { .. } => true,
            Self::TooLarge { .. } | Self::Fatal { .. } => false,
        }
    }
}

impl CommitError {
    /// Whether the same commit may succeed later, while the partition is owned.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::NotOwned | Self::MetadataTooLarge { .. } => false,
        }
    }
}

impl LookupError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::NotFound | Self::Malformed { .. } => false,
        }
    }
}
