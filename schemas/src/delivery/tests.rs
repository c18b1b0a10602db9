//! The delivery codec: round trips, garbage, and the bytes of a foreign implementation both ways.

use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::foreign;

/// One delivery with two views.
pub(crate) fn delivery() -> Delivery {
    let place = Label::parse("place").unwrap();
    let view = |labels, data: &'static str| View { labels, data: Bytes::from_static(data.as_bytes()) };
    Delivery {
        id: EventId::parse("1").unwrap(),
        event_type: EventType::parse("wiki.edit").unwrap(),
        source: Source::parse("/bot").unwrap(),
        channel: Channel::parse("wiki:en").unwrap(),
        tenant: Tenant::default_tenant(),
        time: Timestamp::from_millis(1_442_018_818_771),
        accepted_time: Timestamp::from_millis(1_442_018_818_800),
        lane: Lane::Medium,
        origin: Origin { partition: TopicPartition::new("events.wiki", 3), offset: 1 << 40, index: 2 },
        epoch: 7,
        required_labels: Vec::new(),
        regions: Vec::new(),
        only_users: Vec::new(),
        except_author: None,
        expires: None,
        conflation_key: None,
        principal: None,
        views: vec![view(Vec::new(), r#"{"page":"Ada"}"#), view(vec![place], r#"{"page":"Ada","cityName":"Turin"}"#)],
        author: None,
    }
}

/// Any delivery at all; its payloads are any bytes.
pub(crate) fn any_delivery() -> impl Strategy<Value = Delivery> {
    let text = || "[^\\p{Cc}]{1,12}";
    let labels = || vec("[a-z]{1,6}".prop_map(|label| Label::parse(&label).unwrap()), 0..3);
    let names = (text(), "[^\\p{Cc}\\s]{1,12}", text(), "[a-z]{1,4}:[a-z0-9]{1,9}", "[a-z]{1,9}");
    let times = (any::<i64>(), any::<i64>(), option::of(any::<i64>()));
    let number = || 0..(1_u64 << 63);
    let origin = ("[a-z.]{1,12}", 0..(1_u32 << 31), number(), 0..(1_u32 << 31), number());
    let lists = (labels(), vec(text(), 0..3), vec(text(), 0..3));
    let optional = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let views = vec((labels(), vec(any::<u8>(), 0..40)), 1..4);
    let lane = proptest::sample::select(&Lane::ALL[..]);
    (names, times, lane, origin, lists, optional, views).prop_map(
        |(names, times, lane, origin, lists, optional, views)| Delivery {
            id: EventId::parse(&names.0).unwrap(),
            event_type: EventType::parse(&names.1).unwrap(),
            source: Source::parse(&names.2).unwrap(),
            channel: Channel::parse(&names.3).unwrap(),
            tenant: Tenant::parse(&names.4).unwrap(),
            time: Timestamp::from_millis(times.0),
            accepted_time: Timestamp::from_millis(times.1),
            lane,
            origin: Origin { partition: TopicPartition::new(origin.0, origin.1), offset: origin.2, index: origin.3 },
            epoch: origin.4,
            required_labels: lists.0,
            regions: lists.1,
            only_users: lists.2,
            except_author: optional.0,
            expires: times.2.map(Timestamp::from_millis),
            conflation_key: optional.1,
            principal: optional.2,
            views: views.into_iter().map(|(labels, data)| View { labels, data: data.into() }).collect(),
            author: optional.3,
        },
    )
}

fn encoded(delivery: &Delivery) -> Bytes {
    let mut out = Vec::new();
    delivery.encode(&mut out);
    out.into()
}

/// What a writer of the first version writes: all before `author`.
fn first_version(delivery: &Delivery) -> Bytes {
    let body = encoded(&Delivery { author: None, ..delivery.clone() });
    body.slice(..body.len() - 1)
}

/// The same record, as the foreign implementation holds it.
fn in_foreign_hands(delivery: &Delivery) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let long = |number: u64| Value::Long(number.try_into().unwrap());
    let int = |number: u32| Value::Int(number.try_into().unwrap());
    let labels = |labels: &[Label]| Value::Array(labels.iter().map(|label| text(label.as_str())).collect());
    let texts = |texts: &[String]| Value::Array(texts.iter().map(|item| text(item)).collect());
    let optional = |value: Option<Value>| match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(value)),
    };
    let time = |time: Timestamp| Value::TimestampMillis(time.millis());
    let origin = &delivery.origin;
    let view = |view: &View| record(vec![("labels", labels(&view.labels)), ("data", Value::Bytes(view.data.to_vec()))]);
    record(vec![
        ("id", text(delivery.id.as_str())),
        ("type", text(delivery.event_type.as_str())),
        ("source", text(delivery.source.as_str())),
        ("channel", text(delivery.channel.as_str())),
        ("tenant", text(delivery.tenant.as_str())),
        ("time", time(delivery.time)),
        ("accepted_time", time(delivery.accepted_time)),
        ("lane", Value::Enum(u32::try_from(delivery.lane.index()).unwrap(), delivery.lane.to_string())),
        (
            "origin",
            record(vec![
                ("topic", text(&origin.partition.topic)),
                ("partition", int(origin.partition.partition)),
                ("offset", long(origin.offset)),
                ("index", int(origin.index)),
            ]),
        ),
        ("epoch", long(delivery.epoch)),
        ("required_labels", labels(&delivery.required_labels)),
        ("regions", texts(&delivery.regions)),
        ("only_users", texts(&delivery.only_users)),
        ("except_author", optional(delivery.except_author.as_deref().map(text))),
        ("expires", optional(delivery.expires.map(time))),
        ("conflation_key", optional(delivery.conflation_key.as_deref().map(text))),
        ("principal", optional(delivery.principal.as_deref().map(text))),
        ("views", Value::Array(delivery.views.iter().map(view).collect())),
        ("author", optional(delivery.author.as_deref().map(text))),
    ])
}

