//! The laws of receipts.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use schemas::channel::Channel;
use schemas::grant::User;
use schemas::id::EventId;
use schemas::lane::Lane;
use schemas::position::LogHash;
use schemas::time::Timestamp;

use super::{Bench, is_refused, somebody};
use crate::limits::{PAGE_ROWS, RECEIPT_LINES};
use crate::receipts::{Spot, Tally, Times, tally};
use crate::{Line, Place, Receipt, ReceiptKind, ReceiptPosition, ReceiptRef, Said, Store, UpTo, Visibility};

use ReceiptKind::{Delivered, Read};

/// 2026-01-01.
const NOW: i64 = 1_767_225_600_000;

fn place_of(user: &User) -> Place {
    Place { tenant: user.tenant.clone(), channel: Channel::parse("team:7").unwrap() }
}

fn event(text: &str) -> EventId {
    EventId::parse(text).unwrap()
}

fn said(user: &str, kind: ReceiptKind, at: i64) -> Said {
    let visibility = Visibility::Shown;
    Said { user: user.to_owned(), visibility, kind, at: Timestamp::from_millis(NOW + at) }
}

/// The same, for themselves.
fn hidden(user: &str, kind: ReceiptKind, at: i64) -> Said {
    Said { visibility: Visibility::Hidden, ..said(user, kind, at) }
}

fn receipt(user: &str, delivered_at: Option<i64>, read_at: Option<i64>) -> Receipt {
    let [delivered_at, read_at] = [delivered_at, read_at].map(|at| at.map(|at| Timestamp::from_millis(NOW + at)));
    Receipt { user: user.to_owned(), delivered_at, read_at }
}

fn line(generation: u32, lane: Lane) -> Line {
    Line { log: LogHash(0xfeed_beef), generation, lane }
}

fn up_to(lane: Lane, next: u64) -> UpTo {
    UpTo { line: line(1, lane), next }
}

fn far(position: &ReceiptPosition) -> (ReceiptKind, Lane, u64) {
    (position.said.kind, position.up_to.line.lane, position.up_to.next)
}

async fn erase(store: &dyn Store, user: &User) -> usize {
    let mut erased = 0;
    loop {
        match store.erase_receipts(user).await.unwrap() {
            0 => return erased,
            more => erased += more,
        }
    }
}

