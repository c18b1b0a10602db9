//! The embedded body under the laws, on a clock that the laws move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use schemas::time::Timestamp;
use tempfile::TempDir;

use super::{Clock, EmbeddedConfig, EmbeddedStore};
use crate::laws::{BRIEF, Bench};
use crate::{Lifetimes, Store};

struct Embedded {
    store: EmbeddedStore,
    millis: Arc<AtomicI64>,
    directory: TempDir,
}

impl Embedded {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let millis = Arc::new(AtomicI64::new(Timestamp::now().millis()));
        let now = millis.clone();
        let clock = Clock::new(move || Timestamp::from_millis(now.load(Ordering::Relaxed)));
        let timeout = Duration::from_secs(60);
        let config = EmbeddedConfig { clock, timeout, ..EmbeddedConfig::new(directory.path()) };
        Self { store: EmbeddedStore::open(config).unwrap(), millis, directory }
    }
}

#[async_trait]
impl Bench for Embedded {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    fn brief(&self) -> Arc<dyn Store> {
        Arc::new(EmbeddedStore { lifetimes: Lifetimes::all(BRIEF), ..self.store.clone() })
    }

    async fn pass(&self) {
        let more = i64::try_from(BRIEF.as_millis()).unwrap() + 1;
        self.millis.fetch_add(more, Ordering::Relaxed);
    }

    async fn everything(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let rows = self.store.tables.all().into_iter().map(|(key, row)| {
            let table = super::key::Table::of_key(&key).expect("a table");
            (table.name().to_owned(), format!("{} {}", text(&key), text(&row)))
        });
        rows.collect()
    }
}

crate::store_laws!(Embedded::new());

#[test]
fn one_process_at_a_time_has_it_open() {
    let embedded = Embedded::new();
    let again = EmbeddedStore::open(EmbeddedConfig::new(embedded.directory.path())).unwrap_err();
    assert!(matches!(again, super::OpenError::Locked { .. }), "{again}");
}

#[tokio::test]
async fn what_was_kept_is_there_when_it_is_opened_again() {
    let Embedded { store, directory, .. } = Embedded::new();
    let ada = crate::laws::somebody("ada");
    let tab = crate::Device::parse("tab").unwrap();
    let kept = crate::KeptSubscription { device: tab.clone(), channels: Vec::new() };
    crate::Subscriptions::put_subscription(&store, &ada, &kept).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(EmbeddedConfig::new(directory.path())).unwrap();
    assert_eq!(crate::Subscriptions::subscription(&store, &ada, &tab).await.unwrap(), Some(kept));
}
