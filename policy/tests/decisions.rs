//! Rules decide, and where they cannot they refuse: nothing is ever guessed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::time::Duration;

use folder::{attributes, bearer, load};
use policy::{Catalogues, ChannelGrants, Claims, Refusal, RouteError, Routing};
use schemas::channel::{Channel, ChannelPattern};
use schemas::event::Attributes;
use schemas::id::{EventId, Label};
use schemas::lane::Lane;
use schemas::limits;
use schemas::time::Timestamp;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn channels(subscribe: &str) -> Catalogues {
    let text = format!("name: shop\nchannels:\n  shop:\n    subscribe: {}\n", json!(subscribe));
    load(&[("catalogue.yaml", &text)]).unwrap()
}

fn subscribe(rule: &str, claims: &Claims, pattern: &str) -> bool {
    channels(rule).may_subscribe(claims, &ChannelPattern::parse(pattern).unwrap()).is_ok()
}

#[test]
fn a_channel_rule_sees_claims_and_channel() {
    let ada = Claims { tenant: schemas::id::Tenant::parse("acme").unwrap(), ..bearer(&["clerk"], &["vip"]) };
    for rule in [
        "true",
        " true ",
        "claims.sub == 'ada' && claims.tenant == 'acme'",
        "'clerk' in claims.roles && 'vip' in claims.labels",
        "channel.kind == 'shop' && channel.id == '12/orders' && channel.parts == ['12', 'orders']",
        "channel.parts[1].startsWith('ord') && int(channel.parts[0]) + 1 == 13",
        "claims.channels.subscribe == null",
        "claims.roles.exists(role, role == 'clerk')",
    ] {
        assert!(subscribe(rule, &ada, "shop:12/orders"), "{rule}");
    }
    assert!(subscribe("channel.id == '*' && channel.parts == ['*']", &ada, "shop:*"));
    assert!(!subscribe("channel.id == claims.sub", &ada, "shop:*"), "all channels are nobody's own");
    assert!(subscribe("channel.id == claims.sub", &ada, "shop:ada"));
}

#[test]
fn a_channel_rule_that_fails_or_says_anything_but_true_forbids() {
    let anonymous = Claims::anonymous();
    for rule in [
        "false",
        "claims.sub.startsWith('a')",
        "claims.sub",
        "claims.roles",
        "claims.roles[0] == ''",
        "channel.parts[1] != 'orders'",
        "int(channel.id) > 0",
        "timestamp(channel.id) > timestamp('2015-09-12T00:00:00Z')",
        "1 / size(claims.roles) >= 0",
        "size(claims.roles)",
        "claims.channels.subscribe.size() >= 0",
        "channel.kind.matches('(')",
        "dyn(channel.kind).nothing == 1",
    ] {
        assert!(!subscribe(rule, &anonymous, "shop:x"), "{rule}");
    }
    let silent = load(&[("catalogue.yaml", "name: shop\nchannels: {shop: {}}\n")]).unwrap();
    assert_eq!(silent.may_subscribe(&anonymous, &ChannelPattern::parse("shop:x").unwrap()), Err(Refusal::Forbidden));
    assert_eq!(silent.may_publish(&anonymous, &Channel::parse("shop:x").unwrap()), Err(Refusal::Forbidden));
}

#[test]
fn a_token_narrows_what_the_catalogue_allows_and_widens_nothing() {
    let narrowed = |patterns: &[&str]| Claims {
        channels: ChannelGrants { subscribe: Some(patterns.iter().map(|p| (*p).to_owned()).collect()), publish: None },
        ..bearer(&[], &[])
    };
    assert!(subscribe("true", &narrowed(&["shop:1"]), "shop:1"));
    assert!(!subscribe("true", &narrowed(&["shop:1"]), "shop:2"));
    assert!(!subscribe("true", &narrowed(&["shop:1"]), "shop:*"));
    assert!(!subscribe("true", &narrowed(&[]), "shop:1"));
    assert!(!subscribe("false", &narrowed(&["*"]), "shop:1"));
    assert!(subscribe(
        "channel.id in ['1'] && 'shop:1' in claims.channels.subscribe",
        &narrowed(&["shop:1"]),
        "shop:1"
    ));
}

const ORDER: &str = r#"{"type": "record", "name": "shop.Order", "fields": [
  {"name": "total", "type": ["null", "long"], "default": null},
  {"name": "note", "type": "string", "default": ""},
  {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null},
  {"name": "tags", "type": {"type": "map", "values": "int"}, "default": {}}
]}"#;

/// A catalogue of one type with these entries.
fn orders(entries: &str) -> Catalogues {
    let text = format!(
        "name: shop\nchannels: {{shop: {{subscribe: 'true'}}}}\nroles: {{boss: [boss, audit]}}\ntypes:\n  shop.order:\n    schema: order.avsc\n    channel: shop\n    requires: [boss, audit]\n{entries}"
    );
    load(&[("catalogue.yaml", &text), ("order.avsc", ORDER)]).unwrap()
}

