//! Filters: what a client may ask, what is refused in words, and that nothing but the reader's view is ever looked at.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use bytes::Bytes;
use folder::{attributes, bearer, load};
use policy::filter::{FILTER_BYTES, FILTER_LIST};
use policy::{Came, Catalogues, Filter, Reader, Routing, Sight};
use schemas::delivery::{Delivery, Origin, View};
use schemas::id::Label;
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use serde_json::{Value, json};

fn delivery(views: Vec<(&[&str], Value)>) -> Delivery {
    let view = |(labels, data): (&[&str], Value)| View {
        labels: labels.iter().map(|label| Label::parse(label).unwrap()).collect(),
        data: Bytes::from(data.to_string()),
    };
    let routing = Routing {
        lane: Lane::High,
        required_labels: Vec::new(),
        regions: Vec::new(),
        only_users: Vec::new(),
        except_author: None,
        expires: None,
        conflation_key: None,
        author: None,
        views: views.into_iter().map(view).collect(),
    };
    let origin = Origin { partition: TopicPartition::new("events.shop", 0), offset: 0, index: 0 };
    let time = Timestamp::from_millis(1_442_016_000_000);
    routing.deliver(&attributes("shop.order", "shop:12/orders"), Came { time, accepted_time: time, origin })
}

fn reader(labels: &[&str], filter: &str) -> Reader {
    let claims = bearer(&[], labels);
    Reader::new(&claims, claims.labels.clone()).filtered(Some(Filter::compile(filter).unwrap()))
}

#[test]
fn a_filter_is_asked_about_the_event_as_its_client_gets_it() {
    let whole = delivery(vec![(
        &[],
        json!({"page": "Ada", "n": 41, "tags": ["a", "b"], "at": "2015-09-12T00:46:58.771Z", "nothing": null, "inner": {"x": 1.5}}),
    )]);
    for filter in [
        "data.page == 'Ada' && data.n + 1 == 42",
        "data.page.startsWith('A') && data.page.lowerAscii().contains('da') && size(data.tags) == 2",
        "'a' in data.tags && !('c' in data.tags) && data.tags[1] == 'b'",
        "data.n in [1, 41] && data.inner.x > 1.0 && data.nothing == null",
        "timestamp(data.at) < timestamp('2016-01-01T00:00:00Z') && timestamp(data.at).getFullYear() == 2015",
        "event.type == 'shop.order' && event.lane == 'high' && event.subject == 'shop:12/orders' && event.id == '1'",
        "event.time < timestamp('2015-09-13T00:00:00Z') && event.source == '/test' && event.tenant == 'default'",
        "channel.kind == 'shop' && channel.parts[1] == 'orders'",
        "'page' in data && !('city' in data)",
        "data.n > 50 ? false : true",
    ] {
        assert_eq!(
            reader(&[], filter).sees(&whole, Timestamp::default(), Timestamp::default()),
            Sight::View(0),
            "{filter}"
        );
    }
    for filter in [
        "data.page == 'Ben'",
        "data.city == 'Turin'",
        "data.page",
        "data.page > 3",
        "1 / 0 == 1",
        "data.tags[9] == ''",
        "false",
    ] {
        assert_eq!(
            reader(&[], filter).sees(&whole, Timestamp::default(), Timestamp::default()),
            Sight::Filtered,
            "{filter}"
        );
    }
}

#[test]
fn what_is_withheld_cannot_be_asked_for() {
    let event = delivery(vec![(&[], json!({"page": "Ada"})), (&["place"], json!({"page": "Ada", "city": "Turin"}))]);
    for guess in
        ["data.city == 'Turin'", "data.city != 'Turin'", "'city' in data", "size(data) == 2", "data['city'] == 'Turin'"]
    {
        let without = reader(&[], guess).sees(&event, Timestamp::default(), Timestamp::default());
        assert_eq!(without, Sight::Filtered, "{guess}");
    }
    assert_eq!(
        reader(&["place"], "data.city == 'Turin'").sees(&event, Timestamp::default(), Timestamp::default()),
        Sight::View(1)
    );
    assert_eq!(
        reader(&[], "!('city' in data)").sees(&event, Timestamp::default(), Timestamp::default()),
        Sight::View(0)
    );
}

