//! A person, given out and erased: in the store, in the topic `grants`, and in what edges hold of them.
//!
//! The order in which a person is erased is such that whoever dies between any two steps leaves what the same call finishes, and that nothing
//! is written again behind it: everything is revoked, so that streams end and edges take nothing more of them; no edge holds anything, and
//! others heard `offline`; the tables are erased, and read again; a tombstone in `grants` takes the revocation, and everything else that was
//! said of them.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use edge_sse::{Edge, Unsettled};
use futures::stream::{self, Stream, TryStreamExt};
use policy::grants::Change;
use schemas::grant::{Scope, User};
use schemas::time::Timestamp;
use serde_json::{Value, json};
use store::persons::{TABLES, Table};
use store::{Store, StoreError};

use crate::granting::{Granting, GrantingError};

/// As the report and the export name what the topic has.
const GRANTS: &str = "grants";
/// How often tables are erased until nothing is left: a row that an edge wrote at that moment, by a clock that is ahead, goes with the next.
const ROUNDS: usize = 5;
/// The time between two of them: so far may clocks be apart.
const PAUSE: Duration = Duration::from_millis(500);

/// Gives persons out, and erases them.
#[derive(Debug, Clone)]
pub(crate) struct Forgetting {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) edge: Edge,
    pub(crate) granting: Granting,
}

/// Why a person is not erased, or not given out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgettingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Granting(#[from] GrantingError),
    #[error(transparent)]
    Unsettled(#[from] Unsettled),
    /// Rows were found when all had been erased.
    #[error("rows are left: {0}")]
    Left(String),
}

/// What was erased, table by table.
#[derive(Debug)]
pub(crate) struct Erased {
    user: User,
    tables: Vec<ErasedTable>,
}

#[derive(Debug)]
struct ErasedTable {
    name: &'static str,
    /// Rows that stood when it began.
    erased: usize,
    /// Rows that stood when it was done.
    left: usize,
}

/// How many rows each table has, in their order.
type Counts = Vec<(&'static str, usize)>;

/// Where an export stands.
#[derive(Debug)]
struct Place {
    /// The table that is read next.
    table: usize,
    /// Behind what in it.
    after: Option<String>,
    /// How many rows were given out.
    rows: usize,
    /// Lines that go out with the next page.
    lines: Vec<Value>,
}

impl Forgetting {
    /// Erases a person, and proves it. Idempotent; after an error the same call goes on.
    pub(crate) async fn forget(&self, user: &User) -> Result<Erased, ForgettingError> {
        let stood = self.counts(user).await?;
        let granted = self.granting.entries(user).await?;
        self.granting.change(user, &everything_revoked()).await?;
        self.edge.farewell(user).await?;
        let mut tables = self.erase(user, stood).await?;
        // While they are shut out nothing new of them stands: the proof is made before the door is open again.
        self.granting.clear(user).await?;
        tables.push(ErasedTable { name: GRANTS, erased: granted, left: self.granting.entries(user).await? });
        whole(&tables)?;
        Ok(Erased { user: user.clone(), tables })
    }

    /// Erases all tables, and reads them again, until nothing is left or it was tried too often; what each had and has.
    async fn erase(&self, user: &User, stood: Counts) -> Result<Vec<ErasedTable>, ForgettingError> {
        let mut round = 1;
        loop {
            for table in of_persons() {
                table.erase(&*self.store, user, Timestamp::now()).await?;
            }
            let left = self.counts(user).await?;
            let tables =
                stood.iter().zip(left).map(|((name, erased), (_, left))| ErasedTable { name, erased: *erased, left });
            let tables: Vec<ErasedTable> = tables.collect();
            match whole(&tables) {
                Ok(()) => return Ok(tables),
                Err(error) if round == ROUNDS => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            round += 1;
        }
    }

    /// How many rows each table has.
    async fn counts(&self, user: &User) -> Result<Counts, ForgettingError> {
        let mut counts = Vec::new();
        for table in of_persons() {
            counts.push((table.name, table.count(&*self.store, user).await?));
        }
        Ok(counts)
    }

    /// Everything that is kept of a person: a line for each row, `{"table", "row"}`, and a last one, `{"rows"}`, that says how many they were.
    /// What is asked answers when this returns; lines that end without the last one were cut.
    pub(crate) async fn export(
        self,
        user: User,
    ) -> Result<impl Stream<Item = Result<Bytes, ForgettingError>>, ForgettingError> {
        self.store.ping().await?;
        let granted = match self.granting.entries(&user).await? {
            0 => Vec::new(),
            _ => vec![line(GRANTS, &self.granting.of_user(&user).await?)],
        };
        let begun = Place { table: 0, after: None, rows: granted.len(), lines: granted };
        let pages = stream::try_unfold(Some(begun), move |place| {
            let (forgetting, user) = (self.clone(), user.clone());
            async move {
                match place {
                    Some(place) => forgetting.page(&user, place).await.map(Some),
                    None => Ok(None),
                }
            }
        });
        Ok(pages.try_filter(|lines| ready(!lines.is_empty())))
    }

    /// The lines of the next page, and where the one behind it begins.
    async fn page(&self, user: &User, place: Place) -> Result<(Bytes, Option<Place>), ForgettingError> {
        let Place { table, after, rows, mut lines } = place;
        let Some(asked) = TABLES.get(table) else {
            lines.push(json!({"rows": rows}));
            return Ok((text(&lines), None));
        };
        let page = asked.read(&*self.store, user, after.as_deref()).await?;
        let rows = rows + page.rows.len();
        lines.extend(page.rows.iter().map(|row| line(asked.name, row)));
        let table = if page.next.is_some() { table } else { table + 1 };
        Ok((text(&lines), Some(Place { table, after: page.next, rows, lines: Vec::new() })))
    }
}

impl Erased {
    /// As it is shown.
    pub(crate) fn to_json(&self) -> Value {
        let table = |table: &ErasedTable| json!({"table": table.name, "erased": table.erased, "left": table.left});
        let tables: Vec<Value> = self.tables.iter().map(table).collect();
        json!({"tenant": self.user.tenant, "user": self.user.sub, "tables": tables})
    }
}

fn everything_revoked() -> Change {
    Change::Revoke { channels: vec![Scope::Everything], labels: Vec::new(), roles: Vec::new() }
}

fn of_persons() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.is_of_persons())
}

/// Whether nothing is left.
fn whole(tables: &[ErasedTable]) -> Result<(), ForgettingError> {
    let left = tables.iter().filter(|table| table.left > 0);
    let left: Vec<String> = left.map(|table| format!("{} ({})", table.name, table.left)).collect();
    if left.is_empty() { Ok(()) } else { Err(ForgettingError::Left(left.join(", "))) }
}

fn line(table: &str, row: &Value) -> Value {
    json!({"table": table, "row": row})
}

fn text(lines: &[Value]) -> Bytes {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into()
}
