//! `tidegate router`: reads `events.*`, decides who gets what and how urgently, and writes the delivery lanes, on Kafka.

use crate::compose;
use crate::config::Role;
use crate::failure::Failure;
use crate::flags::ServeFlags;

pub(super) async fn run(flags: &ServeFlags) -> Result<(), Failure> {
    compose::serve(flags, Role::Router).await
}
