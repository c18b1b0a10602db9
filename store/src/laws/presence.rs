//! The laws of presence, and of every value whose changes are announced.

use futures::future::join_all;
use schemas::time::Timestamp;

use super::{Bench, is_refused, somebody};
use crate::limits::{AUDIENCE_CHANNELS, CUSTOM_BYTES, USERS_ASKED};
use crate::{DeviceKind, Outcome, Presence, Status, User, Versioned};

fn presence(status: Status, seen: i64) -> Presence {
    Presence {
        status,
        custom: Some("in a call".to_owned()),
        devices: vec![DeviceKind::Web, DeviceKind::Mobile],
        last_seen: Timestamp::from_millis(seen),
        audience: vec!["team:7".to_owned()],
    }
}

/// Each change is one version more, from the one that stands there and from no other.
pub async fn versions_are_made_one_by_one(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let (online, offline) = (presence(Status::Online, 10), Presence { custom: None, ..presence(Status::Offline, 20) });
    assert_eq!(store.presence(&ada).await.unwrap(), None);
    assert_eq!(store.change_presence(&ada, 3, &online).await.unwrap(), Outcome::Stands(None));
    assert_eq!(store.change_presence(&ada, 0, &online).await.unwrap(), Outcome::Done);
    let first = Versioned::first(online);
    assert_eq!(store.presence(&ada).await.unwrap(), Some(first.clone()));
    assert_eq!(store.change_presence(&ada, 0, &offline).await.unwrap(), Outcome::Stands(Some(first.clone())));
    store.presence_announced(&ada, 1).await.unwrap();
    assert_eq!(store.presence(&ada).await.unwrap(), Some(Versioned { announced: 1, ..first }));
    assert_eq!(store.change_presence(&ada, 1, &offline).await.unwrap(), Outcome::Done);
    let second = Versioned { value: offline, version: 2, announced: 1 };
    assert!(second.is_unannounced());
    assert_eq!(store.presence(&ada).await.unwrap(), Some(second));
    assert_eq!(store.presence(&somebody("ada")).await.unwrap(), None);
}

/// Of several who change one version at one time one has made the next, and the others are told what it is.
pub async fn of_racing_changes_one_wins(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    for from in 0..2 {
        let wishes: Vec<_> = (0..6).map(|seen| presence(Status::Online, seen)).collect();
        let outcomes = join_all(wishes.iter().map(|wish| store.change_presence(&ada, from, wish))).await;
        let stands = store.presence(&ada).await.unwrap().unwrap();
        let mut winners = Vec::new();
        for (wish, outcome) in wishes.iter().zip(outcomes) {
            match outcome.unwrap() {
                Outcome::Done => winners.push(wish.clone()),
                Outcome::Stands(seen) => assert_eq!(seen.as_ref(), Some(&stands)),
            }
        }
        assert_eq!(winners, [stands.value], "version {from}");
        store.presence_announced(&ada, from + 1).await.unwrap();
    }
}

/// While a version is not announced nobody makes the next.
pub async fn nothing_is_changed_before_it_is_announced(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let (online, away) = (presence(Status::Online, 10), presence(Status::Away, 20));
    store.change_presence(&ada, 0, &online).await.unwrap();
    let stands = Outcome::Stands(Some(Versioned::first(online)));
    assert_eq!(store.change_presence(&ada, 1, &away).await.unwrap(), stands);
    store.presence_announced(&ada, 2).await.unwrap();
    assert_eq!(store.change_presence(&ada, 1, &away).await.unwrap(), stands, "another version was announced");
    store.presence_announced(&ada, 1).await.unwrap();
    assert_eq!(store.change_presence(&ada, 1, &away).await.unwrap(), Outcome::Done);
}

/// Announcements that come twice, late or without a row change nothing.
pub async fn announcing_again_changes_nothing(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    store.presence_announced(&ada, 1).await.unwrap();
    assert_eq!(store.presence(&ada).await.unwrap(), None);
    store.change_presence(&ada, 0, &presence(Status::Online, 10)).await.unwrap();
    for _ in 0..2 {
        store.presence_announced(&ada, 1).await.unwrap();
    }
    store.change_presence(&ada, 1, &presence(Status::Busy, 10)).await.unwrap();
    store.presence_announced(&ada, 1).await.unwrap();
    let stands = store.presence(&ada).await.unwrap().unwrap();
    assert_eq!((stands.version, stands.announced, stands.value.status), (2, 1, Status::Busy));
}

/// Several users are answered in the order asked for; who has no presence has none.
pub async fn presences_are_read_in_the_order_asked_for(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let users: Vec<_> = (0..USERS_ASKED).map(|n| User { sub: format!("user {n}"), ..ada.clone() }).collect();
    for (seen, user) in (0..).zip(&users).filter(|(seen, _)| seen % 9 == 0) {
        store.change_presence(user, 0, &presence(Status::Online, seen)).await.unwrap();
    }
    let found = store.presences(&users).await.unwrap();
    let seen: Vec<_> = found.into_iter().map(|found| found.map(|it| it.value.last_seen.millis())).collect();
    let expected: Vec<_> = (0..).map(|n| (n % 9 == 0).then_some(n)).take(USERS_ASKED).collect();
    assert_eq!(seen, expected);
    assert_eq!(store.presences(&[]).await.unwrap(), []);
    is_refused(store.presences(&vec![ada; USERS_ASKED + 1]).await);
}

/// What is over a bound is never written.
pub async fn presence_over_its_bounds_is_refused(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let wordy = Presence { custom: Some("x".repeat(CUSTOM_BYTES + 1)), ..presence(Status::Online, 1) };
    is_refused(store.change_presence(&ada, 0, &wordy).await);
    let wide = Presence { audience: vec!["team:7".to_owned(); AUDIENCE_CHANNELS + 1], ..presence(Status::Online, 1) };
    is_refused(store.change_presence(&ada, 0, &wide).await);
    assert_eq!(store.presence(&ada).await.unwrap(), None);
}
