//! Reference tables, as far as they are read here: what events are enriched from.
//!
//! In: which tables are wanted, and what their readers say. Out: rows, and which keys have new ones. A table is read by a task of its own
//! ([`reader`]); its rows stand in memory up to a bound, and beyond it on disk. What it answers is the state of this moment: a
//! plan hangs on the rows that it saw (design 3.2).

mod reader;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::spill::{SpillError, SpillMap};
use journal::{Journal, Registry, TopicNames};
use policy::{Catalogues, Reference, Row, Rows};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics;
use reader::Reader;

/// Batches of rows that may wait to be taken, over all tables; a reader waits at it.
const BATCHES_MAX: usize = 16;
/// After a table could not be kept, before it is read anew.
const ANEW_PAUSE: Duration = Duration::from_secs(5);

/// A key, and its row as Avro by the table's schema; none where it was deleted or cannot be read.
pub(crate) type Keyed = (String, Option<Bytes>);

/// What a reader says of its table.
#[derive(Debug)]
pub(crate) struct Change {
    table: TableId,
    news: News,
}

/// See [`Change`].
#[derive(Debug)]
pub(crate) enum News {
    /// These rows, in order.
    Rows(Vec<Keyed>),
    /// Everything is said that stood in the topic when the reading began.
    Read,
    /// The topic is another one; everything is said anew.
    Anew,
    /// The log or the registry does not answer, and what it says.
    Trouble(String),
}

/// One reading of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableId(u64);

/// What changed for those who wait.
#[derive(Debug)]
pub(crate) struct Came {
    /// The table.
    pub reference: String,
    /// The keys whose rows came; none where the whole table is read now.
    pub keys: Option<HashSet<String>>,
}

#[derive(Debug)]
struct Table {
    id: TableId,
    reference: Arc<Reference>,
    rows: SpillMap,
    is_read: bool,
    trouble: Option<String>,
    _reader: Option<AbortOnDropHandle<()>>,
}

/// What the tables are read from, and where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Schemas of rows that are framed.
    pub registry: Arc<dyn Registry>,
    /// Names of topics.
    pub names: TopicNames,
    /// Where rows go that memory has no room for.
    pub scratch: PathBuf,
    /// Bytes of rows in memory, of each table.
    pub table_bytes_max: usize,
}

/// The tables of a router.
#[derive(Debug)]
pub(crate) struct References {
    sources: Sources,
    tables: Vec<Table>,
    ids: u64,
    changes: mpsc::Receiver<Change>,
    to_changes: mpsc::Sender<Change>,
}

impl References {
    /// No table.
    pub(crate) fn new(sources: Sources) -> Self {
        let (to_changes, changes) = mpsc::channel(BATCHES_MAX);
        Self { sources, tables: Vec::new(), ids: 0, changes, to_changes }
    }

    /// Begins to read the tables of these catalogues that are not read yet. One whose rows have another schema is another table.
    pub(crate) fn want(&mut self, catalogues: &Catalogues) {
        for reference in catalogues.references() {
            if self.table(reference).is_none() {
                self.begin(reference.clone(), Duration::ZERO);
            }
        }
    }

    /// The next change. Waits for ever where no table is read.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Takes a change; what it means for who waits.
    pub(crate) fn take(&mut self, change: Change) -> Option<Came> {
        let at = self.tables.iter().position(|table| table.id == change.table)?;
        let table = self.tables.get_mut(at)?;
        let came = match table.take(change.news) {
            Ok(came) => came,
            Err(error) => {
                tracing::error!(%error, reference = table.reference.name(), "a table cannot be kept; it is read anew");
                let table = self.tables.remove(at);
                self.begin(table.reference, ANEW_PAUSE);
                None
            }
        };
        let (rows, spilled) = self
            .tables
            .iter()
            .fold((0, 0), |(rows, spilled), table| (rows + table.rows.len(), spilled + table.rows.spilled()));
        metrics::reference_rows(rows, spilled);
        came
    }

