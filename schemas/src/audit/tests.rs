//! Audit records: round trips, a foreign implementation, and the laws of the chain: whatever is done to a log is noticed at its place, and
//! what only ends is not.

use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::collection::vec;
use proptest::prelude::*;

use super::chain::{ChainKey, Chains, Found, Head, Place, Report, Wrong};
use super::*;
use crate::foreign;
use crate::partition::TopicPartition;

/// A record as it stands in a log.
type Kept = (Vec<u8>, String);

fn any_item() -> impl Strategy<Value = Item> {
    ("[a-z:é]{0,9}", "[a-z.]{0,9}", ".{0,9}", "[a-z,]{0,9}").prop_map(|(channel, event_type, id, view)| Item {
        channel,
        event_type,
        id,
        view,
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    (0..Act::ALL.len(), ".{0,9}", "[a-z]{0,9}", vec(any_item(), 0..4), 0..i64::MAX).prop_map(
        |(act, door, outcome, items, count)| Entry {
            count: count.try_into().unwrap(),
            ..Entry::new(Act::ALL[act], &door, &outcome)
                .by(Who::new(&Tenant::default_tenant(), Some(&outcome), None))
                .about(items)
        },
    )
}

fn in_foreign_hands(audit: &Audit) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let record = |fields: Vec<(&str, Value)>| {
        Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let entry = &audit.entry;
    let item = |item: &Item| {
        record(vec![
            ("channel", text(&item.channel)),
            ("type", text(&item.event_type)),
            ("id", text(&item.id)),
            ("view", text(&item.view)),
        ])
    };
    record(vec![
        ("version", Value::Int(1)),
        ("writer", text(&audit.link.writer)),
        ("sequence", Value::Long(audit.link.sequence.try_into().unwrap())),
        ("previous", Value::Fixed(32, audit.link.previous.as_bytes().to_vec())),
        ("time", Value::TimestampMillis(audit.time.millis())),
        ("act", text(entry.act.as_str())),
        ("door", text(&entry.door)),
        ("outcome", text(&entry.outcome)),
        ("tenant", text(&entry.who.tenant)),
        ("subject", text(&entry.who.subject)),
        ("issuer", text(&entry.who.issuer)),
        ("count", Value::Long(entry.count.try_into().unwrap())),
        ("items", Value::Array(entry.items.iter().map(item).collect())),
    ])
}

fn key() -> ChainKey {
    ChainKey::new(b"a secret of this deployment, 32 b")
}

fn partition() -> TopicPartition {
    TopicPartition::new("audit", 0)
}

fn record(key: &ChainKey, writer: &str, sequence: u64, previous: Hash) -> (Kept, Hash) {
    let entry = Entry::new(Act::Publish, "test", &format!("{writer}{sequence}"));
    let link = Link { writer: writer.to_owned(), sequence, previous };
    let body = Audit { link, time: Timestamp::from_millis(1), entry }.encode();
    let hash = key.hash(&body);
    ((body, hash.to_string()), hash)
}

/// A log in which writers took turns as `turns` says.
fn log(turns: &[u8]) -> Vec<Kept> {
    let mut ends = [(0, Hash::NONE); 3];
    let append = |turn: &u8| {
        let (sequence, previous) = &mut ends[usize::from(*turn)];
        let (kept, hash) = record(&key(), &format!("w{turn}"), *sequence, *previous);
        (*sequence, *previous) = (*sequence + 1, hash);
        kept
    };
    turns.iter().map(append).collect()
}

fn check(log: &[Kept], earlier: Vec<Head>, start: u64) -> Report {
    let mut chains = Chains::new(key(), earlier);
    for (offset, (body, hash)) in (start..).zip(log) {
        let found = Found { hash: Some(hash.as_bytes()), body: Some(body) };
        chains.take(Place { partition: partition(), offset }, found, start > 0);
    }
    chains.end_of(&partition(), start);
    chains.finish()
}

/// Where the first fault is.
fn first(report: &Report) -> Option<u64> {
    report.first.first().map(|fault| fault.place.offset)
}

/// Where the next record of the same writer stands, behind `at`.
fn next_of(turns: &[u8], at: usize) -> Option<usize> {
    (at + 1..turns.len()).find(|later| turns[*later] == turns[at])
}

fn offset(index: usize) -> u64 {
    index.try_into().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_audit_record_comes_back_also_from_foreign_hands(
        entry in any_entry(), sequence in 0..1_u64 << 40, previous: [u8; 32], more: Vec<u8>,
    ) {
        let link = Link { writer: "w".to_owned(), sequence, previous: Hash::new(previous) };
        let audit = Audit { link, time: Timestamp::from_millis(1_442_016_000_000), entry };
        prop_assert_eq!(Audit::decode(&[audit.encode(), more].concat()), Ok(audit.clone()));
        let schema = Schema::parse_str(AUDIT_SCHEMA).unwrap();
        prop_assert_eq!(foreign::read(&schema, &audit.encode()).unwrap(), in_foreign_hands(&audit));
        prop_assert_eq!(Hash::parse(&audit.link.previous.to_string()), Some(audit.link.previous));
    }

    #[test]
    fn what_writers_leave_behind_wherever_they_die_is_whole(turns in vec(0_u8..3, 0..40), cut in 0_usize..40) {
        prop_assert_eq!(check(&log(&turns), vec![], 0).faults, 0);
        let cut = cut.min(turns.len());
        prop_assert_eq!(check(&log(&turns)[cut..], vec![], offset(cut)).faults, 0, "retention cuts the beginning");
    }

    #[test]
    fn a_removed_record_is_noticed_at_the_next_of_its_writer(turns in vec(0_u8..3, 1..40), at in 0_usize..40) {
        let (mut kept, at) = (log(&turns), at % turns.len());
        kept.remove(at);
        let found = check(&kept, vec![], 0);
        prop_assert_eq!(first(&found), next_of(&turns, at).map(|next| offset(next - 1)));
        let heads = check(&log(&turns), vec![], 0).heads;
        prop_assert!(check(&kept, heads, 0).faults > 0, "and a last one by the heads of an earlier check");
    }

    #[test]
    fn an_altered_record_is_noticed_where_it_stands(
        turns in vec(0_u8..3, 1..40), at in 0_usize..40, byte: prop::sample::Index, bit in 0_u32..8,
    ) {
        let (mut kept, at) = (log(&turns), at % turns.len());
        let byte = byte.index(kept[at].0.len());
        kept[at].0[byte] ^= 1_u8 << bit;
        prop_assert_eq!(first(&check(&kept, vec![], 0)), Some(offset(at)));
    }

    #[test]
    fn records_in_another_order_are_noticed_where_the_order_ends(turns in vec(0_u8..3, 2..40), at in 0_usize..40) {
        let (mut kept, at) = (log(&turns), at % turns.len());
        let Some(next) = next_of(&turns, at) else { return Ok(()) };
        kept.swap(at, next);
        prop_assert_eq!(first(&check(&kept, vec![], 0)), Some(offset(at)));
    }

    #[test]
    fn an_inserted_record_is_noticed_where_it_stands(
        turns in vec(0_u8..3, 1..40), at in 0_usize..40, copied in 0_usize..40, has_key: bool,
    ) {
        let mut kept = log(&turns);
        let at = at % turns.len();
        let copy = kept[copied % turns.len()].clone();
        let forged = record(&ChainKey::new(b""), "w9", 0, Hash::NONE).0;
        let copied = copied % turns.len();
        let noticed = if has_key && copied >= at { at.max(copied) + 1 } else { at };
        kept.insert(at, if has_key { copy } else { forged });
        let found = check(&kept, vec![], 0);
        prop_assert!(found.faults > 0);
        prop_assert!(first(&found) <= Some(offset(noticed)), "{:?}", found.first);
    }

    #[test]
    fn a_chain_written_anew_by_who_has_the_key_is_noticed_by_an_earlier_head(turns in vec(0_u8..3, 1..40)) {
        let heads = check(&log(&turns), vec![], 0).heads;
        let anew = record(&key(), &format!("w{}", turns[0]), 0, Hash::new([1; 32])).0;
        let mut kept = log(&turns);
        prop_assert_eq!(check(&kept, heads.clone(), 0).faults, 0);
        kept.truncate(1);
        kept[0] = anew;
        prop_assert!(check(&kept, heads, 0).faults > 0);
    }
}

#[test]
fn a_writer_in_two_partitions_is_noticed_and_bytes_of_others_too() {
    let kept = log(&[0, 0]);
    let mut chains = Chains::new(key(), vec![]);
    for (number, (body, hash)) in (0..).zip(&kept) {
        let place = Place { partition: TopicPartition::new("audit", number), offset: 0 };
        chains.take(place, Found { hash: Some(hash.as_bytes()), body: Some(body) }, false);
    }
    chains.take(Place { partition: partition(), offset: 1 }, Found { hash: None, body: Some(b"x") }, false);
    let wrong: Vec<Wrong> = chains.finish().first.into_iter().map(|fault| fault.wrong).collect();
    assert_eq!(wrong, [Wrong::Elsewhere { writer: "w0".to_owned(), other: partition() }, Wrong::Unreadable]);
}

#[test]
fn the_bytes_of_a_record_never_change() {
    let ((body, hash), _) = record(&key(), "w", 0, Hash::NONE);
    insta::assert_snapshot!(hash, @"f5eb1f038da4e8084b6b10bd455a5531a996ee18ff6aec56fdbbc076ffd91f04");
    assert_eq!(body.len(), 58);
}
