//! `tidegate ingest`: takes events over HTTP and writes them to `events.*`, on Kafka.

use crate::compose;
use crate::config::Role;
use crate::failure::Failure;
use crate::flags::ServeFlags;

pub(super) async fn run(flags: &ServeFlags) -> Result<(), Failure> {
    compose::serve(flags, Role::Ingest).await
}
