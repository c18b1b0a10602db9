//! Positions and their text: round trip, size, damage, newer versions, and every way to be malformed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn partition(lane: Lane, partition: u32) -> DeliveryPartition {
    DeliveryPartition { lane, partition }
}

fn position(next: Vec<(DeliveryPartition, u64)>) -> Position {
    Position { log: LogHash(0xdead_beef), time: Timestamp::from_millis(1_795_177_612_345), generation: 1, next }
}

fn any_position() -> impl Strategy<Value = Position> {
    let key = (proptest::sample::select(&Lane::ALL[..]), any::<u32>()).prop_map(|(lane, n)| partition(lane, n));
    let entries = proptest::collection::btree_map(key, 0..(1_u64 << 63), 0..30);
    (any::<u32>(), any::<i64>(), any::<u32>(), entries).prop_map(
        |(log, time, generation, next): (u32, i64, u32, BTreeMap<DeliveryPartition, u64>)| Position {
            log: LogHash(log),
            time: Timestamp::from_millis(time),
            generation,
            next: next.into_iter().collect(),
        },
    )
}

/// A text with a right checksum around any body.
fn signed(version: u8, body: &[u8]) -> String {
    let bytes = [body, &crc16(version, body).to_be_bytes()].concat();
    format!("{}{}", char::from(version), URL_SAFE_NO_PAD.encode(bytes))
}

/// The bytes before the entries, of generation 1.
fn head() -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    put_long(0, &mut body);
    put_varint(1, &mut body);
    body
}

fn with_entries(numbers: &[u64]) -> String {
    let mut body = head();
    numbers.iter().for_each(|number| put_varint(*number, &mut body));
    signed(VERSION, &body)
}

proptest! {
    #[test]
    fn a_position_comes_back_from_its_text(position in any_position()) {
        let text = position.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        if text.len() <= limits::POSITION_TEXT_BYTES {
            prop_assert_eq!(Position::parse(&text), Ok(Presented::Position(position)));
        } else {
            prop_assert_eq!(Position::parse(&text), Err(PositionError::TooLong));
        }
    }

    #[test]
    fn a_changed_character_is_found(position in any_position(), at: prop::sample::Index, other in "[A-Za-z0-9_-]") {
        let text = position.to_string();
        prop_assume!(text.len() <= limits::POSITION_TEXT_BYTES);
        let at = at.index(text.len());
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        prop_assume!(changed != text);
        prop_assert_eq!(Position::parse(&changed), Err(PositionError::Malformed));
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = Position::parse(&text);
    }

    #[test]
    fn what_is_taken_has_exactly_its_text(body: Vec<u8>) {
        let text = signed(VERSION, &[head(), body].concat());
        if let Ok(Presented::Position(position)) = Position::parse(&text) {
            prop_assert_eq!(position.to_string(), text);
        }
    }

    #[test]
    fn a_newer_version_tells_its_log_and_time(digit in b'2'..=b'9', log: u32, time: i64, rest: Vec<u8>) {
        let mut body = log.to_be_bytes().to_vec();
        put_long(time, &mut body);
        let text = signed(digit, &[body, rest].concat());
        let newer = Presented::Newer { log: LogHash(log), time: Timestamp::from_millis(time) };
        prop_assert_eq!(Position::parse(&text), Ok(newer));
    }
}

#[test]
fn the_text_of_version_1_never_changes() {
    let entries =
        vec![(partition(Lane::High, 0), 7), (partition(Lane::High, 11), 300), (partition(Lane::Low, 2), 1 << 40)];
    insta::assert_snapshot!(position(entries).to_string(), @"13q2-7_KQ5I6_aAEAByysAgqAgICAgCCnMQ");
    insta::assert_snapshot!(position(Vec::new()).to_string(), @"13q2-7_KQ5I6_aAHdoQ");
}

#[test]
fn the_checksum_is_the_one_of_the_catalogue_of_crcs() {
    assert_eq!(crc16(b'1', b"23456789"), 0x29b1);
}

