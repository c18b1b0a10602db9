//! A schema registry that speaks Confluent's API: Confluent's own, Apicurio (`/apis/ccompat/v7`), Karapace, Redpanda.
//!
//! References and schemas come in, parsed schemas and ids leave. What a reference names never changes, so it is asked for once
//! and kept; that a registry does not know one is kept for [`MISSING_FOR`]. Whoever asks for the same one at the same time
//! shares one request. It retries nothing but a conflict of two that register at once: the caller knows how long it may wait.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{ConstantBuilder, Retryable};
use moka::future::Cache;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_guid, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, RegisteredSchema, SchemaType, SuppliedSchema};
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use uuid::Uuid;

use super::Registry;
use super::access::RegistryAccess;
use crate::error::{LookupError, RegisterError};

/// How long one request may take; a registry that is slower is unavailable.
const REQUEST_WAIT: Duration = Duration::from_secs(3);
/// How long to wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// How long a registry that did not know a reference is not asked again: well below the 800 ms for which a 404 is retried.
const MISSING_FOR: Duration = Duration::from_millis(200);
/// After a conflict: two that register one schema at the same moment meet, and the loser is told of it as if readers broke.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);
/// How often a conflict is looked at again before it is believed.
const CONFLICT_RETRIES: usize = 3;
/// References that are kept; beyond it the least used ones are forgotten.
const SCHEMAS_MAX: u64 = 10_000;
/// Unknown references that are kept: garbage in a topic may name any.
const MISSING_MAX: u64 = 10_000;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What a reference names, for good: a schema, or something else.
type Known = Result<Arc<AvroSchema>, LookupError>;

/// A registry behind one or several URLs, which are tried in order.
pub struct ConfluentRegistry {
    urls: Vec<String>,
    http: reqwest::Client,
    settings: SrSettings,
    known: Cache<SchemaRef, Known>,
    missing: Cache<SchemaRef, ()>,
}

impl ConfluentRegistry {
    /// Takes URLs, base path included, several by comma; nothing is sent yet. A user and password may stand in them.
    ///
    /// # Errors
    /// One is no `http` or `https` URL, or no HTTP client can be had.
    pub fn open(urls: &str) -> Result<Self, LookupError> {
        Self::open_with(urls, &RegistryAccess::default())
    }

    /// The same, where the registry asks for more.
    ///
    /// # Errors
    /// As [`ConfluentRegistry::open`]; or what it asks for cannot be used.
    pub fn open_with(urls: &str, access: &RegistryAccess) -> Result<Self, LookupError> {
        let refused = |detail: String| LookupError::Unavailable { detail };
        let urls: Vec<String> = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        if urls.iter().any(|url| !is_http(url)) {
            return Err(refused("a registry is named by http:// or https://".to_owned()));
        }
        let client = || access.on(reqwest::Client::builder().connect_timeout(CONNECT_WAIT).timeout(REQUEST_WAIT));
        let mut settings = SrSettings::new_builder(urls.first().cloned().unwrap_or_default());
        for url in urls.iter().skip(1) {
            settings.add_url(url.clone());
        }
        let settings = settings.set_timeout(REQUEST_WAIT).build_with(client()?).map_err(|e| refused(e.to_string()))?;
        Ok(Self {
            urls,
            http: client()?.build().map_err(|error| refused(error.to_string()))?,
            settings,
            known: Cache::new(SCHEMAS_MAX),
            missing: Cache::builder().max_capacity(MISSING_MAX).time_to_live(MISSING_FOR).build(),
        })
    }

    /// Asks for a schema. What can never become one is known as such.
    async fn fetch(&self, reference: SchemaRef) -> Result<Known, LookupError> {
        let fetched = match reference {
            SchemaRef::Id(id) => get_schema_by_id(id, &self.settings).await,
            SchemaRef::Guid(guid) => {
                get_schema_by_guid(&Uuid::from_bytes(guid).hyphenated().to_string(), &self.settings).await
            }
        };
        fetched.map(|found| parse(&found)).map_err(|error| lookup_error(&error))
    }