/// Delivered and read stand beside each other, each with the latest time that was said, in any order and however often.
pub async fn the_latest_receipt_of_an_event_stands(bench: &dyn Bench) {
    let (store, ada, made) = (bench.store(), somebody("ada"), event("e/1"));
    let place = place_of(&ada);
    assert_eq!(store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(), None);
    store.put_receipt(&place, &made, &said("ada", Read, 5)).await.unwrap();
    assert_eq!(
        store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(),
        Some(receipt("ada", None, Some(5)))
    );
    // 7 has no divisor in common with 32, so that every time comes, and then again.
    let times = (0..64).map(|step| said("ada", if step < 32 { Delivered } else { Read }, step * 7 % 32));
    let times: Vec<_> = times.collect();
    let done = join_all(times.iter().map(|said| store.put_receipt(&place, &made, said))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(
        store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(),
        Some(receipt("ada", Some(31), Some(31)))
    );
    store.put_receipt(&place, &made, &said("ada", Read, 40)).await.unwrap();
    store.put_receipt(&place, &made, &said("ada", Delivered, 0)).await.unwrap();
    assert_eq!(
        store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(),
        Some(receipt("ada", Some(31), Some(40)))
    );
    assert_eq!(store.receipt(&place, &event("e/2"), "ada", Visibility::Shown).await.unwrap(), None);
    assert_eq!(store.receipt(&place, &made, "bob", Visibility::Shown).await.unwrap(), None);
    assert_eq!(store.receipt(&place_of(&somebody("ada")), &made, "ada", Visibility::Shown).await.unwrap(), None);
}

/// Of each kind and line the furthest offset stands, whatever comes late, twice or at once.
pub async fn the_furthest_position_stands(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let place = place_of(&ada);
    let steps = (0..32).map(|step: u64| (said("ada", Read, 32 - i64::try_from(step).unwrap()), step * 7 % 32));
    let steps: Vec<_> = steps.map(|(said, next)| (said, [up_to(Lane::Medium, next)])).collect();
    let done = join_all(steps.iter().map(|(said, up_to)| store.put_receipt_position(&place, up_to, said))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let both = [up_to(Lane::Medium, 50), up_to(Lane::Low, 3), up_to(Lane::Medium, 20)];
    store.put_receipt_position(&place, &both, &said("ada", Delivered, 60)).await.unwrap();
    store.put_receipt_position(&place, &[up_to(Lane::Medium, 9)], &said("ada", Delivered, 70)).await.unwrap();
    let stands = store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap();
    let stands: BTreeSet<_> = stands.iter().map(far).collect();
    let expected = [(Delivered, Lane::Medium, 50), (Delivered, Lane::Low, 3), (Read, Lane::Medium, 31)];
    assert_eq!(stands, BTreeSet::from(expected));
    // Another generation counts anew, and another log.
    let anew = [
        UpTo { line: line(2, Lane::Medium), next: 1 },
        UpTo { line: Line { log: LogHash(7), ..line(1, Lane::Medium) }, next: 2 },
    ];
    store.put_receipt_position(&place, &anew, &said("ada", Read, 80)).await.unwrap();
    let stands = store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap();
    assert!(stands.len() == 5 && anew.iter().all(|up_to| stands.iter().any(|stands| stands.up_to == *up_to)));
    assert_eq!(store.receipt_positions_of(&place, "bob", Visibility::Shown).await.unwrap(), []);
}

/// Over several pages each user's receipt is told once, and what is no page's next is refused.
pub async fn receipts_are_told_page_by_page_each_once(bench: &dyn Bench) {
    let (store, ada, made) = (bench.store(), somebody("ada"), event("e"));
    let place = place_of(&ada);
    let users: Vec<String> = (0..PAGE_ROWS + 30).map(|number| format!("user/{number}")).collect();
    for users in users.chunks(40) {
        let each = users.iter().map(|user| async {
            store.put_receipt(&place, &made, &said(user, Read, 1)).await?;
            store.put_receipt_position(&place, &[up_to(Lane::High, 9)], &said(user, Delivered, 1)).await
        });
        let done = join_all(each).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.receipts(&place, &made, after.as_deref()).await.unwrap();
        assert!(page.receipts.len() <= PAGE_ROWS);
        found.extend(page.receipts.into_iter().map(|receipt| receipt.user));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all: BTreeSet<_> = users.iter().cloned().collect();
    assert!(found.len() == users.len() && found.into_iter().collect::<BTreeSet<_>>() == all);
    let first = store.receipt_positions(&place, None).await.unwrap();
    let second = store.receipt_positions(&place, first.next.as_deref()).await.unwrap();
    assert_eq!((first.positions.len(), second.positions.len(), second.next), (PAGE_ROWS, 30, None));
    let found = first.positions.into_iter().chain(second.positions).map(|position| position.said.user);
    assert_eq!(found.collect::<BTreeSet<_>>(), all);
    for wrong in ["", "0", "{}", r#"{"bucket":200,"last":"ada"}"#] {
        is_refused(store.receipts(&place, &made, Some(wrong)).await);
        is_refused(store.receipt_positions(&place, Some(wrong)).await);
        is_refused(store.receipts_of_user(&ada, Some(wrong)).await);
    }
}

/// Each user counts once, with the most that they said of the event or of all up to beyond it.
pub async fn users_are_tallied_once_by_event_and_by_position(bench: &dyn Bench) {
    let (store, ada, made) = (bench.store(), somebody("ada"), event("e"));
    let place = place_of(&ada);
    for (user, kind) in [("both", Delivered), ("both", Read), ("read", Read), ("came", Delivered)] {
        store.put_receipt(&place, &made, &said(user, kind, 1)).await.unwrap();
    }
    store.put_receipt(&place, &event("other"), &said("nobody", Read, 1)).await.unwrap();
    let positions = [
        ("came", Read, up_to(Lane::Medium, 8), 2),
        ("far", Delivered, up_to(Lane::Medium, 9), 1),
        ("short", Read, up_to(Lane::Medium, 7), 1),
        ("beside", Read, up_to(Lane::Low, 99), 1),
        ("before", Read, UpTo { line: line(0, Lane::Medium), next: 99 }, 1),
    ];
    for (user, kind, up_to, at) in positions {
        store.put_receipt_position(&place, &[up_to], &said(user, kind, at)).await.unwrap();
    }
    let spot = Spot { line: line(1, Lane::Medium), offset: 7 };
    let counted = tally(&*store, &place, &made, Some(spot)).await.unwrap();
    assert_eq!((counted.delivered(), counted.read(), counted.is_complete), (4, 3, true));
    let at = |at: i64| Some(Timestamp::from_millis(NOW + at));
    assert_eq!(counted.users["came"], Times { delivered_at: at(1), read_at: at(2) }, "each as it was said");
    let by_itself = tally(&*store, &place, &made, None).await.unwrap();
    assert_eq!((by_itself.delivered(), by_itself.read(), by_itself.is_complete), (3, 2, true));
    let unknown = tally(&*store, &place, &event("unknown"), None).await.unwrap();
    assert_eq!(unknown, Tally { is_complete: true, ..Tally::default() });
}

/// What a user said is found by the user, page by page, and goes with them; nobody else's does.
pub async fn what_a_user_said_is_found_and_erased(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let place = place_of(&ada);
    let events: Vec<EventId> = (0..PAGE_ROWS + 20).map(|number| event(&format!("e/{number}"))).collect();
    for events in events.chunks(40) {
        let (read, came) = (said("ada", Read, 1), said("ada", Delivered, 2));
        let done = join_all(events.iter().map(|event| store.put_receipt(&place, event, &read))).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        store.put_receipt(&place, &events[0], &came).await.unwrap();
    }
    let here = [up_to(Lane::High, 4), up_to(Lane::Medium, 0)];
    store.put_receipt_position(&place, &here, &said("ada", Read, 1)).await.unwrap();
    store.put_receipt(&place, &events[0], &said("bob", Read, 1)).await.unwrap();
    store.put_receipt_position(&place, &here, &said("bob", Read, 1)).await.unwrap();

    let first = store.receipts_of_user(&ada, None).await.unwrap();
    let second = store.receipts_of_user(&ada, first.next.as_deref()).await.unwrap();
    assert_eq!((first.refs.len(), second.refs.len(), second.next), (PAGE_ROWS, 21, None));
    let of = |event: Option<&EventId>| ReceiptRef { channel: place.channel.clone(), event: event.cloned() };
    let expected: BTreeSet<_> = events.iter().map(Some).chain([None]).map(of).collect();
    assert_eq!(first.refs.into_iter().chain(second.refs).collect::<BTreeSet<_>>(), expected);

    assert_eq!(erase(&*store, &ada).await, events.len() + 1);
    assert_eq!(store.receipts_of_user(&ada, None).await.unwrap().refs, []);
    for event in &events {
        assert_eq!(store.receipt(&place, event, "ada", Visibility::Shown).await.unwrap(), None);
    }
    assert_eq!(store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap(), []);
    let left = store.receipts(&place, &events[0], None).await.unwrap();
    assert_eq!(left.receipts, [receipt("bob", None, Some(1))]);
    assert_eq!(store.receipt_positions(&place, None).await.unwrap().positions.len(), 2);
    let bob = User { sub: "bob".to_owned(), ..ada };
    assert_eq!(store.receipts_of_user(&bob, None).await.unwrap().refs.len(), 2);
}

/// Who was erased may say more, and is found again.
pub async fn an_erased_user_may_say_more(bench: &dyn Bench) {
    let (store, ada, made) = (bench.store(), somebody("ada"), event("e"));
    let place = place_of(&ada);
    for round in 1..4 {
        store.put_receipt(&place, &made, &said("ada", Read, round)).await.unwrap();
        let here = [up_to(Lane::Medium, u64::try_from(round).unwrap())];
        store.put_receipt_position(&place, &here, &said("ada", Read, round)).await.unwrap();
        assert_eq!(
            store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(),
            Some(receipt("ada", None, Some(round)))
        );
        assert_eq!(store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap().len(), 1);
        assert_eq!(store.receipts_of_user(&ada, None).await.unwrap().refs.len(), 2);
        assert_eq!(erase(&*store, &ada).await, 2);
        assert_eq!(store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(), None);
        assert_eq!(store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap(), []);
    }
    assert_eq!(erase(&*store, &ada).await, 0);
}

/// A receipt that nobody repeats is gone after its lifetime, from every table.
pub async fn a_receipt_ends(bench: &dyn Bench) {
    let (ada, made) = (somebody("ada"), event("e"));
    let (place, here) = (place_of(&ada), [up_to(Lane::Medium, 3)]);
    bench.brief().put_receipt(&place, &made, &said("ada", Read, 1)).await.unwrap();
    bench.brief().put_receipt_position(&place, &here, &said("ada", Read, 1)).await.unwrap();
    bench.store().put_receipt(&place, &made, &said("bob", Read, 1)).await.unwrap();
    bench.pass().await;
    let store = bench.store();
    assert_eq!(store.receipt(&place, &made, "ada", Visibility::Shown).await.unwrap(), None);
    assert_eq!(store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap(), []);
    assert_eq!(store.receipts_of_user(&ada, None).await.unwrap().refs, []);
    assert_eq!(tally(&*store, &place, &made, None).await.unwrap().read(), 1);
}

/// What is over a bound is never written, and everything up to it is.
pub async fn a_receipt_over_its_bounds_is_refused(bench: &dyn Bench) {
    let (store, ada, made) = (bench.store(), somebody("ada"), event("e"));
    let (place, long) = (place_of(&ada), "x".repeat(513));
    is_refused(store.put_receipt(&place, &made, &said(&long, Read, 1)).await);
    is_refused(store.put_receipt_position(&place, &[up_to(Lane::Low, 1)], &said(&long, Read, 1)).await);
    let many: Vec<UpTo> =
        (0..).map(|generation| UpTo { line: line(generation, Lane::Low), next: 1 }).take(RECEIPT_LINES + 1).collect();
    is_refused(store.put_receipt_position(&place, &many, &said("ada", Read, 1)).await);
    assert_eq!(store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap(), []);
    store.put_receipt_position(&place, &many[1..], &said("ada", Read, 1)).await.unwrap();
    store.put_receipt_position(&place, &[], &said("ada", Read, 1)).await.unwrap();
    let stands = store.receipt_positions_of(&place, "ada", Visibility::Shown).await.unwrap();
    let lines: BTreeMap<_, _> = stands.iter().map(|stands| (stands.up_to.line.generation, stands.up_to.next)).collect();
    assert_eq!(lines.len(), RECEIPT_LINES);
    let widest = event(&"e".repeat(1_024));
    store.put_receipt(&place, &widest, &said(&long[1..], Read, 1)).await.unwrap();
    assert!(store.receipt(&place, &widest, &long[1..], Visibility::Shown).await.unwrap().is_some());
}

/// What a user says for themselves is found by them alone, changes nothing of what they said to all, and goes with them.
pub async fn what_is_hidden_stands_apart_and_goes_with_its_user(bench: &dyn Bench) {
    let (store, ada, made) = (bench.store(), somebody("ada"), event("e"));
    let place = place_of(&ada);
    store.put_receipt(&place, &made, &said("ada", Delivered, 1)).await.unwrap();
    store.put_receipt(&place, &made, &hidden("ada", Read, 2)).await.unwrap();
    store.put_receipt(&place, &made, &hidden("bob", Read, 3)).await.unwrap();
    store.put_receipt_position(&place, &[up_to(Lane::Medium, 9)], &hidden("ada", Read, 4)).await.unwrap();
    store.put_receipt_position(&place, &[up_to(Lane::Medium, 3)], &said("ada", Read, 5)).await.unwrap();
    let found = async |visibility| {
        let receipt = store.receipt(&place, &made, "ada", visibility).await.unwrap();
        let positions = store.receipt_positions_of(&place, "ada", visibility).await.unwrap();
        assert!(positions.iter().all(|position| position.said.visibility == visibility));
        (receipt, positions.iter().map(far).collect::<Vec<_>>())
    };
    let shown = (Some(receipt("ada", Some(1), None)), vec![(Read, Lane::Medium, 3)]);
    assert_eq!(found(Visibility::Shown).await, shown);
    assert_eq!(found(Visibility::Hidden).await, (Some(receipt("ada", None, Some(2))), vec![(Read, Lane::Medium, 9)]));
    let page = store.receipts(&place, &made, None).await.unwrap();
    assert_eq!((page.receipts, page.next), (vec![receipt("ada", Some(1), None)], None));
    let page = store.receipt_positions(&place, None).await.unwrap();
    assert_eq!((page.positions.iter().map(far).collect(), page.next), (vec![(Read, Lane::Medium, 3)], None));
    let spot = Spot { line: line(1, Lane::Medium), offset: 5 };
    let counted = tally(&*store, &place, &made, Some(spot)).await.unwrap();
    assert_eq!((counted.delivered(), counted.read()), (1, 0), "it is not counted");
    assert_eq!(erase(&*store, &ada).await, 2);
    for visibility in Visibility::ALL {
        assert_eq!(found(visibility).await, (None, Vec::new()));
    }
    let bob = store.receipt(&place, &made, "bob", Visibility::Hidden).await.unwrap();
    assert_eq!(bob, Some(receipt("bob", None, Some(3))));
}