#[test]
fn eight_channels_in_three_lanes_fit_in_512_bytes_whatever_their_offsets_and_all_partitions_in_the_limit() {
    let entries =
        |per_lane: u32, offset: u64| DeliveryPartition::all(per_lane).map(|p| (p, offset)).collect::<Vec<_>>();
    // Eight channels stand in eight partitions of each lane at most, at worst in those with the highest numbers.
    let eight =
        entries(20, i64::MAX.cast_unsigned()).into_iter().filter(|(p, _)| p.partition >= 12).collect::<Vec<_>>();
    assert_eq!(eight.len(), 24);
    let (log, time) = (LogHash(u32::MAX), Timestamp::from_millis(i64::MIN));
    let worst = Position { log, time, generation: u32::MAX, next: eight }.to_string();
    assert!(worst.len() <= 512, "{}", worst.len());
    let largest = position(entries(20, i64::MAX.cast_unsigned()));
    let text = largest.to_string();
    assert_eq!(largest.next.len(), limits::DELIVERY_PARTITIONS);
    assert_eq!(Position::parse(&text), Ok(Presented::Position(largest)));
    // While a stream reads two generations.
    let eight = entries(40, (1 << 35) - 1).into_iter().filter(|(p, _)| p.partition % 20 >= 12).collect::<Vec<_>>();
    let (both, all) = (position(eight).to_string(), position(entries(40, (1 << 28) - 1)).to_string());
    assert!(both.len() <= 512 && all.len() <= limits::POSITION_TEXT_BYTES, "{} {}", both.len(), all.len());
    assert!(Position::parse(&all).is_ok());
}

#[test]
fn one_partition_more_than_the_limit_is_malformed() {
    let entries = |count: u64| with_entries(&(0..count).flat_map(|n| [n * 4, 1]).collect::<Vec<_>>());
    let limit = u64::try_from(limits::DELIVERY_PARTITIONS_ALL).unwrap();
    assert!(Position::parse(&entries(limit)).is_ok());
    assert_eq!(Position::parse(&entries(limit + 1)), Err(PositionError::Malformed));
}

#[test]
fn a_text_over_the_limit_is_too_long() {
    let fits = "1".repeat(limits::POSITION_TEXT_BYTES);
    assert_eq!(Position::parse(&fits), Err(PositionError::Malformed));
    assert_eq!(Position::parse(&format!("{fits}1")), Err(PositionError::TooLong));
}

#[test]
fn each_malformed_text_is_refused() {
    let lane_that_is_none = with_entries(&[3, 1]);
    let beyond = with_entries(&[0, 1 << 63]);
    let huge_partition = with_entries(&[1 << 40, 1]);
    let repeated = with_entries(&[4, 1, 4, 2]);
    let unsorted = with_entries(&[4, 1, 0, 1]);
    let low_before_high = with_entries(&[2, 1, 4, 1]);
    let half = with_entries(&[4]);
    let overlong = signed(VERSION, &[head(), vec![0x80, 0x00, 1]].concat());
    let no_generation = signed(VERSION, &head()[..5]);
    let no_digit = signed(b'0', &head());
    let a_letter = signed(b'a', &head());
    let cases = [lane_that_is_none, beyond, huge_partition, repeated, unsorted, low_before_high, half, overlong];
    let texts = ["", "1", "12345", "-1", "earliest", "0:17", "99999999999999999999", "é", "1é", "1 "];
    let more = [no_generation, no_digit, a_letter];
    for text in cases.iter().chain(&more).map(String::as_str).chain(texts) {
        assert_eq!(Position::parse(text), Err(PositionError::Malformed), "{text:?}");
    }
    assert!(Position::parse(&with_entries(&[4, 1, 2, 1])).is_ok());
}

#[test]
fn a_partition_without_an_entry_has_none() {
    let position = position(vec![(partition(Lane::High, 1), 5), (partition(Lane::Low, 0), 6)]);
    assert_eq!(position.get(partition(Lane::High, 1)), Some(5));
    assert_eq!(position.get(partition(Lane::Low, 0)), Some(6));
    assert_eq!(position.get(partition(Lane::Medium, 0)), None);
}
