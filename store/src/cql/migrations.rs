//! The tables, made by `tidegate migrate`: each file of `store/cql` once, in order, by one at a time.
//!
//! In: a store that answers. Out: its keyspace at the newest version. Two that migrate at once wait for each other; one that dies leaves a
//! lock that ends by itself, and statements that may be made again.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::frame::types::Consistency;
use scylla::statement::unprepared::Statement;
use scylla::value::{CqlValue, Row};
use uuid::Uuid;

use super::CqlConfig;
use super::link::session;
use crate::error::StoreError;

/// What is made whatever the version.
const FIRST: &str = include_str!("../../cql/000-migrations.cql");
/// The files, in order; the version is how many of them were applied. Never changed once released, only added to.
const FILES: [(&str, &str); 4] = [
    ("001-state.cql", include_str!("../../cql/001-state.cql")),
    ("002-receipts.cql", include_str!("../../cql/002-receipts.cql")),
    ("003-displaced.cql", include_str!("../../cql/003-displaced.cql")),
    ("004-preferences.cql", include_str!("../../cql/004-preferences.cql")),
];
/// The one row of both tables.
const NAME: &str = "tidegate";
/// How long a statement that changes tables may take.
const STATEMENT_WAIT: Duration = Duration::from_secs(60);
/// How long one waits for another who migrates.
const LOCK_WAIT: Duration = Duration::from_secs(120);
/// How often it looks.
const LOCK_RETRY: Duration = Duration::from_millis(500);

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was there.
    pub from: usize,
    /// The version that is there now.
    pub to: usize,
}

/// Makes the keyspace where there is none, with `replication` copies in each datacenter, and every table that is lacking. Idempotent.
///
/// # Errors
/// The store does not answer, refuses, or another migrates for longer than two minutes.
pub async fn migrate(config: &CqlConfig, replication: u32) -> Result<Migrated, StoreError> {
    let config = CqlConfig { timeout: STATEMENT_WAIT, ..config.clone() };
    if !config.keyspace.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(StoreError::invalid("a keyspace is letters, digits and underscores"));
    }
    let outside = session(&config, None).await?;
    let keyspace = format!(
        "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}",
        config.keyspace
    );
    run(&outside, &keyspace).await?;
    let session = session(&config, Some(&config.keyspace)).await?;
    run_file(&session, FIRST).await?;
    let holder = Uuid::new_v4();
    lock(&session, holder).await?;
    let migrated = apply(&session).await;
    let unlocked = session
        .query_unpaged("DELETE FROM schema_lock WHERE name = ? IF holder = ?", (NAME, holder))
        .await
        .map_err(failed);
    migrated.and_then(|migrated| unlocked.map(|_| migrated))
}

/// Whether the tables are those that the statements need.
///
/// # Errors
/// `Invalid` where they are older; or the store does not answer.
pub async fn check(session: &Session) -> Result<(), StoreError> {
    // Where there is no table of versions the question cannot be asked.
    let version = version(session).await.map_err(|error| if error.retry() { error } else { behind(0) })?;
    if version < FILES.len() { Err(behind(version)) } else { Ok(()) }
}

fn behind(version: usize) -> StoreError {
    let needed = FILES.len();
    StoreError::invalid(format_args!("its tables are of version {version}, not {needed}: run `tidegate migrate`"))
}

async fn apply(session: &Session) -> Result<Migrated, StoreError> {
    let from = version(session).await?;
    for (done, (name, text)) in FILES.iter().enumerate().skip(from) {
        tracing::info!(file = name, "tables are made");
        run_file(session, text).await?;
        let version = i32::try_from(done + 1).map_err(StoreError::invalid)?;
        let mut noted = Statement::new("INSERT INTO schema_version (name, version) VALUES (?, ?)");
        noted.set_consistency(Consistency::LocalQuorum);
        session.query_unpaged(noted, (NAME, version)).await.map_err(failed)?;
    }
    Ok(Migrated { from, to: from.max(FILES.len()) })
}

async fn version(session: &Session) -> Result<usize, StoreError> {
    let rows = session.query_unpaged("SELECT version FROM schema_version WHERE name = ?", (NAME,)).await;
    let rows = rows.map_err(failed)?.into_rows_result().map_err(StoreError::invalid)?;
    let row = rows.maybe_first_row::<(i32,)>().map_err(StoreError::invalid)?;
    usize::try_from(row.map_or(0, |(version,)| version)).map_err(StoreError::invalid)
}

/// Waits until nobody else migrates.
async fn lock(session: &Session, holder: Uuid) -> Result<(), StoreError> {
    let locked = async {
        while !try_lock(session, holder).await? {
            tokio::time::sleep(LOCK_RETRY).await;
        }
        Ok(())
    };
    let waited = tokio::time::timeout(LOCK_WAIT, locked).await;
    waited.unwrap_or_else(|_| Err(StoreError::unavailable("another migrates, and does not end")))
}

async fn try_lock(session: &Session, holder: Uuid) -> Result<bool, StoreError> {
    let taken = session
        .query_unpaged("INSERT INTO schema_lock (name, holder) VALUES (?, ?) IF NOT EXISTS", (NAME, holder))
        .await
        .map_err(failed)?;
    let rows = taken.into_rows_result().map_err(StoreError::invalid)?;
    // The answer has one column, or all: `[applied]` is the first of either.
    let row: Row = rows.first_row().map_err(StoreError::invalid)?;
    Ok(row.columns.into_iter().next().flatten() == Some(CqlValue::Boolean(true)))
}

async fn run_file(session: &Session, text: &str) -> Result<(), StoreError> {
    for statement in statements(text) {
        run(session, &statement).await?;
    }
    Ok(())
}

async fn run(session: &Session, statement: &str) -> Result<(), StoreError> {
    session.query_unpaged(statement, ()).await.map(drop).map_err(failed)
}

fn failed(error: ExecutionError) -> StoreError {
    super::link::classify(&error)
}

/// The statements of a file, without its comments.
pub fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let statements = code.join("\n");
    statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// All files, for tests.
#[cfg(test)]
pub fn files() -> impl Iterator<Item = &'static str> {
    std::iter::once(FIRST).chain(FILES.iter().map(|(_, text)| *text))
}
