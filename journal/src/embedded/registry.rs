//! The registry of the embedded body: schemas beside the log, in memory for look-ups, under the rules of a Confluent
//! registry that is set to BACKWARD.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use async_trait::async_trait;
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::store::{Store, parse_json};
use super::wake::locked;
use super::writes::Writes;
use crate::error::{JournalError, LookupError, RegisterError};
use crate::registry::Registry;

const SCHEMA: &str = "schema/";
/// Schemas that the registry keeps; one more is not taken.
pub const SCHEMAS: usize = 10_000;

/// Schemas by id and GUID. Durable before their id is told.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    store: Store,
    writes: Arc<Writes>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<u32, Entry>,
    by_guid: BTreeMap<[u8; 16], u32>,
    /// By subject, its last version and the id of that.
    latest: BTreeMap<String, (u32, u32)>,
}

#[derive(Debug)]
struct Entry {
    schema: Arc<AvroSchema>,
    /// By subject, its version there.
    versions: BTreeMap<String, u32>,
}

/// What is remembered of a schema.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    text: String,
    versions: BTreeMap<String, u32>,
}

impl EmbeddedRegistry {
    /// The registry with what was registered before.
    ///
    /// # Errors
    /// The store does not answer, or holds what is no schema.
    pub(super) fn open(store: Store, writes: Arc<Writes>) -> Result<Self, JournalError> {
        let mut known = Known::default();
        for (key, bytes) in store.list(SCHEMA.as_bytes())? {
            let Remembered { text, versions } = parse_json(&key, &bytes)?;
            let refused =
                |detail: String| JournalError::Refused { detail: format!("a schema cannot be read: {detail}") };
            let id = String::from_utf8_lossy(&key).parse().map_err(|_| refused("its id is no number".to_owned()))?;
            let schema = AvroSchema::parse(&text).map_err(|error| refused(error.detail))?;
            known.insert(id, schema, versions);
        }
        Ok(Self { store, writes, known: Arc::new(Mutex::new(known)) })
    }

    /// The GUID of a schema: stable, and the same in every registry of this kind.
    #[must_use]
    pub fn guid(schema: &AvroSchema) -> [u8; 16] {
        // The JSON without its spaces is what two texts of one schema have in common.
        let json = serde_json::from_str::<serde_json::Value>(schema.text());
        let plain = json.map_or_else(|_| schema.text().to_owned(), |json| json.to_string());
        xxh3_128(plain.as_bytes()).to_be_bytes()
    }
}

#[async_trait]
impl Registry for EmbeddedRegistry {
    async fn schema(&self, reference: SchemaRef) -> Result<Arc<AvroSchema>, LookupError> {
        let known = locked(&self.known);
        let id = match reference {
            SchemaRef::Id(id) => Some(id),
            SchemaRef::Guid(guid) => known.by_guid.get(&guid).copied(),
        };
        let entry = id.and_then(|id| known.by_id.get(&id)).ok_or(LookupError::NotFound)?;
        Ok(entry.schema.clone())
    }

    async fn register(&self, subject: &str, schema: &AvroSchema) -> Result<u32, RegisterError> {
        let (store, known) = (self.store.clone(), self.known.clone());
        let (subject, schema) = (subject.to_owned(), schema.clone());
        let registered = self.writes.order(move |_| Ok(register(&store, &mut locked(&known), &subject, schema))).await;
        registered.unwrap_or_else(|error| Err(RegisterError::Unavailable { detail: error.to_string() }))
    }

    async fn ping(&self) -> Result<(), LookupError> {
        Ok(())
    }
}

/// Registers, on the writer, so that two at once are one after the other.
fn register(store: &Store, known: &mut Known, subject: &str, schema: AvroSchema) -> Result<u32, RegisterError> {
    let unavailable = |error: JournalError| RegisterError::Unavailable { detail: error.to_string() };
    let found = known.by_guid.get(&EmbeddedRegistry::guid(&schema)).copied();
    let entry = found.and_then(|id| known.by_id.get(&id));
    let mut versions = entry.map(|entry| entry.versions.clone()).unwrap_or_default();
    if let Some(id) = found.filter(|_| versions.contains_key(subject)) {
        return Ok(id);
    }
    let latest = known.latest(subject);
    if let Some((_, latest)) = &latest {
        check_backward(subject, latest, &schema)?;
    }
    if found.is_none() && known.by_id.len() >= SCHEMAS {
        let detail = format!("the registry holds {SCHEMAS} schemas already");
        return Err(RegisterError::Unavailable { detail });
    }
    let id = found.unwrap_or_else(|| known.by_id.last_key_value().map_or(1, |(last, _)| last + 1));
    versions.insert(subject.to_owned(), latest.map_or(1, |(version, _)| version + 1));
    let mut batch = store.batch();
    let remembered = Remembered { text: schema.text().to_owned(), versions };
    batch.put_json(format!("{SCHEMA}{id}").as_bytes(), &remembered).map_err(unavailable)?;
    batch.commit().map_err(unavailable)?;
    known.insert(id, schema, remembered.versions);
    Ok(id)
}

/// Whether readers with `next` can read everything that was written with `latest`.
fn check_backward(subject: &str, latest: &AvroSchema, next: &AvroSchema) -> Result<(), RegisterError> {
    let incompatible = |detail: String| RegisterError::Incompatible { subject: subject.to_owned(), detail };
    match SchemaCompatibility::can_read(latest.parsed(), next.parsed()) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => Err(incompatible("it reads only some of what was written".to_owned())),
        Err(error) => Err(incompatible(error.to_string())),
    }
}

impl Known {
    fn insert(&mut self, id: u32, schema: AvroSchema, versions: BTreeMap<String, u32>) {
        self.by_guid.insert(EmbeddedRegistry::guid(&schema), id);
        for (subject, version) in &versions {
            let latest = self.latest.entry(subject.clone()).or_default();
            *latest = (*latest).max((*version, id));
        }
        self.by_id.insert(id, Entry { schema: Arc::new(schema), versions });
    }

    /// The last version of a subject, and its schema.
    fn latest(&self, subject: &str) -> Option<(u32, Arc<AvroSchema>)> {
        let (version, id) = self.latest.get(subject)?;
        Some((*version, self.by_id.get(id)?.schema.clone()))
    }
}
