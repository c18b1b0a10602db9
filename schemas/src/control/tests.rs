//! Control records: round trips, garbage, keys, and the bytes of a foreign implementation both ways.

use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::foreign;

fn partition() -> impl Strategy<Value = TopicPartition> {
    ("[a-z.-]{1,12}", 0..(1_u32 << 31)).prop_map(|(topic, partition)| TopicPartition::new(topic, partition))
}

fn number() -> impl Strategy<Value = u64> {
    0..(1_u64 << 63)
}

fn any_control() -> impl Strategy<Value = Control> {
    prop_oneof![
        vec((partition(), number()), 0..5).prop_map(|epochs| Control::Claim(Claim { epochs })),
        (partition(), number(), number(), number()).prop_map(|(partition, from, to, epoch)| Control::Lost(Lost {
            partition,
            from,
            to,
            epoch
        })),
        (0..(1_u32 << 31), vec((partition(), number()), 0..5))
            .prop_map(|(generation, epochs)| Control::Moved(Moved { generation, epochs })),
    ]
}

fn any_entry() -> impl Strategy<Value = ClaimEntry> {
    (partition(), number(), any::<bool>(), vec(number(), 0..40)).prop_map(|(partition, epoch, written, offsets)| {
        let places = if written { ClaimPlaces::Written(offsets) } else { ClaimPlaces::Intent(offsets) };
        ClaimEntry { partition, epoch, places }
    })
}

fn schema_of(control: &Control) -> Schema {
    let text = match control {
        Control::Claim(_) => CLAIM_SCHEMA,
        Control::Lost(_) => LOST_SCHEMA,
        Control::Moved(_) => MOVED_SCHEMA,
    };
    Schema::parse_str(text).unwrap()
}

fn record(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn long(number: u64) -> Value {
    Value::Long(number.try_into().unwrap())
}

fn int(number: u32) -> Value {
    Value::Int(number.try_into().unwrap())
}

fn place(partition: &TopicPartition) -> Vec<(&'static str, Value)> {
    vec![("topic", Value::String(partition.topic.to_string())), ("partition", int(partition.partition))]
}

/// The same record, as the foreign implementation holds it.
fn in_foreign_hands(control: &Control) -> Value {
    let claimed = |(partition, epoch): &(TopicPartition, u64)| {
        record(place(partition).into_iter().chain([("epoch", long(*epoch))]).collect())
    };
    let version = vec![("version", Value::Int(1))];
    record(match control {
        Control::Claim(claim) => {
            [version, vec![("epochs", Value::Array(claim.epochs.iter().map(claimed).collect()))]].concat()
        }
        Control::Lost(lost) => {
            let numbers = vec![("from", long(lost.from)), ("to", long(lost.to)), ("epoch", long(lost.epoch))];
            [version, place(&lost.partition), numbers].concat()
        }
        Control::Moved(moved) => {
            let epochs = Value::Array(moved.epochs.iter().map(claimed).collect());
            [version, vec![("generation", int(moved.generation)), ("epochs", epochs)]].concat()
        }
    })
}

fn foreign_entry(entry: &ClaimEntry) -> Value {
    let (index, state, offsets) = match &entry.places {
        ClaimPlaces::Intent(offsets) => (0, "intent", offsets),
        ClaimPlaces::Written(offsets) => (1, "written", offsets),
    };
    let rest = vec![
        ("epoch", long(entry.epoch)),
        ("state", Value::Enum(index, state.to_owned())),
        ("offsets", Value::Array(offsets.iter().copied().map(long).collect())),
    ];
    record([vec![("version", Value::Int(1))], place(&entry.partition), rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_control_record_comes_back_also_from_a_newer_writer(control in any_control(), more: Vec<u8>) {
        let body = [control.encode(), more].concat();
        prop_assert_eq!(Control::decode(control.header().as_bytes(), &body), Ok(control));
    }

    #[test]
    fn a_foreign_implementation_reads_and_writes_control_records(control in any_control()) {
        let schema = schema_of(&control);
        prop_assert_eq!(foreign::read(&schema, &control.encode()).unwrap(), in_foreign_hands(&control));
        let theirs = foreign::write(&schema, in_foreign_hands(&control)).unwrap();
        prop_assert_eq!(Control::decode(control.header().as_bytes(), &theirs), Ok(control));
    }

    #[test]
    fn a_claim_entry_comes_back_with_its_key(entry in any_entry(), more: Vec<u8>) {
        let body = [entry.encode(), more].concat();
        prop_assert_eq!(ClaimEntry::parse_key(&entry.key()), Ok((entry.partition.clone(), entry.epoch)));
        prop_assert_eq!(ClaimEntry::decode(&body), Ok(entry));
    }

    #[test]
    fn a_foreign_implementation_reads_and_writes_claim_entries(entry in any_entry()) {
        let schema = Schema::parse_str(CLAIM_ENTRY_SCHEMA).unwrap();
        prop_assert_eq!(foreign::read(&schema, &entry.encode()).unwrap(), foreign_entry(&entry));
        let theirs = foreign::write(&schema, foreign_entry(&entry)).unwrap();
        prop_assert_eq!(ClaimEntry::decode(&theirs), Ok(entry));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(word in "claim|lost|moved|other", garbage: Vec<u8>) {
        let _ = Control::decode(word.as_bytes(), &garbage);
        let _ = ClaimEntry::decode(&garbage);
        let _ = ClaimEntry::parse_key(&garbage);
    }

    #[test]
    fn a_cut_record_is_refused(control in any_control(), at: prop::sample::Index) {
        let body = control.encode();
        prop_assert!(Control::decode(control.header().as_bytes(), &body[..at.index(body.len())]).is_err());
    }
}

#[test]
fn a_version_that_is_not_known_is_refused() {
    let mut body = Control::Moved(Moved { generation: 2, epochs: vec![] }).encode();
    body[0] = 4; // version 2
    assert_eq!(Control::decode(b"moved", &body).unwrap_err().detail, "version 2 is not known");
}

#[test]
fn another_key_is_refused() {
    for key in
        ["", "catalogue/00ff00ff00ff00ff", "t/1", "t/-1/2", "t/1/x", "t/01/2", "t/1/+2", "t/1/18446744073709551616"]
    {
        assert!(ClaimEntry::parse_key(key.as_bytes()).is_err(), "{key}");
    }
}
