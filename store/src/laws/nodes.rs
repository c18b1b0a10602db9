//! The laws of leases.

use futures::future::join_all;
use uuid::Uuid;

use super::Bench;
use crate::{NodeId, NodeRow, Store};

fn node() -> NodeId {
    NodeId(Uuid::new_v4())
}

async fn beats(store: &dyn Store, node: NodeId) -> Option<u64> {
    store.nodes().await.unwrap().into_iter().find(|row| row.node == node).map(|row| row.beats)
}

/// Others see the last beat of a node, until it is removed or was silent for its lifetime.
pub async fn a_node_is_seen_with_its_last_beat(bench: &dyn Bench) {
    let (store, one, two) = (bench.store(), node(), node());
    for beats in 1..=3 {
        store.beat(NodeRow { node: one, beats }).await.unwrap();
    }
    bench.brief().beat(NodeRow { node: two, beats: 9 }).await.unwrap();
    assert_eq!((beats(&*store, one).await, beats(&*store, two).await), (Some(3), Some(9)));
    bench.pass().await;
    assert_eq!((beats(&*store, one).await, beats(&*store, two).await), (Some(3), None));
    for _ in 0..2 {
        store.remove_node(one).await.unwrap();
        assert_eq!(beats(&*store, one).await, None);
    }
}

/// Of survivors who race for a sweep one has it, and keeps it when it asks again.
pub async fn one_survivor_has_the_sweep(bench: &dyn Bench) {
    let (store, dead) = (bench.store(), node());
    let survivors: Vec<_> = (0..6).map(|_| node()).collect();
    let won = join_all(survivors.iter().map(|survivor| store.claim_sweep(dead, *survivor))).await;
    let won: Vec<bool> = won.into_iter().map(Result::unwrap).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    for (survivor, had) in survivors.iter().zip(&won) {
        assert_eq!(store.claim_sweep(dead, *survivor).await.unwrap(), *had);
    }
    assert!(store.claim_sweep(node(), survivors[0]).await.unwrap(), "another sweep is another's");
}

/// A sweeper that is heard of no more does not keep its sweep.
pub async fn a_sweep_is_free_again_after_a_while(bench: &dyn Bench) {
    let (store, dead, first, second) = (bench.brief(), node(), node(), node());
    assert!(store.claim_sweep(dead, first).await.unwrap());
    assert!(!store.claim_sweep(dead, second).await.unwrap());
    bench.pass().await;
    assert!(store.claim_sweep(dead, second).await.unwrap());
    assert!(!store.claim_sweep(dead, first).await.unwrap());
}
