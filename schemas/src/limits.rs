//! Every limit of the vocabulary, by name. What happens at each stands in its line; whoever acts on one
//! has the test that reaches it.

/// An event as rendered for a reader may have this many bytes, whatever is configured; larger goes to the DLQ.
pub const EVENT_BYTES_HARD: usize = 512 * 1024;
/// The default limit of an event as rendered; a POST over it is 413, a record over it goes to the DLQ.
pub const EVENT_BYTES_DEFAULT: usize = 64 * 1024;
/// The views and labels of a delivery; larger goes to the DLQ (`too_large`).
pub const DELIVERY_BYTES: usize = 4 * 1024 * 1024;
/// Distinct views of a type; the catalogue check refuses more.
pub const VIEWS_PER_TYPE: usize = 8;
/// A presented `Last-Event-ID`; longer is 400.
pub const POSITION_TEXT_BYTES: usize = 1024;
/// A channel's text, kind included; longer is malformed.
pub const CHANNEL_BYTES: usize = 256;
/// Channels named by one connection; more are refused (`limit`).
pub const CHANNELS_PER_CONNECTION: usize = 64;
/// An event's id, source or type; longer is no CloudEvent.
pub const ATTRIBUTE_BYTES: usize = 1024;
/// A tenant's name.
pub const TENANT_BYTES: usize = 64;
/// Records, arrays and maps in one another in a value, and nesting of a schema's JSON; a deeper value is `undecodable`, a
/// deeper schema is refused.
pub const VALUE_DEPTH: usize = 64;
/// What one Avro value may take of memory once decoded; more is `undecodable`.
pub const DECODE_BYTES: usize = 16 * 1024 * 1024;
/// A schema's text; a longer one is refused.
pub const SCHEMA_BYTES: usize = 256 * 1024;
/// Objects in the defaults of a schema; more are refused, because defaults of records in one another multiply.
pub const SCHEMA_DEFAULT_OBJECTS: usize = 16;
/// Digits of a decimal, as many as 128 bits hold; a schema with more is refused.
pub const DECIMAL_DIGITS: usize = 38;
/// Mismatches that are listed of one payload; further ones are not looked at.
pub const MISMATCHES: usize = 32;
/// Delivery partitions over all lanes of one generation: lanes × N.
pub const DELIVERY_PARTITIONS: usize = 60;
/// Delivery partitions over all lanes and generations; a generation beyond them is not made.
pub const DELIVERY_PARTITIONS_ALL: usize = 180;
/// The same of one lane.
pub const LANE_PARTITIONS_ALL: u32 = 60;
/// A user's name in `grants`; a longer one cannot be granted anything.
pub const USER_BYTES: usize = 512;
/// Channels, labels, roles or revocations of one user in `grants`, of each so many; a change beyond is refused.
pub const GRANT_ENTRIES: usize = 1024;
/// A text of an audit record; a longer one is clipped.
pub const AUDIT_TEXT_BYTES: usize = 256;
/// Things that one audit record names; what has more takes several records.
pub const AUDIT_ITEMS: usize = 256;
/// Faults that a check of the audit's chains lists; further ones are counted.
pub const AUDIT_FAULTS: usize = 1_000;
/// Events of a budget in its second, minute or hour; a catalogue that says more is refused.
pub const BUDGET_EVENTS: u32 = 100_000;
