//! Who may see and say what. Pure: texts and values in, decisions out; the clock is handed in, and only the load of a
//! catalogue from a directory touches a file.
//!
//! A request comes to the [`doorkeeper`], who asks the [`issuer`] of its token, or knows the [`ticket`], and says whose it is.
//!
//! A [`catalogue`] is the policy of one product. [`claims`] are what a token says of its bearer. Channel rules decide who may
//! subscribe and publish, event rules how urgent an event is and who gets it, views which fields.
//!
//! The way of a catalogue: its files, read as documents, declare things; the check makes them one policy of rules and views,
//! and the examples try it.

pub mod claims;
pub mod key;
pub mod token;
pub mod issuer;
pub mod ticket;
pub mod origin;
pub mod doorkeeper;

pub mod report;
pub mod files;
mod document;
mod declaration;
mod declared_example;
mod declared_join;
mod payload_schema;
mod functions;
mod reads;
pub mod rule;
mod value;
pub mod generator;
mod check;

pub mod catalogue;
pub mod channel_rule;
mod audience;
pub mod grants;
pub mod enrichment;
pub mod event_rule;
pub mod telling;
pub mod prepared;
mod view;
pub mod filter;
pub mod visible;
pub mod reader;
pub mod explain;
mod example;

pub mod map;

pub use catalogue::Catalogues;
pub use catalogue::{AdmitRefusal, Unplaced};
pub use channel_rule::Refusal;
pub use claims::{ADMINISTRATOR, ChannelGrants, Claims};
pub use doorkeeper::{Act, Doorkeeper, IdentityError, InQuery, Presented};
pub use enrichment::{Awaited, Finally, Join, Missing, Reference, Row, Rows, Unjoined};
pub use event_rule::{Came, RouteError, Routing, TypePolicy};
pub use explain::{Explanation, Outcome, Question, Seen, Step};
pub use files::{CatalogueFiles, CatalogueSource, CatalogueVersion};
pub use filter::{Filter, FilterError};
pub use generator::{Generator, Made, MadeEvent};
pub use grants::{Change, ChangeError, Entitled, Standing};
pub use issuer::{Issuer, KeySource, Verifier};
pub use key::{Algorithm, KeyError, KeySet};
pub use map::{EventMap, MappedEvent};
pub use origin::Origins;
pub use prepared::Prepared;
pub use reader::{Reader, Sight, Withheld};
pub use report::CatalogueErrors;
pub use telling::{Matter, Telling};
pub use ticket::{Ticket, Tickets};
pub use token::{Signer, TokenError};
pub use visible::Visible;
