//! The laws of the store on real CQL, named by `TIDEGATE_CQL`; `./dev test` starts it. And what is only CQL's: migrations.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::unprepared::Statement;
use store::cql::{CqlConfig, CqlStore, Migrated, migrate};
use store::laws::{BRIEF, Bench, somebody};
use store::{Cursors, Lifetimes, Store, StoreError};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A slow machine's.
const PATIENCE: Duration = Duration::from_secs(60);
/// Beyond [`BRIEF`]: lifetimes are counted in whole seconds.
const GRACE: Duration = Duration::from_millis(1_500);

/// One keyspace for all laws.
static KEYSPACE: OnceCell<String> = OnceCell::const_new();

/// The hosts of a real store; none, and a word on stderr, where there is none and none is required.
fn hosts() -> Option<String> {
    let hosts = std::env::var("TIDEGATE_CQL").ok();
    if hosts.is_none() {
        assert!(std::env::var("TIDEGATE_REQUIRE_SERVICES").is_err(), "TIDEGATE_CQL is not set");
        eprintln!("a law was not tried, because TIDEGATE_CQL is not set (./dev test sets it)");
    }
    hosts
}

fn config(keyspace: &str) -> Option<CqlConfig> {
    let keyspace = keyspace.to_owned();
    Some(CqlConfig { keyspace, timeout: PATIENCE, ..CqlConfig::new(hosts()?.split(',')) })
}

fn fresh_keyspace() -> String {
    format!("law_{}", Uuid::new_v4().simple())
}

struct Cql(CqlStore);

impl Cql {
    async fn new() -> Option<Self> {
        hosts()?;
        let keyspace = KEYSPACE
            .get_or_init(|| async {
                let keyspace = fresh_keyspace();
                migrate(&config(&keyspace).unwrap(), 1).await.unwrap();
                keyspace
            })
            .await;
        let store = CqlStore::new(config(keyspace)?);
        store.connect().await.unwrap();
        Some(Self(store))
    }
}

#[async_trait]
impl Bench for Cql {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn brief(&self) -> Arc<dyn Store> {
        Arc::new(self.0.with_lifetimes(Lifetimes::all(BRIEF)))
    }

    async fn pass(&self) {
        tokio::time::sleep(BRIEF + GRACE).await;
    }

    async fn everything(&self) -> Vec<(String, String)> {
        let keyspace = KEYSPACE.get().unwrap();
        let nodes: Vec<String> = hosts().unwrap().split(',').map(str::to_owned).collect();
        let session = SessionBuilder::new().known_nodes(&nodes).use_keyspace(keyspace, true).build().await.unwrap();
        let named = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let named = session.query_unpaged(named, (keyspace,)).await.unwrap().into_rows_result().unwrap();
        let mut rows = Vec::new();
        for table in named.rows::<(String,)>().unwrap().map(|row| row.unwrap().0) {
            let mut scan = Statement::new(format!("SELECT JSON * FROM {table}"));
            scan.set_page_size(1_000);
            let found = session.query_iter(scan, ()).await.unwrap().rows_stream::<(String,)>().unwrap();
            let found: Vec<(String,)> = found.try_collect().await.unwrap();
            rows.extend(found.into_iter().map(|(text,)| (table.clone(), text)));
        }
        rows
    }
}

store::store_laws!(match Cql::new().await {
    Some(bench) => bench,
    None => return,
});

#[tokio::test]
async fn those_who_migrate_at_once_make_the_tables_once() {
    let Some(config) = config(&fresh_keyspace()) else { return };
    let unmade = CqlStore::new(config.clone()).connect().await.unwrap_err();
    assert!(unmade.to_string().contains("does not answer"), "there is no keyspace: {unmade}");
    let (one, two) = tokio::join!(migrate(&config, 1), migrate(&config, 1));
    let mut done = [one.unwrap(), two.unwrap()];
    done.sort_by_key(|migrated| migrated.from);
    let newest = done[0].to;
    assert_eq!(done, [Migrated { from: 0, to: newest }, Migrated { from: newest, to: newest }]);
    assert_eq!(CqlStore::new(config).connect().await, Ok(()));
}

#[tokio::test]
async fn a_store_that_is_not_reached_is_said_at_once() {
    let store = CqlStore::new(CqlConfig::new(["127.0.0.1:1"]));
    let refused = store.cursors(&somebody("ada")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }) && refused.retry(), "{refused}");
    assert!(store.connect().await.is_err());
}