#[test]
fn what_is_no_filter_is_refused_in_words() {
    let refused = |text: &str| Filter::compile(text).err().map(|error| error.to_string()).unwrap_or_default();
    insta::assert_snapshot!([
        "data.a ==",
        "payload.a == 1",
        "event.author == 'ada'",
        "lower(data.a)",
        "data.a.exists(x, x == 1)",
        "data.a.map(x, x) == []",
        "has(data.a)",
        "data.a.matches('a*')",
        "data.a.replace('a', data.a) == ''",
        "data.a.split('') == []",
        "hash([data.a]) == ''",
        "'yes'",
        "data.a ? true : 1",
        "x",
    ].map(refused).join("\n"), @r#"
    not CEL: Syntax error: mismatched input '<EOF>' (column 10)
    unknown variable `payload`; a rule here reads channel, data, event
    `event` has no field `author`; it has id, lane, source, subject, tenant, time, type
    unknown function `lower`
    no macros (all, exists, filter, map and the like)
    no macros (all, exists, filter, map and the like)
    no macros: write `'a' in …` for has()
    `matches` is not for filters
    `replace` is not for filters
    `split` is not for filters
    `hash` is not for filters
    a filter is true or false
    a filter is true or false
    unknown variable `x`; a rule here reads channel, data, event
    "#);
    let list = |items: usize| format!("data.a in [{}]", vec!["1"; items].join(","));
    assert!(Filter::compile(&list(FILTER_LIST)).is_ok());
    assert_eq!(refused(&list(FILTER_LIST + 1)), "a list has 33 items, more than 32");
    let long = format!("data.a == '{}'", "x".repeat(FILTER_BYTES - 12));
    assert!(Filter::compile(&long).is_ok());
    assert_eq!(refused(&format!("{long} ")), "it has 1025 bytes, more than 1024");
}

#[test]
fn two_filters_of_one_text_are_one() {
    let filter = |text: &str| Filter::compile(text).unwrap();
    assert_eq!(filter("data.a == 1"), filter("data.a == 1"));
    assert_ne!(filter("data.a == 1"), filter("data.a == 2"));
    assert_eq!(filter("data.a == 1").text(), "data.a == 1");
}

#[test]
fn a_masked_field_is_asked_about_as_it_is_shown() {
    let schema = r#"{"type": "record", "name": "shop.Order", "fields": [
        {"name": "card", "type": "string", "labels": ["staff"], "mask": "last_four"}]}"#;
    let catalogue = "name: shop\nchannels: {shop: {subscribe: 'true'}}\nroles: {clerk: [staff]}\ntypes: {shop.order: {schema: o.avsc, channel: shop}}\n";
    let catalogues: Catalogues = load(&[("catalogue.yaml", catalogue), ("o.avsc", schema)]).unwrap();
    let event = attributes("shop.order", "shop:1");
    let policy = catalogues.place(&event).unwrap();
    let payload = policy.schema().from_json(&json!({"card": "4111111111111234"})).unwrap();
    let routing = policy.route(&event, &event.channel, Timestamp::default(), &payload).unwrap();
    let origin = Origin { partition: TopicPartition::new("events.shop", 0), offset: 0, index: 0 };
    let came = Came { time: Timestamp::default(), accepted_time: Timestamp::default(), origin };
    let delivery = routing.deliver(&event, came);
    let sees = |labels: &[&str], filter: &str| {
        reader(labels, filter).sees(&delivery, Timestamp::default(), Timestamp::default())
    };
    assert_eq!(sees(&[], "data.card == '****1234'"), Sight::View(0));
    assert_eq!(sees(&[], "data.card.startsWith('4111')"), Sight::Filtered);
    assert_eq!(sees(&["staff"], "data.card.startsWith('4111')"), Sight::View(1));
}
