//! A producer's event → the journal. The modules stand in the order in which an event meets them.
//!
//! Two doors: [`Ingest`] answers `POST /v1/events` for anyone who speaks HTTP and holds a token that policy lets publish;
//! [`Publisher`] is for internal services that speak Rust and reach the log themselves. Both write the same record: the
//! CloudEvents attributes as headers, the payload as framed Avro of a registered schema, the channel as the key.
//! An event is answered only when the log has it. Nothing here decides who may read.

mod config;
mod error;
mod metrics;
mod request;
mod admit;
mod audited;
mod validate;
mod known;
mod registered;
mod trace;
mod outbox;
mod intake;
mod problem;
mod described;
mod health;
mod ingest;
mod publish;

pub use config::Config;
pub use error::{AdmitError, Cause, Refused, RequestError, RunError, StoreError, ValidateError};
pub use ingest::{Ingest, openapi};
pub use problem::respond;
pub use publish::{
    ConnectError, DeclareError, Declared, PublishError, Publisher, PublisherEvent, PublisherSettings, Receipt,
};
pub use registered::Registered;
