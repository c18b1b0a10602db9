//! `tidegate edge`: reads the delivery lanes and serves streams and the page, on Kafka.

use crate::compose;
use crate::config::Role;
use crate::failure::Failure;
use crate::flags::ServeFlags;

pub(super) async fn run(flags: &ServeFlags) -> Result<(), Failure> {
    compose::serve(flags, Role::Edge).await
}
