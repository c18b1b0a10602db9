//! The laws of what is kept of a person: it is all found, it is all erased, and nobody else's is.

use std::collections::BTreeSet;

use futures::future::join_all;
use schemas::channel::{Channel, ChannelPattern};
use schemas::grant::User;
use schemas::id::EventId;
use schemas::lane::Lane;
use schemas::position::LogHash;
use schemas::time::Timestamp;
use uuid::Uuid;

use super::{Bench, somebody};
use crate::limits::PAGE_ROWS;
use crate::persons::{ACKS_SETTLE, TABLES, Table};
use crate::{
    AckTime, Connection, Cursor, CursorKey, CursorWrite, Device, DeviceKind, KeptSubscription, Line, Member, NodeId,
    NodeRow, Place, Preference, Presence, ReceiptKind, Said, Status, Store, StreamKey, UpTo, Visibility,
};

/// A day in 2026, in milliseconds.
const NOW_MILLIS: i64 = 1_770_000_000_000;
const NOW: Timestamp = Timestamp::from_millis(NOW_MILLIS);

/// A user by a name that stands in no other row.
fn named(tenant: &User, name: &str) -> User {
    User { sub: format!("{name}-{}", Uuid::new_v4().simple()), ..tenant.clone() }
}

fn of_persons() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.is_of_persons())
}

fn position(user: &User, acknowledged: i64) -> CursorWrite {
    let stream = StreamKey::from_kept("s".to_owned());
    let key = CursorKey { user: user.clone(), device: Device::parse("tab").unwrap(), stream };
    let channels = vec!["team:7".to_owned()];
    CursorWrite { key, cursor: Cursor { position: "1".to_owned(), acknowledged: AckTime(acknowledged), channels } }
}

fn place(user: &User) -> Place {
    Place { tenant: user.tenant.clone(), channel: Channel::parse("team:7").unwrap() }
}

fn said(user: &User, visibility: Visibility) -> Said {
    Said { user: user.sub.clone(), kind: ReceiptKind::Read, at: NOW, visibility }
}

fn is_there(audience: &[&str]) -> Presence {
    Presence {
        status: Status::Online,
        custom: Some("here".to_owned()),
        devices: vec![DeviceKind::Web],
        last_seen: NOW,
        audience: audience.iter().map(ToString::to_string).collect(),
    }
}

/// A row in every table.
async fn fill(store: &dyn Store, user: &User) {
    let node = NodeId(Uuid::new_v4());
    store.beat(NodeRow { node, beats: 1 }).await.unwrap();
    let connection = Connection {
        id: Uuid::new_v4(),
        node,
        device: DeviceKind::Web,
        status: None,
        custom: None,
        channels: vec!["team:7".to_owned()],
        opened_at: NOW,
    };
    store.put_connection(user, &connection).await.unwrap();
    let member = Member { user: user.sub.clone(), connection: connection.id, node };
    store.put_member(&place(user), &member).await.unwrap();
    store.put_cursors(&[position(user, NOW_MILLIS * 1_000)]).await.unwrap();
    let channels = vec![ChannelPattern::parse("team:7").unwrap()];
    let kept = KeptSubscription { device: Device::parse("tab").unwrap(), channels };
    store.put_subscription(user, &kept).await.unwrap();
    store.change_presence(user, 0, &is_there(&["team:7"])).await.unwrap();
    store.presence_announced(user, 1).await.unwrap();
    let event = EventId::parse("e").unwrap();
    let line = Line { log: LogHash(7), generation: 1, lane: Lane::Low };
    for visibility in Visibility::ALL {
        let said = said(user, visibility);
        store.put_receipt(&place(user), &event, &said).await.unwrap();
        store.put_receipt_position(&place(user), &[UpTo { line, next: 4 }], &said).await.unwrap();
    }
    store.put_preference(user, &Preference { receipts: Visibility::Hidden }).await.unwrap();
}

async fn erase<'a>(store: &dyn Store, user: &User, tables: impl Iterator<Item = &'a Table>) {
    for table in tables {
        table.erase(store, user, NOW).await.unwrap();
    }
}

async fn left(store: &dyn Store, user: &User) -> Vec<(&'static str, usize)> {
    let mut left = Vec::new();
    for table in of_persons() {
        left.push((table.name, table.count(store, user).await.unwrap()));
    }
    left.retain(|(_, rows)| *rows > 0);
    left
}

/// The rows in which a name stands.
fn rows_of<'a>(all: &'a [(String, String)], user: &User) -> BTreeSet<&'a (String, String)> {
    all.iter().filter(|(_, text)| text.contains(&user.sub)).collect()
}

