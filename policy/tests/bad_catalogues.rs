//! A bad catalogue is refused with everything that is wrong, each with its file and line.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use folder::load;
use policy::{CatalogueSource, Catalogues};
use schemas::lane::Lane;

const GOOD_SCHEMA: &str = r#"{"type": "record", "name": "shop.Order", "fields": [
  {"name": "total", "type": "int", "default": 0},
  {"name": "email", "type": ["null", "string"], "default": null, "labels": ["staff"]}
]}"#;

/// Nearly everything that can be wrong, at once.
const BAD: &str = r#"name: Shop
colour: blue
channels:
  shop:
    subscribe: "true"
    publish: "'publisher' in claims.role"
    admin: "true"
  Shop!:
    subscribe: "true"
  cart:
    subscribe: "claims.sub =="
    publish: "1 + payload.total"
  desk: yes
types:
  order:
    schema: order.avsc
    channel: shop
  shop.order:
    schema: order.avsc
    channel: till
    lane: "payload.totl > 1 ? 'high' : 'medum'"
    requires: [boss, "two words", 7]
    expires: 5 parsecs
    conflate: "payload.email"
  shop.refund:
    schema: missing.avsc
    channel: shop
    lane: urgent
    expires: 10
  shop.list:
    schema: list.avsc
    channel: shop
    lane: "size(payload.total) + lower('x')"
  shop.empty:
    schema: empty.avsc
    channel: shop
    lanes: high
  shop.broken:
    schema: broken.avsc
    channel: [shop]
  shop.labels:
    schema: labels.avsc
    channel: shop
  shop.twin:
    schema: twin.avsc
    channel: shop
    lane: "payload.sum > 9 ? 'high' : payload.sum > 1 ? 'medum' : 2"
  shop.bare: {}
  shop.rules:
    schema: twin.avsc
    channel: shop
    lane: low
    wish: {high: "claims.role", urgent: "true"}
    requires: "payload.nobody"
    only_users: "payload.sum +"
    except_author: "events.author"
    regions: 7
    expires: "payload.email == null ? null : duration('1s')"
  shop.masked:
    schema: masked.avsc
    channel: shop
roles:
  clerk: [staff, ghost]
  guest: staff
examples:
  - as: {roles: [clerk], nam: Jo}
    event: {type: shop.nothing, subject: shop, data: {}}
    sees: {lane: fast}
    after: a while
    filter: "data.a.exists(x, x == payload.b)"
  - as: {}
    event: {type: shop.order, subject: "shop:1", priority: soon}
  - 7
"#;