fn route_as(catalogues: &Catalogues, attributes: &Attributes, data: &Value) -> Result<Routing, RouteError> {
    let policy = catalogues.event_type(&attributes.event_type).unwrap();
    let payload = policy.schema().from_json(data).unwrap();
    policy.route(attributes, &attributes.channel, attributes.time.unwrap_or(NOW), &payload)
}

fn route(entries: &str, data: &Value) -> Result<Routing, RouteError> {
    route_as(&orders(entries), &attributes("shop.order", "shop:1"), data)
}

#[test]
fn a_lane_comes_from_the_catalogue_else_from_the_producer() {
    let wish = Attributes { priority: Some(Lane::High), ..attributes("shop.order", "shop:1") };
    let lane =
        |entries: &str, attributes: &Attributes| route_as(&orders(entries), attributes, &json!({})).unwrap().lane;
    assert_eq!(lane("", &attributes("shop.order", "shop:1")), Lane::Medium);
    assert_eq!(lane("", &wish), Lane::High);
    assert_eq!(lane("    lane: low\n", &wish), Lane::Low);
    assert_eq!(lane("    lane: \"'low'\"\n", &wish), Lane::Low);
    assert_eq!(lane("    lane: \"event.priority == null ? 'low' : event.priority\"\n", &wish), Lane::High);
}

#[test]
fn a_rule_sees_payload_event_and_channel() {
    let data = json!({"total": 41, "note": "n", "at": "2015-09-12T00:46:58.771Z", "tags": {"a": 2}});
    for rule in [
        "payload.total + 1 == 42",
        "payload.note == 'n' && payload.tags.a == 2 && size(payload.tags) == 1",
        "payload.at < event.time && payload.at.getFullYear() == 2015",
        "event.id == '1' && event.type == 'shop.order' && event.source == '/test' && event.subject == 'shop:1'",
        "event.tenant == 'default' && event.priority == null && event.author == null",
        "channel.kind == 'shop' && channel.parts[0] == '1'",
        "size(payload) == 4",
    ] {
        let entries = format!("    lane: {}\n", json!(format!("{rule} ? 'high' : 'low'")));
        assert_eq!(route(&entries, &data).unwrap().lane, Lane::High, "{rule}");
    }
}

#[test]
fn an_event_rule_that_fails_refuses_the_event_and_says_no_value() {
    for (entry, rule) in [
        ("lane: \"payload.total > 1 ? 'high' : 'low'\"", "lane"),
        ("lane: \"payload.note\"", "lane"),
        ("lane: \"payload.note + ''\"", "lane"),
        ("lane: \"payload.total\"", "lane"),
        ("lane: \"payload.tags.secret > 0 ? 'high' : 'low'\"", "lane"),
        ("lane: \"int(payload.note) > 0 ? 'high' : 'low'\"", "lane"),
        ("conflate: \"payload.tags\"", "conflate"),
        ("conflate: \"payload.note * 2\"", "conflate"),
        ("conflate: \"payload.note + payload.note\"", "conflate"),
    ] {
        let long = "secret".repeat(limits::ATTRIBUTE_BYTES / 6);
        match route(&format!("    {entry}\n"), &json!({"note": long})) {
            Err(RouteError::Rule { rule: failed, detail }) => {
                assert_eq!(failed, rule, "{entry}");
                assert!(!detail.contains("secret"), "{entry}: {detail}");
            }
            other => panic!("{entry}: {other:?}"),
        }
    }
}

#[test]
fn required_labels_expiry_and_conflation_are_data_on_the_event() {
    let routing = route("    expires: 10s\n    conflate: \"payload.note\"\n", &json!({"note": "key"})).unwrap();
    assert_eq!(routing.required_labels, [Label::parse("audit").unwrap(), Label::parse("boss").unwrap()]);
    assert_eq!(routing.expires, Some(NOW.plus(Duration::from_secs(10))));
    assert_eq!(routing.conflation_key.as_deref(), Some("key"));
    assert_eq!(route("    conflate: \"payload.note\"\n", &json!({})).unwrap().conflation_key, None);
    assert_eq!(
        route("    conflate: \"payload.total == null ? null : 'x'\"\n", &json!({})).unwrap().conflation_key,
        None
    );

    let said = Attributes {
        expires: Some(NOW.plus(Duration::from_secs(5))),
        conflation_key: Some("said".to_owned()),
        ..attributes("shop.order", "shop:1")
    };
    let expires = |entries: &str| route_as(&orders(entries), &said, &json!({})).unwrap().expires;
    assert_eq!(expires("    expires: 2d\n"), said.expires, "the earlier one counts");
    assert_eq!(expires("    expires: 1500ms\n"), Some(NOW.plus(Duration::from_millis(1500))));
    assert_eq!(expires("    expires: never\n"), said.expires);
    let keyed = route_as(&orders(""), &said, &json!({})).unwrap();
    assert_eq!(keyed.conflation_key, said.conflation_key);
    assert_eq!(keyed.views.len(), 1);
}

