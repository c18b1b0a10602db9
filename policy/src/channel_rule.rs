//! Channel rules: who may subscribe to a channel, and who may publish to it.

/// Why a channel is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy says no.
    #[error("forbidden")]
    Forbidden,
    /// No catalogue declares the kind.
    #[error("unknown_kind")]
    UnknownKind,
}
