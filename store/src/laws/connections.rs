//! The laws of open connections.

use std::collections::BTreeSet;

use futures::future::join_all;
use schemas::channel::Channel;
use schemas::time::Timestamp;
use uuid::Uuid;

use super::{Bench, is_refused, somebody};
use crate::limits::{CUSTOM_BYTES, NODE_BUCKETS};
use crate::{Connection, ConnectionRef, DeviceKind, Member, NodeId, Place, Status, Store, User};

fn connection(node: NodeId, opened_at: i64) -> Connection {
    Connection {
        id: Uuid::new_v4(),
        node,
        device: DeviceKind::Web,
        status: None,
        custom: None,
        channels: vec!["team:7".to_owned()],
        opened_at: Timestamp::from_millis(opened_at),
    }
}

async fn of_node(store: &dyn Store, node: NodeId) -> BTreeSet<ConnectionRef> {
    let mut found = BTreeSet::new();
    for bucket in 0..NODE_BUCKETS {
        found.extend(store.connections_of_node(node, bucket).await.unwrap());
    }
    found
}

/// All connections of a user are read, the oldest first, and nobody else's.
pub async fn the_connections_of_a_user_are_read_in_the_order_of_their_opening(bench: &dyn Bench) {
    let (store, ada, node) = (bench.store(), somebody("ada"), NodeId(Uuid::new_v4()));
    let mut open: Vec<_> = [30, 10, 20, 10].map(|at| connection(node, at)).into();
    for connection in &open {
        store.put_connection(&ada, connection).await.unwrap();
        store.put_connection(&somebody("ada"), connection).await.unwrap();
    }
    open.sort_by_key(|connection| (connection.opened_at, connection.id));
    assert_eq!(store.connections(&ada).await.unwrap(), open);
    for _ in 0..2 {
        store.remove_connection(&ada, open[1].id, node).await.unwrap();
    }
    open.remove(1);
    assert_eq!(store.connections(&ada).await.unwrap(), open);
    assert_eq!(store.connections(&User { sub: "bob".to_owned(), ..ada }).await.unwrap(), []);
}

/// A connection that is put again has what was put last, and is not two.
pub async fn a_connection_that_is_put_again_is_the_same(bench: &dyn Bench) {
    let (store, ada, node) = (bench.store(), somebody("ada"), NodeId(Uuid::new_v4()));
    let first = Connection { status: Some(Status::Busy), custom: Some("in a call".to_owned()), ..connection(node, 10) };
    store.put_connection(&ada, &first).await.unwrap();
    let then = Connection { status: None, custom: None, device: DeviceKind::Mobile, channels: Vec::new(), ..first };
    store.put_connection(&ada, &then).await.unwrap();
    assert_eq!(store.connections(&ada).await.unwrap(), [then]);
}

/// A connection that is kept lives on wherever it stands, also as a member of very many channels.
pub async fn a_connection_that_is_kept_lives_on_in_all_its_rows(bench: &dyn Bench) {
    let (store, ada, node) = (bench.store(), somebody("ada"), NodeId(Uuid::new_v4()));
    let channel = |number| Channel::parse(&format!("team:{number}")).unwrap();
    let places: Vec<_> = (0..25).map(|number| Place { tenant: ada.tenant.clone(), channel: channel(number) }).collect();
    let [kept, left] = [10, 20].map(|at| connection(node, at));
    for connection in [&kept, &left] {
        bench.brief().keep_connection(&ada, connection, &places).await.unwrap();
    }
    store.keep_connection(&ada, &kept, &places).await.unwrap();
    bench.pass().await;
    assert_eq!(store.connections(&ada).await.unwrap(), std::slice::from_ref(&kept));
    assert_eq!(of_node(&*store, node).await, BTreeSet::from([ConnectionRef { user: ada.clone(), id: kept.id }]));
    for place in &places {
        let members = store.members(place, None).await.unwrap().members;
        assert_eq!(members, [Member { user: ada.sub.clone(), connection: kept.id, node }]);
    }
    let over = Connection { custom: Some("x".repeat(CUSTOM_BYTES + 1)), ..kept };
    is_refused(store.keep_connection(&ada, &over, &places).await);
}