#[test]
fn rules_say_who_gets_an_event() {
    let entries = "    requires: \"payload.total == 1 ? ['boss'] : []\"\n    only_users: \"payload.note == '' ? null : payload.note.split(' ')\"\n    except_author: \"payload.total != 7\"\n    regions: \"payload.total == 1 ? 'eu' : null\"\n    expires: \"payload.at == null ? null : payload.total == 1 ? payload.at : duration('90s')\"\n";
    let text = |entries: &str| {
        format!(
            "name: shop\nchannels: {{shop: {{subscribe: 'true'}}}}\nroles: {{boss: [boss]}}\ntypes:\n  shop.order:\n    schema: order.avsc\n    channel: shop\n{entries}"
        )
    };
    let catalogues = load(&[("catalogue.yaml", &text(entries)), ("order.avsc", ORDER)]).unwrap();
    let said = Attributes { author: Some("ada".to_owned()), ..attributes("shop.order", "shop:1") };
    let route = |data: Value| route_as(&catalogues, &said, &data).unwrap();
    let one = route(json!({"total": 1, "note": "ben ada ben", "at": "2027-01-15T08:00:00Z"}));
    assert_eq!(
        (one.required_labels.len(), one.regions, one.only_users),
        (1, vec!["eu".to_owned()], vec!["ada".to_owned(), "ben".to_owned()])
    );
    assert_eq!((one.except_author.as_deref(), one.expires), (Some("ada"), Some(NOW)));
    let other = route(json!({"total": 7, "at": "2027-01-15T08:00:00Z"}));
    assert!(other.required_labels.is_empty() && other.regions.is_empty() && other.only_users.is_empty());
    assert_eq!((other.except_author, other.expires), (None, Some(NOW.plus(Duration::from_secs(90)))));
    assert_eq!(route(json!({})).expires, None);
    for bad in [
        "requires: \"['two words']\"",
        "requires: \"payload.tags\"",
        "only_users: \"[]\"",
        "only_users: \"['']\"",
        "only_users: \"payload.total\"",
        "regions: \"[payload.total]\"",
        "except_author: \"payload.note\"",
        "expires: \"payload.note + ''\"",
        "only_users: \"payload.tags.secret\"",
    ] {
        let catalogue = text(&format!("    {bad}\n")).replace("roles: {boss: [boss]}\n", "");
        let catalogues = load(&[("catalogue.yaml", &catalogue), ("order.avsc", ORDER)]).unwrap();
        let failed =
            route_as(&catalogues, &said, &json!({"total": 3, "note": "secret"})).err().map(|error| error.to_string());
        let rule = bad.split(':').next().unwrap();
        assert!(
            failed.as_ref().is_some_and(|words| words.contains(rule) && !words.contains("secret")),
            "{bad}: {failed:?}"
        );
    }
}

#[test]
fn a_wish_counts_for_whom_the_catalogue_lets_and_is_ignored_of_others() {
    let wish = "    wish: {high: \"'pager' in claims.roles\", low: \"true\"}\n";
    let catalogues = load(&[
        ("catalogue.yaml", &format!("name: shop\nchannels: {{shop: {{publish: 'true'}}}}\ntypes:\n  shop.order:\n    schema: order.avsc\n    channel: shop\n{wish}")),
        ("order.avsc", ORDER),
    ])
    .unwrap();
    let wished = |roles: &[&str], lane: Lane| {
        let mut event = Attributes { priority: Some(lane), ..attributes("shop.order", "shop:1") };
        catalogues.admit(&bearer(roles, &[]), &mut event).unwrap();
        event.priority
    };
    assert_eq!(wished(&["pager"], Lane::High), Some(Lane::High));
    assert_eq!(wished(&[], Lane::High), None);
    assert_eq!(wished(&["pager"], Lane::Medium), None, "a lane that is not named is nobody's");
    assert_eq!(wished(&[], Lane::Low), Some(Lane::Low));
}

#[test]
fn an_event_is_too_large_by_its_bytes_as_rendered() {
    let quoted = Attributes { id: EventId::parse(&"\"".repeat(300)).unwrap(), ..attributes("shop.order", "shop:1") };
    let data = json!({"note": "\u{1}\"é".repeat(500)});
    let at = |limit: usize| route_as(&orders("").with_event_bytes_max(limit), &quoted, &data);
    let Err(RouteError::TooLarge { size, limit: 0 }) = at(0) else { panic!("nothing fits into nothing") };
    assert!(size > 500 * 8 + 600, "escapes count");
    assert!(at(size).is_ok());
    assert_eq!(at(size - 1), Err(RouteError::TooLarge { size, limit: size - 1 }));

    let large = json!({"note": "x".repeat(limits::EVENT_BYTES_HARD)});
    let hard = route_as(&orders("").with_event_bytes_max(usize::MAX), &quoted, &large);
    assert!(matches!(hard, Err(RouteError::TooLarge { limit: limits::EVENT_BYTES_HARD, .. })));
    let default = route("", &json!({"note": "x".repeat(limits::EVENT_BYTES_DEFAULT)}));
    assert!(matches!(default, Err(RouteError::TooLarge { limit: limits::EVENT_BYTES_DEFAULT, .. })));
}
