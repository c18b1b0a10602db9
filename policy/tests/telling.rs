//! What kinds tell: types that fit are found, and everything else is said with its line.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use folder::load;
use policy::{CatalogueSource, Catalogues, Claims, Matter};
use serde_json::json;

const TYPING: &str = r#"{"type": "record", "name": "room.Typing", "fields": [
  {"name": "user_id", "type": "string"}, {"name": "active", "type": "boolean"}]}"#;
const NUMBERED: &str = r#"{"type": "record", "name": "room.Numbered", "fields": [
  {"name": "user_id", "type": "int"}, {"name": "active", "type": "boolean"}]}"#;
const ORDER: &str = r#"{"type": "record", "name": "room.Order", "fields": [{"name": "total", "type": "int"}]}"#;

fn catalogue(tells: &str) -> Result<Catalogues, String> {
    let head = "name: rooms\nchannels:\n  hall: {}\n  room:\n    subscribe: 'true'\n";
    let types = "types:\n  room.typing: {schema: typing.avsc, channel: room}\n  room.numbered: {schema: numbered.avsc, channel: room}\n  room.order: {schema: order.avsc, channel: room}\n  hall.typing: {schema: typing.avsc, channel: hall}\n";
    load(&[
        ("catalogue.yaml", &format!("{head}{tells}{types}")),
        ("typing.avsc", TYPING),
        ("numbered.avsc", NUMBERED),
        ("order.avsc", ORDER),
    ])
}

#[test]
fn a_kind_tells_by_its_types_and_only_what_their_records_have_room_for() {
    let catalogues = catalogue("    typing: room.typing\n").unwrap();
    let telling = catalogues.telling("room", Matter::Typing).unwrap();
    assert_eq!(telling.event_type().as_str(), "room.typing");
    let data = telling.data(json!({"user_id": "ada", "content_id": "12", "active": true}));
    assert_eq!(data, json!({"user_id": "ada", "active": true}));
    for (kind, matter) in [("room", Matter::Viewing), ("hall", Matter::Typing), ("till", Matter::Typing)] {
        assert_eq!(catalogues.telling(kind, matter), None, "{kind} {matter:?}");
    }
}

#[test]
fn a_type_that_cannot_tell_is_refused_with_the_reason() {
    let tells = "    presence: room.away\n    typing: room.typing\n    viewing: room.typing\n    occupancy: hall.typing\n    receipts: room.order\n";
    insta::assert_snapshot!(catalogue(tells).err().unwrap(), @r"
    DIR/catalogue.yaml:6: presence: no catalogue declares the type room.away
    DIR/catalogue.yaml:8: viewing: room.typing tells of typing already
    DIR/catalogue.yaml:9: occupancy: hall.typing is for channels hall:…, not room:…
    DIR/catalogue.yaml:10: receipts: the record of room.order has no field kind
    DIR/catalogue.yaml:10: receipts: the record of room.order has no field user_id
    ");
    insta::assert_snapshot!(catalogue("    typing: room.numbered\n    viewing: typing\n").err().unwrap(), @r#"
    DIR/catalogue.yaml:6: typing: the record of room.numbered does not take what is told: /user_id: expected a whole number of 32 bits
    DIR/catalogue.yaml:7: "typing" is no type: <domain>.<name>, of letters, digits, _ and -
    "#);
}

#[test]
fn what_a_kind_that_tells_of_receipts_is_for_takes_them_and_what_tells_of_people_does_not() {
    let wikipedia = Catalogues::load(&[CatalogueSource::Shipped("wikipedia".to_owned())]).unwrap();
    let takes =
        |name: &str| wikipedia.types().find(|policy| policy.event_type().as_str() == name).unwrap().takes_receipts();
    assert!(takes("wiki.said"));
    for name in ["wiki.receipt", "wiki.typing", "wiki.presence", "wiki.edit"] {
        assert!(!takes(name), "{name}");
    }
}

#[test]
fn what_is_told_is_shown_to_whom_the_type_would_show_it() {
    const HEARD: &str = r#"{"type": "record", "name": "room.Heard", "fields": [
      {"name": "user_id", "type": "string"}, {"name": "kind", "type": "string"},
      {"name": "at", "type": ["null", "string"], "default": null, "labels": ["when"]}]}"#;
    let yaml = "name: rooms\nchannels:\n  room: {subscribe: 'true', receipts: room.heard}\ntypes:\n  room.heard: {schema: heard.avsc, channel: room, requires: [staff]}\nroles:\n  clerk: [staff]\n  head: [staff, when]\n";
    let catalogues = load(&[("catalogue.yaml", yaml), ("heard.avsc", HEARD)]).unwrap();
    let telling = catalogues.telling("room", Matter::Receipts).unwrap();
    let said = json!({"user_id": "ada", "kind": "read", "event": "7", "at": "now", "author_id": "ben"});
    let shown = |role: &str| {
        let claims = Claims { roles: [role.to_owned()].into(), ..Claims::anonymous() };
        catalogues.shown(telling, said.clone(), &claims)
    };
    assert_eq!(shown("head"), Some(json!({"user_id": "ada", "kind": "read", "at": "now"})));
    assert_eq!(shown("clerk"), Some(json!({"user_id": "ada", "kind": "read"})));
    assert_eq!(shown("guest"), None);
}

#[test]
fn the_shipped_kinds_tell() {
    let shipped = |name: &str| Catalogues::load(&[CatalogueSource::Shipped(name.to_owned())]).unwrap();
    let told = |catalogues: &Catalogues, kind: &str| {
        Matter::ALL.map(|matter| catalogues.telling(kind, matter).map(|telling| telling.event_type().to_string()))
    };
    let some = |name: &str| Some(name.to_owned());
    let (presence, typing, viewing) = (some("presence.updated"), some("user.typing"), some("user.viewing"));
    let teamwork = shipped("teamwork");
    assert_eq!(told(&teamwork, "team"), [presence, typing, viewing, None, some("user.receipt")]);
    assert_eq!(told(&teamwork, "goal"), [None, None, None, None, some("goal.receipt")]);
    assert_eq!(told(&teamwork, "recognition"), [None, None, None, None, some("recognition.receipt")]);
    let (presence, typing, viewing) = (some("wiki.presence"), some("wiki.typing"), some("wiki.viewing"));
    let wikipedia = shipped("wikipedia");
    assert_eq!(told(&wikipedia, "room"), [presence, typing, viewing, some("wiki.occupancy"), some("wiki.receipt")]);
    assert_eq!(told(&wikipedia, "wiki"), [None, None, None, None, None]);
}
