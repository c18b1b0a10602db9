//! The way to the store: one session with its prepared statements, and a breaker before it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures::future::try_join_all;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::frame::types::{Consistency, SerialConsistency};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::response::PagingState;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::breaker::Breaker;
use super::meters::Meters;
use super::statements::{ALL, Kind, Statement};
use super::{CqlConfig, migrations};
use crate::error::StoreError;

/// After so long a read is asked of a second replica, too.
const SPECULATE_AFTER: Duration = Duration::from_millis(100);
/// Rows that are read at a time.
const PAGE_ROWS: i32 = 250;
/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How often a store that is left alone is asked whether it answers again.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// What the first column of a compare-and-set's answer is called.
const APPLIED: &str = "[applied]";

/// The way.
#[derive(Debug)]
pub struct Link {
    config: CqlConfig,
    ready: RwLock<Option<Arc<Ready>>>,
    breaker: Mutex<Breaker>,
}

struct Ready {
    session: Session,
    /// How a batch of writes is executed.
    writing: ExecutionProfileHandle,
    statements: HashMap<&'static str, Prepared>,
}

/// A statement that the store knows, and how often it was asked.
struct Prepared {
    statement: PreparedStatement,
    kind: Kind,
    meters: Meters,
}

/// What became of a compare-and-set.
#[derive(Debug, Default)]
pub struct Cas {
    /// It was made.
    pub applied: bool,
    columns: Vec<(String, CqlValue)>,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

impl Link {
    /// Nobody was asked yet.
    pub fn new(config: CqlConfig) -> Self {
        Self { config, ready: RwLock::new(None), breaker: Mutex::default() }
    }

    /// Opens the session and prepares every statement.
    ///
    /// # Errors
    /// See [`CqlStore::connect`](super::CqlStore::connect).
    pub async fn connect(&self) -> Result<(), StoreError> {
        let session = session(&self.config, Some(&self.config.keyspace)).await?;
        migrations::check(&session).await?;
        let plain = profile(self.config.timeout).into_handle();
        let speculating = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SPECULATE_AFTER };
        let reading = profile_of(self.config.timeout).speculative_execution_policy(Some(Arc::new(speculating))).build();
        let reading = reading.into_handle();
        let prepared = ALL.iter().map(|statement| prepare(&session, statement, &plain, &reading));
        let statements = try_join_all(prepared).await?.into_iter().collect();
        let ready = Ready { session, writing: plain, statements };
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ready));
        self.breaker().answered();
        Ok(())
    }

    /// Writes.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn write(&self, statement: &Statement, values: impl SerializeRow) -> Result<(), StoreError> {
        let ready = self.ready()?;
        let prepared = ready.prepared(statement)?;
        let answer = ready.session.execute_unpaged(&prepared.statement, values).await;
        self.judge(&[prepared], answer).map(drop)
    }

    /// Writes rows of some partitions in one request, each by its statement. None waits for another, and after an error some may be written.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn write_together<R: SerializeRow>(&self, rows: &[(&Statement, R)]) -> Result<(), StoreError> {
        let ready = self.ready()?;
        let asked = rows.iter().map(|(statement, _)| ready.prepared(statement)).collect::<Result<Vec<_>, _>>()?;
        let statements = asked.iter().map(|prepared| prepared.statement.clone().into()).collect();
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(ready.writing.clone()));
        let values: Vec<&R> = rows.iter().map(|(_, row)| row).collect();
        let answer = ready.session.batch(&batch, values).await;
        self.judge(&asked, answer).map(drop)
    }

    /// Reads rows, page by page.
    ///
    /// # Errors
    /// The store does not answer, or a row is not of the form asked for.
    pub async fn rows<T>(&self, statement: &Statement, values: impl SerializeRow) -> Result<Vec<T>, StoreError>
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let ready = self.ready()?;
        let prepared = ready.prepared(statement)?;
        let (mut rows, mut from) = (Vec::new(), PagingState::start());
        loop {
            let answer = ready.session.execute_single_page(&prepared.statement, &values, from).await;
            let (page, next) = self.judge(&[prepared], answer)?;
            let page = page.into_rows_result().map_err(StoreError::invalid)?;
            for row in page.rows::<T>().map_err(StoreError::invalid)? {
                rows.push(row.map_err(StoreError::invalid)?);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(rows),
                ControlFlow::Continue(behind) => from = behind,
            }
        }
    }

    /// Reads the one row that there can be.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn row<T>(&self, statement: &Statement, values: impl SerializeRow) -> Result<Option<T>, StoreError>
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        Ok(self.rows(statement, values).await?.pop())
    }

    /// Compares and sets.
    ///
    /// # Errors
    /// The store does not answer; it may have been made.
    pub async fn cas(&self, statement: &Statement, values: impl SerializeRow) -> Result<Cas, StoreError> {
        let ready = self.ready()?;
        let prepared = ready.prepared(statement)?;
        let answer = ready.session.execute_unpaged(&prepared.statement, values).await;
        let rows = self.judge(&[prepared], answer)?.into_rows_result().map_err(StoreError::invalid)?;
        let names: Vec<String> = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
        let row: Row = rows.first_row().map_err(StoreError::invalid)?;
        let named = names.into_iter().zip(row.columns).filter_map(|(name, value)| Some((name, value?)));
        let columns: Vec<(String, CqlValue)> = named.collect();
        let applied = columns.iter().any(|(name, value)| name == APPLIED && *value == CqlValue::Boolean(true));
        Ok(Cas { applied, columns })
    }

    /// Asks a store that is left alone whether it answers again, for ever. Callers cannot be relied on for it: who asks for two things is let
    /// through with the first and refused with the second, gives up both, and never hears the answer. Where the driver has lost its
    /// connections, a session is made anew: it would try again only after up to ten seconds.
    ///
    /// # Cancel safety
    /// Dropped, nobody asks.
    pub async fn watch(&self, statement: &Statement, values: impl SerializeRow) {
        let mut every = tokio::time::interval(PROBE_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if !self.breaker().is_open() {
                continue;
            }
            let Ok(ready) = self.reached() else { continue };
            let Ok(prepared) = ready.prepared(statement) else { continue };
            let answer = ready.session.execute_unpaged(&prepared.statement, &values).await;
            if let Err(StoreError::Unavailable { .. }) = self.judge(&[prepared], answer)
                && let Err(error) = self.connect().await
            {
                tracing::debug!(%error, "the store is not reached again");
            }
        }
    }

    fn ready(&self) -> Result<Arc<Ready>, StoreError> {
        let ready = self.reached()?;
        match self.breaker().admits(Instant::now()) {
            true => Ok(ready),
            false => Err(StoreError::unavailable("it did not answer several times, and is left alone for a moment")),
        }
    }

    fn reached(&self) -> Result<Arc<Ready>, StoreError> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner).clone();
        ready.ok_or_else(|| StoreError::unavailable("it was not reached yet"))
    }

    /// Who fights over one row waits for the others, and says nothing of the store.
    fn judge<T>(&self, asked: &[&Prepared], answer: Result<T, ExecutionError>) -> Result<T, StoreError> {
        let answer = answer.map_err(|error| classify(&error));
        asked.iter().for_each(|prepared| prepared.meters.asked(answer.is_ok()));
        match &answer {
            Ok(_) | Err(StoreError::Invalid { .. }) => self.breaker().answered(),
            Err(_) if asked.iter().any(|prepared| prepared.kind == Kind::Lwt) => {}
            Err(StoreError::Timeout | StoreError::Unavailable { .. }) => self.breaker().failed(Instant::now()),
        }
        answer
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ready {
    fn prepared(&self, statement: &Statement) -> Result<&Prepared, StoreError> {
        self.statements.get(statement.text).ok_or_else(|| StoreError::invalid("a statement is not prepared"))
    }
}

impl Cas {
    /// What stands in a column, where it was not made.
    pub fn uuid(&self, name: &str) -> Option<Uuid> {
        self.columns.iter().find(|(column, _)| column == name).and_then(|(_, value)| value.as_uuid())
    }
}

/// A session; in a keyspace where one is named.
///
/// # Errors
/// `Unavailable`.
pub async fn session(config: &CqlConfig, keyspace: Option<&str>) -> Result<Session, StoreError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.hosts)
        .connection_timeout(CONNECT_WAIT)
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()))
        .fetch_schema_metadata(false)
        .default_execution_profile_handle(profile(config.timeout).into_handle());
    if let Some((name, password)) = &config.login {
        builder = builder.user(name, password);
    }
    if let Some(keyspace) = keyspace {
        builder = builder.use_keyspace(keyspace, true);
    }
    if let Some(datacenter) = &config.datacenter {
        let policy = DefaultPolicy::builder().prefer_datacenter(datacenter.clone()).build();
        let profile = profile_of(config.timeout).load_balancing_policy(policy).build();
        builder = builder.default_execution_profile_handle(profile.into_handle());
    }
    builder.build().await.map_err(StoreError::unavailable)
}

