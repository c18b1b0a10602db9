//! Why a verb ends with something else than success, and its exit status.

use std::process::ExitCode;

/// EX_USAGE of sysexits.h: the command line, the config or a catalogue is wrong, and nothing was done.
const USAGE: u8 = 64;

/// How a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked for is wrong; every mistake, one line each. Exit status 64.
    #[error("{}", .0.join("\n"))]
    Usage(Vec<String>),
    /// It could not be done. Exit status 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// It could not be done, in the words of an error.
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(USAGE),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}
