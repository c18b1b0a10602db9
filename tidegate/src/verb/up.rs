//! `tidegate up`: every role in one process, on the embedded log with nothing installed, or on Kafka.

use crate::compose;
use crate::config::Role;
use crate::failure::Failure;
use crate::flags::ServeFlags;

pub(super) async fn run(flags: &ServeFlags) -> Result<(), Failure> {
    compose::serve(flags, Role::Up).await
}
