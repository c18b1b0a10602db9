//! `tidegate config print`: a commented file with every setting.

use crate::config::COMMENTED;
use crate::failure::Failure;
use crate::verb::say;

/// What to do with the config.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print a commented tidegate.toml with the defaults
    Print,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Print => say(COMMENTED.trim_end()),
    }
}