#[test]
fn a_bad_catalogue_lists_everything_with_file_and_line() {
    let problems = load(&[
        ("catalogue.yaml", BAD),
        ("order.avsc", GOOD_SCHEMA),
        ("twin.avsc", &GOOD_SCHEMA.replace("total", "sum")),
        ("list.avsc", r#"{"type": "array", "items": "int"}"#),
        ("empty.avsc", r#"{"type": "record", "name": "Empty", "fields": []}"#),
        ("broken.avsc", "{\"type\":\n\"record\",,\n"),
        (
            "labels.avsc",
            r#"{"type": "record", "name": "L", "labels": ["staff"], "fields": [
            {"name": "a", "type": "int", "labels": "staff"},
            {"name": "b", "type": "int", "label": ["staff"]}]}"#,
        ),
        (
            "masked.avsc",
            r#"{"type": "record", "name": "M", "fields": [
            {"name": "a", "type": "int", "labels": ["staff"], "mask": "null"},
            {"name": "b", "type": "int", "labels": ["staff"], "mask": "last_four"}]}"#,
        ),
        ("map.yaml", "type: \"'shop.order'\"\nsubject: \"linee.x\"\nid: \"1 +\"\n"),
    ])
    .err()
    .unwrap();
    insta::assert_snapshot!(problems, @r#"
    DIR/broken.avsc:2: not JSON: key must be a string at line 2 column 10
    DIR/catalogue.yaml:1: a catalogue's name is made of a-z, 0-9, _ and -, and begins with a letter
    DIR/catalogue.yaml:2: unknown key "colour" in a catalogue; known: name, channels, references, types, roles, examples
    DIR/catalogue.yaml:6: `claims` has no field `role`; it has channels, labels, regions, roles, sub, tenant
    DIR/catalogue.yaml:7: unknown key "admin" in a channel kind; known: subscribe, publish, history, budget, presence, typing, viewing, occupancy, receipts
    DIR/catalogue.yaml:8: a channel's kind is made of a-z, 0-9, _ and -, and begins with a letter
    DIR/catalogue.yaml:11: not CEL: Syntax error: mismatched input '<EOF>' (column 14)
    DIR/catalogue.yaml:12: unknown variable `payload`; a rule here reads channel, claims
    DIR/catalogue.yaml:13: a channel kind: a mapping is expected, not a text
    DIR/catalogue.yaml:15: "order" is no type: <domain>.<name>, of letters, digits, _ and -
    DIR/catalogue.yaml:20: no catalogue declares the channel kind "till"
    DIR/catalogue.yaml:21: `payload` has no field `totl`; it has email, total
    DIR/catalogue.yaml:22: an item of requires: a text is expected, not a number
    DIR/catalogue.yaml:22: no role holds the label boss
    DIR/catalogue.yaml:22: the label may not hold ' '
    DIR/catalogue.yaml:23: "5 parsecs" is neither never nor a duration: unknown time unit "parsecs", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations)
    DIR/catalogue.yaml:24: a conflation key is shown to every reader, and email carries labels
    DIR/catalogue.yaml:26: there is no file missing.avsc beside the catalogue
    DIR/catalogue.yaml:28: "urgent" is not a lane: high, medium or low
    DIR/catalogue.yaml:29: expires: a text is expected, not a number
    DIR/catalogue.yaml:33: unknown function `lower`
    DIR/catalogue.yaml:37: unknown key "lanes" in a type; known: schema, channel, lane, wish, requires, only_users, except_author, regions, expires, dedupe, conflate, budget, audit, enrich
    DIR/catalogue.yaml:40: channel: a text is expected, not a list
    DIR/catalogue.yaml:45: the record shop.Order is declared twice, differently
    DIR/catalogue.yaml:47: "medum" is not a lane: high, medium or low
    DIR/catalogue.yaml:47: a lane is high, medium or low
    DIR/catalogue.yaml:48: channel is missing
    DIR/catalogue.yaml:48: schema is missing
    DIR/catalogue.yaml:50: the record shop.Order is declared twice, differently
    DIR/catalogue.yaml:53: `claims` has no field `role`; it has channels, labels, regions, roles, sub, tenant
    DIR/catalogue.yaml:53: no wish counts here: the lane neither is the producer's nor reads event.priority
    DIR/catalogue.yaml:53: unknown key "urgent" in wish; known: high, medium, low
    DIR/catalogue.yaml:54: `payload` has no field `nobody`; it has email, sum
    DIR/catalogue.yaml:55: not CEL: Syntax error: mismatched input '<EOF>' (column 14)
    DIR/catalogue.yaml:56: unknown variable `events`; a rule here reads channel, event, payload
    DIR/catalogue.yaml:57: regions: a text is expected, not a number
    DIR/catalogue.yaml:58: the expiry is shown to every reader, and email carries labels
    DIR/catalogue.yaml:63: no schema carries the label ghost, and no type requires it
    DIR/catalogue.yaml:64: the labels of a role: a list is expected, not a text
    DIR/catalogue.yaml:66: unknown key "nam" in as; known: sub, tenant, roles, labels, regions
    DIR/catalogue.yaml:67: a channel is <kind>:<id>
    DIR/catalogue.yaml:68: "fast" is not a lane: high, medium or low
    DIR/catalogue.yaml:69: "a while" is no duration: expected number at 0
    DIR/catalogue.yaml:70: unknown variable `payload`; a rule here reads channel, data, event
    DIR/catalogue.yaml:71: sees is missing
    DIR/catalogue.yaml:72: "soon" is not a lane: high, medium or low
    DIR/catalogue.yaml:73: an example: a mapping is expected, not a number
    DIR/empty.avsc:1: the record has no fields
    DIR/labels.avsc:1: L: labels belong to a field, not to its type
    DIR/labels.avsc:2: a: labels is a list of texts without white space
    DIR/labels.avsc:3: b: the property is `labels`, not `label`
    DIR/list.avsc:1: the schema is not a record
    DIR/map.yaml:1: payload is missing
    DIR/map.yaml:2: unknown variable `linee`; a rule here reads line, line_number
    DIR/map.yaml:3: not CEL: Syntax error: mismatched input '<EOF>' (column 4)
    DIR/masked.avsc:3: not an Avro schema: the field b: the mask does not suit the type
    "#);
}

