//! Who may see and say what. Pure: texts and values in, decisions out; the clock and the files are handed in.
//!
//! A [`catalogue`] is the policy of one product. [`claims`] are what a token says of its bearer. Channel rules decide who may
//! subscribe and publish, event rules how urgent an event is and who gets it, views which fields.

pub mod claims;
pub mod token;
pub mod catalogue;
pub mod channel_rule;
pub mod event_rule;
pub mod view;
pub mod map;

pub use catalogue::{CatalogueErrors, CatalogueSource, CatalogueVersion, Catalogues, TypePolicy};
pub use claims::{ChannelGrants, Claims};
pub use event_rule::{RouteError, Routing};
pub use map::{EventMap, MappedEvent};
pub use token::{Signer, TokenError, Verifier};
