//! Two who change what the same user is granted: no change is undone, and nothing comes back that was cleared.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::topics::{TopicPlan, TopicSettings};
use journal::{AppenderSettings, GrantTable, GrantWriter, Journal, TopicNames, grants};
use schemas::grant::{Grant, Held, User};
use schemas::id::Tenant;
use schemas::time::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// A log with its topics.
async fn opened() -> (Arc<EmbeddedJournal>, TopicNames, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(EmbeddedConfig::new(directory.path())).unwrap();
    let names = TopicNames::new("");
    let plan = TopicPlan::new(&names, &["t".to_owned()].into(), &TopicSettings::default());
    plan.apply(&*journal).await.unwrap();
    (journal, names, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_user_at_one_time_are_all_made() {
    let (journal, names, _directory) = opened().await;
    let user = User::new(Tenant::default_tenant(), "ada").unwrap();
    let writers = (0..4).map(|n| {
        let (log, registry): (Arc<dyn Journal>, _) = (journal.clone(), journal.registry());
        let (writer, user) = (GrantWriter::new(log, registry, names.clone()), user.clone());
        async move {
            for m in 0..5 {
                let add = |grant: &Grant| {
                    let mut next = grant.clone();
                    next.roles.push(Held { name: format!("{n}/{m}"), held: true, at: Timestamp::default() });
                    Ok::<_, Infallible>(next)
                };
                writer.change(&user, add).await.unwrap();
            }
        }
    });
    join_all(writers).await;
    let linger = std::time::Duration::ZERO;
    let settings = AppenderSettings { give_up_after: None, queue_records: 9, queue_bytes: 9_999, linger };
    journal.appender(settings).unwrap().append(grants::heartbeat(&names)).unwrap().await.unwrap();
    let (table, next) = GrantTable::load(&*journal, &names, usize::MAX).await.unwrap();
    assert_eq!(table.of(&user).unwrap().roles.len(), 20);
    let last = GrantWriter::new(journal.clone(), journal.registry(), names.clone());
    assert_eq!(last.read(&user).await.unwrap(), **table.of(&user).unwrap());
    assert_eq!(next, journal.watermarks(&grants::partition(&names)).await.unwrap().high);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_begun_before_a_user_was_cleared_brings_nothing_back() {
    let (journal, names, _directory) = opened().await;
    let user = User::new(Tenant::default_tenant(), "ada").unwrap();
    let writer = GrantWriter::new(journal.clone(), journal.registry(), names.clone());
    let with = |grant: &Grant, role: &str| {
        let mut next = grant.clone();
        next.roles.push(Held { name: role.to_owned(), held: true, at: Timestamp::default() });
        Ok::<_, Infallible>(next)
    };
    writer.change(&user, |grant| with(grant, "old")).await.unwrap();
    let (cleared, here) = (AtomicBool::new(false), Handle::current());
    let change = |grant: &Grant| {
        if !cleared.swap(true, Ordering::Relaxed) {
            assert_eq!(grant.roles.len(), 1, "it was read before");
            block_in_place(|| here.block_on(writer.clear(&user))).unwrap();
        }
        with(grant, "new")
    };
    let changed = writer.change(&user, change).await.unwrap();
    assert_eq!(changed.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["new"]);
    let (table, _) = GrantTable::load(&*journal, &names, usize::MAX).await.unwrap();
    assert_eq!(**table.of(&user).unwrap(), changed);
    writer.clear(&user).await.unwrap();
    let (table, _) = GrantTable::load(&*journal, &names, usize::MAX).await.unwrap();
    assert_eq!((table.of(&user), table.users()), (None, 0));
}