#[test]
fn what_is_no_yaml_and_what_is_no_catalogue_is_said_too() {
    let problem = |text: &str| load(&[("catalogue.yaml", text)]).err().unwrap();
    insta::assert_snapshot!(problem("name: shop\nchannels: [\n"), @r#"DIR/catalogue.yaml:2: not YAML: unclosed bracket '[' at line 2, column 11"#);
    insta::assert_snapshot!(problem("name: shop\nname: shop\n"), @r#"DIR/catalogue.yaml:2: not YAML: duplicate mapping key: name, set DuplicateKeyPolicy in Options if acceptable at line 2, column 1"#);
    insta::assert_snapshot!(problem("- 1\n"), @r#"DIR/catalogue.yaml:1: a catalogue: a mapping is expected, not a list"#);
    insta::assert_snapshot!(problem(""), @r#"DIR/catalogue.yaml:1: name is missing"#);
    insta::assert_snapshot!(load(&[]).err().unwrap(), @r#"DIR/catalogue.yaml:1: there is no such file"#);
    assert!(problem(&"[".repeat(100_000)).starts_with("DIR/catalogue.yaml:1: not YAML: "));
    let bomb = "name: &a [x,x,x,x,x,x,x,x,x]\ntypes: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nroles: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    assert!(problem(bomb).contains("types: a mapping is expected, not a list"));
}

#[test]
fn kinds_types_and_names_are_unique_over_all_catalogues() {
    let shipped = |name: &str| CatalogueSource::Shipped(name.to_owned());
    let errors = Catalogues::load(&[shipped("bench"), shipped("machine"), shipped("bench"), shipped("nothing")]);
    insta::assert_snapshot!(errors.err().unwrap().to_string(), @r#"
    bench/catalogue.yaml:2: the catalogue bench is loaded twice
    bench/catalogue.yaml:5: the kind bench is declared twice
    bench/catalogue.yaml:10: the type bench.tick is declared twice
    nothing:1: no catalogue of this name ships; there are athlete, bench, home, machine, teamwork, wellbeing, wikipedia
    "#);
}

#[test]
fn a_label_set_too_many_is_refused() {
    let schema = r#"{"type": "record", "name": "a.B", "fields": [
        {"name": "w", "type": "int", "labels": ["w"]}, {"name": "x", "type": "int", "labels": ["x"]},
        {"name": "y", "type": "int", "labels": ["y"]}, {"name": "z", "type": "int", "labels": ["z"]}]}"#;
    let catalogue = |roles: &str| {
        let head = "name: a\nchannels: {a: {subscribe: 'true'}}\ntypes:\n  a.b:\n    schema: b.avsc\n    channel: a\n";
        load(&[("catalogue.yaml", &format!("{head}roles: {{{roles}}}\n")), ("b.avsc", schema)])
    };
    assert!(catalogue("r: [w], s: [x], t: [y]").is_ok());
    assert!(catalogue("r: [w, x, y, z]").is_ok());
    insta::assert_snapshot!(catalogue("r: [w], s: [x], t: [y], u: [z]").err().unwrap(), @r#"DIR/catalogue.yaml:4: the roles hold its labels in more than 8 ways, and each would be a view"#);
}

#[test]
fn every_limit_of_the_files_is_reached() {
    let long = " ".repeat(policy::files::FILE_BYTES + 1);
    insta::assert_snapshot!(load(&[("catalogue.yaml", &long)]).err().unwrap(), @r#"DIR/catalogue.yaml:1: the file has more than 262144 bytes"#);
    let names: Vec<String> = (0..=policy::files::FILES_PER_CATALOGUE).map(|number| format!("{number}.avsc")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "{}")).collect();
    insta::assert_snapshot!(load(&files).err().unwrap(), @r#"DIR:1: 65 files, more than 64"#);
    let filler = format!("# {}", "x".repeat(policy::files::FILE_BYTES - 3));
    let names = ["a.avsc", "b.avsc", "c.avsc", "d.avsc"];
    let files: Vec<(&str, &str)> =
        names.iter().map(|name| (*name, filler.as_str())).chain([("catalogue.yaml", "name: a")]).collect();
    insta::assert_snapshot!(load(&files).err().unwrap(), @r#"bundle:1: all catalogues together have 1048654 bytes, more than 786432"#);
}

#[test]
fn a_window_for_repeats_is_whole_minutes_up_to_a_day() {
    let load = |window: &str| {
        let yaml = format!(
            "name: shop\nchannels: {{shop: {{}}}}\ntypes:\n  shop.order: {{schema: order.avsc, channel: shop, dedupe: {window}}}\nroles: {{staff: [staff]}}\n"
        );
        let bundle = serde_json::json!({"shop": {"catalogue.yaml": yaml, "order.avsc": GOOD_SCHEMA}});
        Catalogues::from_bundle(bundle.to_string().as_bytes())
    };
    for wrong in ["90s", "0m", "25h", "soon"] {
        let said = load(wrong).unwrap_err().lines;
        assert_eq!(
            said,
            [format!("shop/catalogue.yaml:4: {wrong:?} is not 1 to 1440 whole minutes, such as 30m or 6h")]
        );
    }
    let day = load("24h").unwrap();
    assert_eq!(day.types().next().unwrap().dedupe_window(), Some(std::time::Duration::from_secs(86_400)));
}

#[test]
fn a_budget_is_a_rate_of_events_that_may_be_low_and_deliveries_may_be_audited() {
    let load = |of_kind: &str, lane: &str, budget: &str| {
        let yaml = format!(
            "name: shop\nchannels: {{shop: {{budget: {of_kind}}}}}\ntypes:\n  shop.order: {{schema: order.avsc, channel: shop, lane: {lane}, budget: {budget}}}\nroles: {{staff: [staff]}}\n"
        );
        let bundle = serde_json::json!({"shop": {"catalogue.yaml": yaml, "order.avsc": GOOD_SCHEMA}});
        Catalogues::from_bundle(bundle.to_string().as_bytes())
    };
    let catalogues = load("200/m", "low", "10/s").unwrap();
    let order = catalogues.types().next().unwrap();
    let words = |lane| order.budgets(lane).iter().map(|budget| budget.rate.to_string()).collect::<Vec<_>>();
    assert_eq!((words(Lane::Low), words(Lane::High)), (vec!["10/s".to_owned(), "200/m".to_owned()], vec![]));
    let said = load("2/d", "low", "0/s").unwrap_err().lines;
    let rate = "a rate is 1 to 100000 events a second, minute or hour: 10/s, 200/m, 1000/h";
    assert_eq!(said, [2, 4].map(|line| format!("shop/catalogue.yaml:{line}: {rate}")));
    let said = load("2/s", "low", "1/s, audit: all").unwrap_err().lines;
    assert_eq!(said, ["shop/catalogue.yaml:4: audit is deliveries, or absent"]);
    let said = load("2/s", "medium", "1/s").unwrap_err().lines;
    assert_eq!(said, ["shop/catalogue.yaml:4: a budget counts in the low lane, and all its events are medium"]);
}