/// Whoever puts a connection and then reads sees every one that was put before: of racing connections the limit holds.
pub async fn racing_connections_see_each_other(bench: &dyn Bench) {
    let (store, ada, node) = (bench.store(), somebody("ada"), NodeId(Uuid::new_v4()));
    let racing: Vec<_> = (0..12).map(|at| connection(node, at)).collect();
    let seen = join_all(racing.iter().map(|connection| async {
        store.put_connection(&ada, connection).await.unwrap();
        let seen = store.connections(&ada).await.unwrap();
        seen.iter().position(|seen| seen.id == connection.id).unwrap() < 5
    }))
    .await;
    // The five oldest of all are in whatever they saw.
    assert_eq!(seen[..5], [true; 5]);
    let all = store.connections(&ada).await.unwrap();
    assert_eq!(all.iter().map(|seen| seen.id).collect::<Vec<_>>(), racing.iter().map(|it| it.id).collect::<Vec<_>>());
}

/// A connection ends by itself, and a heartbeat begins its lifetime anew.
pub async fn what_no_heartbeat_refreshes_ends(bench: &dyn Bench) {
    let (ada, node) = (somebody("ada"), NodeId(Uuid::new_v4()));
    let (silent, alive) = (connection(node, 10), connection(node, 20));
    for connection in [&silent, &alive] {
        bench.brief().put_connection(&ada, connection).await.unwrap();
    }
    bench.store().put_connection(&ada, &alive).await.unwrap();
    bench.pass().await;
    let left = ConnectionRef { user: ada.clone(), id: alive.id };
    assert_eq!(bench.store().connections(&ada).await.unwrap(), [alive]);
    assert_eq!(of_node(&*bench.store(), node).await, BTreeSet::from([left]));
}

/// Whoever sweeps a node finds all of its connections, of every tenant, and no other node's.
pub async fn the_connections_of_a_node_are_found_part_by_part(bench: &dyn Bench) {
    let (store, node, other) = (bench.store(), NodeId(Uuid::new_v4()), NodeId(Uuid::new_v4()));
    let mut expected = BTreeSet::new();
    for number in 0..40 {
        let (user, connection) = (somebody("ada"), connection(node, number));
        store.put_connection(&user, &connection).await.unwrap();
        expected.insert(ConnectionRef { user, id: connection.id });
    }
    store.put_connection(&somebody("bob"), &connection(other, 1)).await.unwrap();
    assert_eq!(of_node(&*store, node).await, expected);
    for ConnectionRef { user, id } in &expected {
        store.remove_connection(user, *id, node).await.unwrap();
    }
    assert_eq!(of_node(&*store, node).await, BTreeSet::new());
    assert_eq!(of_node(&*store, other).await.len(), 1);
}

/// What is over a bound is never written.
pub async fn a_connection_over_its_bounds_is_refused(bench: &dyn Bench) {
    let (store, ada, node) = (bench.store(), somebody("ada"), NodeId(Uuid::new_v4()));
    let wordy = Connection { custom: Some("x".repeat(CUSTOM_BYTES + 1)), ..connection(node, 1) };
    is_refused(store.put_connection(&ada, &wordy).await);
    let wide = Connection { channels: vec!["team:7".to_owned(); 65], ..connection(node, 1) };
    is_refused(store.put_connection(&ada, &wide).await);
    assert_eq!(store.connections(&ada).await.unwrap(), []);
}

/// A node, and no other, hears which connections it is asked to end, each once however often it is asked; and after a while no more.
pub async fn a_node_hears_what_it_is_asked_to_end_for_a_while(bench: &dyn Bench) {
    let (store, node, other) = (bench.store(), NodeId(Uuid::new_v4()), NodeId(Uuid::new_v4()));
    let [brief, first, second] = [(); 3].map(|()| Uuid::new_v4());
    bench.brief().displace(node, brief).await.unwrap();
    for asked in [first, second, first] {
        store.displace(node, asked).await.unwrap();
    }
    store.displace(other, first).await.unwrap();
    let heard = async |node| store.displaced(node).await.unwrap().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(heard(node).await, BTreeSet::from([brief, first, second]));
    assert_eq!(heard(other).await, BTreeSet::from([first]));
    bench.pass().await;
    assert_eq!(heard(node).await, BTreeSet::from([first, second]));
}
