//! Everything that a store holds, by a scan of all of its tables: what no statement of ours does.

use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions};
use futures::TryStreamExt;
use scylla::client::session_builder::SessionBuilder;

/// Every row of every table of a keyspace, as (table, text).
///
/// # Panics
/// The store does not answer.
pub async fn of_cql(hosts: &str, keyspace: &str) -> Vec<(String, String)> {
    let nodes: Vec<&str> = hosts.split(',').collect();
    let session = SessionBuilder::new().known_nodes(&nodes).use_keyspace(keyspace, true).build().await;
    let session = session.expect("a session");
    let named = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let named = session.query_iter(named, (keyspace,)).await.expect("its tables").rows_stream::<(String,)>();
    let named: Vec<(String,)> = named.expect("names").try_collect().await.expect("names");
    let mut rows = Vec::new();
    for (table,) in named {
        let scan = session.query_iter(format!("SELECT JSON * FROM {table}"), ()).await.expect("its rows");
        let found: Vec<(String,)> =
            scan.rows_stream::<(String,)>().expect("rows").try_collect().await.expect("its rows");
        rows.extend(found.into_iter().map(|(text,)| (table.clone(), text)));
    }
    rows
}

/// Every row of an embedded store that no process has open, as (the number of its table, text).
///
/// # Panics
/// It cannot be opened.
#[must_use]
pub fn of_embedded(data: &Path) -> Vec<(String, String)> {
    let database = Database::builder(data.join("state")).open().expect("nobody else has it");
    let rows = database.keyspace("rows", KeyspaceCreateOptions::default).expect("its rows");
    let rows = rows.iter().map(|entry| entry.into_inner().expect("a row"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    rows.map(|(key, row)| {
        let table = key.first().expect("a key begins with its table").to_string();
        (table, format!("{} {}", text(&key), text(&row)))
    })
    .collect()
}