    /// What is wrong with some table, or that it is still being read.
    pub(crate) fn trouble(&self) -> Option<String> {
        let said = |table: &Table| {
            let name = table.reference.name();
            match (&table.trouble, table.is_read) {
                (Some(trouble), _) => Some(format!("reference.{name}: {trouble}")),
                (None, false) => Some(format!("reference.{name} is being read")),
                (None, true) => None,
            }
        };
        self.tables.iter().find_map(said)
    }

    fn begin(&mut self, reference: Arc<Reference>, pause: Duration) {
        let id = TableId(self.ids);
        self.ids += 1;
        let rows = SpillMap::new(&self.sources.scratch, self.sources.table_bytes_max);
        let reader = Reader::new(id, reference.clone(), self.sources.clone(), self.to_changes.clone());
        let reading = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            reader.run().await;
        });
        let reader = Some(AbortOnDropHandle::new(reading));
        self.tables.push(Table { id, reference, rows, is_read: false, trouble: None, _reader: reader });
    }

    fn table(&self, reference: &Reference) -> Option<&Table> {
        self.tables.iter().find(|table| table.reference.is_same(reference))
    }
}

impl Rows for References {
    fn row(&self, reference: &Reference, key: &str) -> Row {
        match self.table(reference) {
            Some(table) if table.is_read => table.row(key),
            Some(_) | None => Row::Unread,
        }
    }
}

impl Table {
    fn take(&mut self, news: News) -> Result<Option<Came>, SpillError> {
        let reference = self.reference.name().to_owned();
        match news {
            News::Rows(rows) => {
                self.trouble = None;
                let mut keys = HashSet::with_capacity(rows.len());
                for (key, row) in rows {
                    match row {
                        Some(row) => self.rows.insert(key.as_bytes(), row)?,
                        None => self.rows.remove(key.as_bytes())?,
                    }
                    keys.insert(key);
                }
                Ok(self.is_read.then_some(Came { reference, keys: Some(keys) }))
            }
            News::Read => {
                self.trouble = None;
                self.is_read = true;
                tracing::info!(reference, rows = self.rows.len(), spilled = self.rows.spilled(), "a table is read");
                Ok(Some(Came { reference, keys: None }))
            }
            News::Anew => {
                self.is_read = false;
                self.rows.clear();
                Ok(None)
            }
            News::Trouble(detail) => {
                if self.trouble.is_none() {
                    tracing::warn!(reference, detail, "a table cannot be read now");
                }
                self.trouble = Some(detail);
                Ok(None)
            }
        }
    }

    /// A row that the disk does not give is not missing: who asks waits.
    fn row(&self, key: &str) -> Row {
        match self.rows.get(key.as_bytes()) {
            Ok(None) => Row::Missing,
            Ok(Some(bytes)) => {
                let schema = self.reference.schema();
                schema.decode(schema, &bytes).map_or(Row::Missing, Row::Found)
            }
            Err(error) => {
                tracing::error!(%error, reference = self.reference.name(), "a row is not given back by the disk");
                Row::Unread
            }
        }
    }
}

#[cfg(test)]
impl References {
    /// Tables that no task reads: what they hold is told by [`References::tell`].
    pub(crate) fn untended(sources: Sources, catalogues: &Catalogues) -> Self {
        let mut references = Self::new(sources);
        for (id, reference) in (0..).map(TableId).zip(catalogues.references()) {
            let rows = SpillMap::new(&references.sources.scratch, references.sources.table_bytes_max);
            let reference = reference.clone();
            references.tables.push(Table { id, reference, rows, is_read: false, trouble: None, _reader: None });
        }
        references
    }

    pub(crate) fn tell(&mut self, reference: &str, news: News) -> Option<Came> {
        let table = self.tables.iter().find(|table| table.reference.name() == reference)?.id;
        self.take(Change { table, news })
    }
}
