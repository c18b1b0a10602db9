//! Examples that do not hold say where and what differs; lines that a map cannot map say why.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use folder::load;
use policy::EventMap;
use serde_json::json;

const CATALOGUE: &str = r#"name: shop
channels:
  shop: {subscribe: "channel.id == claims.sub"}
types:
  shop.order: {schema: order.avsc, channel: shop, lane: low, requires: [staff]}
roles:
  clerk: [staff]
examples:
  - as: {sub: "1", roles: [clerk]}
    event: {type: shop.order, subject: "shop:1", data: {total: 7, lines: [{n: 1}, {n: 2}]}}
    sees: {lane: high, data: {total: 8, lines: [{n: 1}, {n: 3}], paid: true}, absent: [total, /lines/0/n, other]}
  - as: {sub: "1", roles: [clerk]}
    event: {type: shop.order, subject: "shop:1", data: {total: 7}}
    sees: nothing
  - as: {sub: "1"}                 # does not hold what is required
    event: {type: shop.order, subject: "shop:1"}
    sees: {lane: low}
  - as: {sub: "2", roles: [clerk]} # may not subscribe
    event: {type: shop.order, subject: "shop:1"}
    sees: nothing
  - as: {sub: "1", roles: [clerk]} # their own
    event: {type: shop.order, subject: "shop:1", author: "1"}
    sees: nothing
  - as: {sub: "1", roles: [clerk], tenant: acme}
    event: {type: shop.order, subject: "shop:1"}
    sees: nothing
  - as: {sub: "1", roles: [clerk]}
    event: {type: shop.order, subject: "shop:1", data: {total: "seven", colour: blue}}
    sees: {lane: low}
"#;

const ORDER: &str = r#"{"type": "record", "name": "shop.Order", "fields": [
  {"name": "total", "type": "int", "default": 0},
  {"name": "lines", "default": [], "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
    {"name": "n", "type": "int"}]}}}]}"#;

#[test]
fn an_example_that_does_not_hold_says_where_and_what_differs() {
    let (examples, failures) = load(&[("catalogue.yaml", CATALOGUE), ("order.avsc", ORDER)]).unwrap().run_examples();
    assert_eq!(examples, 7);
    let failures: Vec<&str> = failures.iter().map(|line| line.split_once("catalogue.yaml:").unwrap().1).collect();
    insta::assert_snapshot!(failures.join("\n"), @r#"
    9: lane: expected high, is low
    9: /lines/1/n: expected 3, is 2
    9: /paid: expected true, is absent
    9: /total: expected 8, is 7
    9: total: expected to be absent, is 7
    9: /lines/0/n: expected to be absent, is 1
    12: expected nothing, but it is seen in low: {"lines":[],"total":7}
    15: expected an event, but nothing is seen (audience: it requires staff, and they hold no label)
    21: expected nothing, but it is seen in low: {"lines":[],"total":0}
    27: the data does not fit the schema: /total: expected a whole number of 32 bits; /colour: there is no such field
    "#);
}

#[test]
fn a_line_that_cannot_be_mapped_says_why() {
    let map = "type: \"line.type\"\nsubject: \"'shop:' + string(line_number)\"\nid: \"line.id\"\ntime: \"line.at\"\nsource: \"'/till'\"\npayload: \"{'n': line.n + 1}\"\n";
    let map = EventMap::parse("map.yaml", map).unwrap();
    let good = json!({"type": "shop.order", "id": "a", "at": null, "n": 1});
    let event = map.map(&good, 3).unwrap();
    assert_eq!((event.channel.as_str(), event.data, event.time), ("shop:3", json!({"n": 2}), None));
    assert_eq!(event.source.unwrap().as_str(), "/till");
    let mut words = Vec::new();
    for (key, value) in [
        ("type", json!(7)),
        ("type", json!("")),
        ("id", json!(null)),
        ("id", json!("a\nb")),
        ("at", json!("yesterday")),
        ("at", json!(7)),
        ("n", json!("x")),
    ] {
        let mut line = good.clone();
        line[key] = value;
        words.push(map.map(&line, 3).err().unwrap());
    }
    words.push(map.map(&json!([1]), 3).err().unwrap());
    insta::assert_snapshot!(words.join("\n"), @r#"
    type: it gives int, not a text
    type: the type is empty
    id is null
    id: the id may not hold '\n'
    time: "yesterday" is not an RFC 3339 time
    time gives int, not a time
    payload: a value is not of the type that is needed
    type: found no matching overload for '_._' applied to '(list, string)'
    "#);
}