async fn prepare(
    session: &Session,
    statement: &'static Statement,
    plain: &ExecutionProfileHandle,
    reading: &ExecutionProfileHandle,
) -> Result<(&'static str, Prepared), StoreError> {
    let prepared = session.prepare(statement.text).await;
    let mut prepared = prepared.map_err(|error| StoreError::invalid(format_args!("{}: {error}", statement.text)))?;
    prepared.set_page_size(PAGE_ROWS);
    prepared.set_is_idempotent(statement.kind != Kind::Lwt);
    prepared.set_execution_profile_handle(Some(plain.clone()));
    match statement.kind {
        Kind::Write => {}
        Kind::Read => prepared.set_execution_profile_handle(Some(reading.clone())),
        Kind::Settled => prepared.set_consistency(Consistency::LocalSerial),
        Kind::Lwt => prepared.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new()))),
    }
    let (kind, meters) = (statement.kind, Meters::of(statement.kind));
    Ok((statement.text, Prepared { statement: prepared, kind, meters }))
}

fn profile(timeout: Duration) -> ExecutionProfile {
    profile_of(timeout).build()
}

fn profile_of(timeout: Duration) -> scylla::client::execution_profile::ExecutionProfileBuilder {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(timeout))
}

/// The driver's many errors as our three.
pub fn classify(error: &ExecutionError) -> StoreError {
    use ExecutionError::LastAttemptError;
    use RequestAttemptError::DbError as Db;
    let is_late = matches!(
        error,
        ExecutionError::RequestTimeout(_)
            | LastAttemptError(Db(DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. }, _))
    );
    let is_wrong = matches!(
        error,
        ExecutionError::BadQuery(_)
            | LastAttemptError(Db(DbError::SyntaxError | DbError::Invalid | DbError::Unauthorized, _))
    );
    if is_late {
        StoreError::Timeout
    } else if is_wrong {
        StoreError::invalid(error)
    } else {
        StoreError::unavailable(error)
    }
}