fn record(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encoded_comes_back(delivery in any_delivery()) {
        prop_assert_eq!(Delivery::decode(&encoded(&delivery)), Ok(delivery));
    }

    #[test]
    fn a_foreign_implementation_reads_and_writes_the_same_bytes(delivery in any_delivery()) {
        let schema = Schema::parse_str(DELIVERY_SCHEMA).unwrap();
        let body = encoded(&delivery);
        prop_assert_eq!(foreign::read(&schema, &body).unwrap(), in_foreign_hands(&delivery));
        let theirs = foreign::write(&schema, in_foreign_hands(&delivery)).unwrap();
        prop_assert_eq!(Delivery::decode(&theirs.into()), Ok(delivery));
    }

    #[test]
    fn a_newer_writers_fields_are_ignored(delivery in any_delivery(), more: Vec<u8>) {
        let body = [&encoded(&delivery)[..], &more].concat();
        prop_assert_eq!(Delivery::decode(&body.into()), Ok(delivery));
    }

    #[test]
    fn a_cut_body_is_refused_but_for_one_of_an_older_writer(delivery in any_delivery(), at: prop::sample::Index) {
        let body = encoded(&delivery);
        let (at, first) = (at.index(body.len()), first_version(&delivery).len());
        prop_assert!(at == first || Delivery::decode(&body.slice(..at)).is_err());
        prop_assert_eq!(Delivery::decode(&body.slice(..first)), Ok(Delivery { author: None, ..delivery }));
    }

    #[test]
    fn damaged_bytes_never_panic(delivery in any_delivery(), at: prop::sample::Index, byte: u8, garbage: Vec<u8>) {
        let mut body = encoded(&delivery).to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = Delivery::decode(&body.into());
        let _ = Delivery::decode(&garbage.into());
    }
}

#[test]
fn payloads_share_the_bodys_memory() {
    let body = encoded(&delivery());
    let decoded = Delivery::decode(&body).unwrap();
    let within = body.as_ptr_range();
    assert!(decoded.views.iter().all(|view| within.contains(&view.data.as_ptr())));
}

#[test]
fn a_huge_count_is_refused_without_allocating() {
    let mut body = first_version(&Delivery { views: Vec::new(), ..delivery() }).to_vec();
    assert_eq!(Delivery::decode(&body.clone().into()).unwrap_err().detail, "it has no view");
    body.pop();
    put_long(i64::MAX, &mut body);
    assert!(Delivery::decode(&body.clone().into()).is_err());
    body.truncate(body.len() - 10);
    put_long(i64::MIN, &mut body);
    assert!(Delivery::decode(&body.into()).is_err());
}

#[test]
fn a_reader_gets_the_largest_view_that_their_labels_allow() {
    let labels = |names: &[&str]| names.iter().map(|name| Label::parse(name).unwrap()).collect();
    let delivery = delivery();
    assert_eq!(delivery.view_for(&labels(&[])), Some(0));
    assert_eq!(delivery.view_for(&labels(&["place", "other"])), Some(1));
    let secret = Delivery { views: delivery.views[1..].to_vec(), ..delivery };
    assert_eq!(secret.view_for(&labels(&["other"])), None);
}