    /// Makes a subject's versions readable by the readers of the one before, whatever the registry's default is.
    async fn set_backward(&self, subject: &str) -> Result<(), RegisterError> {
        let mut detail = String::new();
        for url in &self.urls {
            let request = self
                .http
                .put(format!("{url}/config/{}", subject.replace('/', "%2F")))
                .header("Content-Type", CONTENT_TYPE)
                .body(r#"{"compatibility":"BACKWARD"}"#);
            match request.send().await.and_then(reqwest::Response::error_for_status) {
                Ok(_) => return Ok(()),
                Err(error) => detail = error.without_url().to_string(),
            }
        }
        Err(RegisterError::Unavailable { detail })
    }
}

#[async_trait]
impl Registry for ConfluentRegistry {
    async fn schema(&self, reference: SchemaRef) -> Result<Arc<AvroSchema>, LookupError> {
        if self.missing.contains_key(&reference) {
            return Err(LookupError::NotFound);
        }
        match self.known.try_get_with(reference, self.fetch(reference)).await {
            Ok(known) => known,
            Err(error) => {
                if *error == LookupError::NotFound {
                    self.missing.insert(reference, ()).await;
                }
                Err((*error).clone())
            }
        }
    }

    async fn register(&self, subject: &str, schema: &AvroSchema) -> Result<u32, RegisterError> {
        self.set_backward(subject).await?;
        let post = || async {
            let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.text().to_owned());
            let posted = post_schema(&self.settings, subject.to_owned(), supplied).await;
            posted.map(|registered| registered.id).map_err(|error| register_error(&error, subject))
        };
        post.retry(ConstantBuilder::default().with_delay(CONFLICT_PAUSE).with_max_times(CONFLICT_RETRIES))
            .when(|error| matches!(error, RegisterError::Incompatible { .. }))
            .await
    }

    async fn ping(&self) -> Result<(), LookupError> {
        let mut detail = String::new();
        for url in &self.urls {
            let answer = self.http.get(format!("{url}/schemas/types")).send().await;
            // A registry need not have this path to be there.
            match answer {
                Ok(answer) if answer.status().is_server_error() => detail = answer.status().to_string(),
                Ok(_) => return Ok(()),
                Err(error) => detail = error.without_url().to_string(),
            }
        }
        Err(LookupError::Unavailable { detail })
    }
}

/// Shows no URL: there may be a password in it.
impl fmt::Debug for ConfluentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfluentRegistry").field("urls", &self.urls.len()).finish_non_exhaustive()
    }
}

fn is_http(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn parse(found: &RegisteredSchema) -> Known {
    let malformed = |detail: String| LookupError::Malformed { detail };
    if found.schema_type != SchemaType::Avro {
        return Err(malformed(format!("it is of type {:?}", found.schema_type)));
    }
    if let Some(reference) = found.references.first() {
        return Err(malformed(format!("it refers to {}, and schemas in parts are not read", reference.subject)));
    }
    AvroSchema::parse(&found.schema).map(Arc::new).map_err(|error| malformed(error.detail))
}

/// What the registry said, and the HTTP status, where it answered at all. The converter keeps the status in its words only.
fn answer(error: &SRCError) -> (Option<&RawError>, Option<u16>) {
    let said = error.source().and_then(|source| source.downcast_ref::<RawError>());
    let status = error.error.rsplit_once("status ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    (said, status)
}

fn lookup_error(error: &SRCError) -> LookupError {
    // 40403 is Confluent's "schema not found"; a registry without GUIDs has no such path at all.
    match answer(error) {
        (_, Some(404)) => LookupError::NotFound,
        (Some(said), _) if said.error_code / 100 == 404 => LookupError::NotFound,
        (Some(said), Some(status)) => LookupError::Unavailable { detail: format!("{status}: {}", said.message) },
        (None | Some(_), _) => LookupError::Unavailable { detail: error.to_string() },
    }
}

fn register_error(error: &SRCError, subject: &str) -> RegisterError {
    let subject = subject.to_owned();
    match answer(error) {
        // 409: its readers could not read what was written before; 422: it is no schema to the registry.
        (Some(said), Some(409 | 422)) => RegisterError::Incompatible { subject, detail: said.message.clone() },
        (None | Some(_), _) => RegisterError::Unavailable { detail: error.to_string() },
    }
}