/// Whatever table a person is in, a scan of all of them finds nothing of them once they are erased, and everything of others as it was.
pub async fn nothing_of_an_erased_person_stands_in_any_table_and_all_of_others_does(bench: &dyn Bench) {
    let (store, tenant) = (bench.store(), somebody("ada"));
    let (ada, bob) = (named(&tenant, "ada"), named(&tenant, "bob"));
    fill(&*store, &ada).await;
    fill(&*store, &bob).await;
    let before = bench.everything().await;
    let in_tables: BTreeSet<&str> = rows_of(&before, &ada).into_iter().map(|(table, _)| table.as_str()).collect();
    let listed: BTreeSet<&str> = of_persons().map(|table| table.name).collect();
    assert_eq!(in_tables, listed, "a table is not filled, or not listed");
    for table in of_persons() {
        let page = table.read(&*store, &ada, None).await.unwrap();
        let rows = if table.name.starts_with("receipt") { 2 } else { 1 };
        assert_eq!((page.rows.len(), page.next), (rows, None), "{}", table.name);
        assert!(page.rows.iter().all(|row| row.is_object() && !row.to_string().contains(&bob.sub)), "{:?}", page.rows);
    }
    erase(&*store, &ada, TABLES.iter()).await;
    let after = bench.everything().await;
    assert_eq!(rows_of(&after, &ada), BTreeSet::new());
    assert_eq!(rows_of(&after, &bob), rows_of(&before, &bob));
    assert_eq!(left(&*store, &ada).await, []);
    erase(&*store, &ada, TABLES.iter()).await;
    assert_eq!(left(&*store, &ada).await, []);
}

/// Whoever erases may die between any two tables: who does it again finishes it.
pub async fn an_erasure_that_was_cut_is_finished_by_the_next(bench: &dyn Bench) {
    let (store, tenant) = (bench.store(), somebody("ada"));
    let mut all = Vec::new();
    for tables in 0..TABLES.len() {
        let ada = named(&tenant, "ada");
        fill(&*store, &ada).await;
        erase(&*store, &ada, TABLES.iter().take(tables)).await;
        erase(&*store, &ada, TABLES.iter()).await;
        assert_eq!(left(&*store, &ada).await, [], "cut after {tables}");
        all.push(ada);
    }
    let after = bench.everything().await;
    for ada in all {
        assert_eq!(rows_of(&after, &ada), BTreeSet::new());
    }
}

/// A position that waited on an edge is written when its user has been erased: it changes nothing; what they acknowledge later does.
pub async fn a_late_position_never_brings_back_who_was_erased(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let settled = i64::try_from(ACKS_SETTLE.as_micros()).unwrap();
    let now = NOW_MILLIS * 1_000;
    store.put_cursors(&[position(&ada, now - 5)]).await.unwrap();
    erase(&*store, &ada, TABLES.iter()).await;
    let other = CursorKey { device: Device::parse("other").unwrap(), ..position(&ada, 0).key };
    for late in [now - 9, now - 1, now + settled] {
        let of_other = CursorWrite { key: other.clone(), ..position(&ada, late) };
        store.put_cursors(&[position(&ada, late), of_other]).await.unwrap();
        assert_eq!(store.cursors(&ada).await.unwrap(), []);
    }
    let later = position(&ada, now + settled + 1);
    store.put_cursors(std::slice::from_ref(&later)).await.unwrap();
    assert_eq!(store.cursors(&ada).await.unwrap(), [(later.key, later.cursor)]);
}

/// What others were not told yet is never taken away from whoever tells it.
pub async fn presence_is_erased_only_as_it_was_announced(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    assert!(!store.erase_presence(&ada, 1).await.unwrap());
    store.change_presence(&ada, 0, &is_there(&["team:7"])).await.unwrap();
    for version in [0, 1, 2] {
        assert!(!store.erase_presence(&ada, version).await.unwrap());
    }
    store.presence_announced(&ada, 1).await.unwrap();
    assert!(!store.erase_presence(&ada, 2).await.unwrap());
    assert!(store.erase_presence(&ada, 1).await.unwrap());
    assert_eq!(store.presence(&ada).await.unwrap(), None);
    store.change_presence(&ada, 0, &is_there(&[])).await.unwrap();
    assert_eq!(store.presence(&ada).await.unwrap().map(|stands| stands.version), Some(1), "they may come again");
}

/// A person who said much is given out page by page, each row once.
pub async fn many_receipts_of_a_person_are_read_page_by_page(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let (place, said) = (place(&ada), said(&ada, Visibility::Shown));
    let events: Vec<EventId> = (0..PAGE_ROWS + 20).map(|n| EventId::parse(&format!("e/{n}")).unwrap()).collect();
    for some in events.chunks(40) {
        let done = join_all(some.iter().map(|event| store.put_receipt(&place, event, &said))).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }
    let table = TABLES.iter().find(|table| table.name == "receipts").unwrap();
    let first = table.read(&*store, &ada, None).await.unwrap();
    let second = table.read(&*store, &ada, first.next.as_deref()).await.unwrap();
    assert_eq!((first.rows.len(), second.rows.len(), second.next), (PAGE_ROWS, 20, None));
    let found: BTreeSet<String> = first.rows.iter().chain(&second.rows).map(ToString::to_string).collect();
    assert_eq!((found.len(), table.count(&*store, &ada).await.unwrap()), (events.len(), events.len()));
    erase(&*store, &ada, TABLES.iter()).await;
    assert_eq!(left(&*store, &ada).await, []);
}
