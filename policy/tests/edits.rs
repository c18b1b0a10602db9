//! Real edits: the map `wikipedia` tells them apart, and a reader who holds `place` gets the line of the file back.
//!
//! Three lines stand here; with `$TIDEGATE_EVENTS` (a file of edits, gzipped) all of its lines are tried.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use policy::{CatalogueSource, Catalogues, EventMap};
use schemas::event::Attributes;
use schemas::id::{EventType, Source, Tenant};
use schemas::lane::Lane;
use schemas::time::Timestamp;
use serde_json::Value;

const LINES: [&str; 3] = [
    r##"{"time":"2015-09-11T00:46:58.771Z","channel":"#en.wikipedia","cityName":null,"comment":"added project","countryIsoCode":null,"countryName":null,"isAnonymous":false,"isMinor":false,"isNew":false,"isRobot":false,"isUnpatrolled":false,"metroCode":null,"namespace":"Talk","page":"Talk:Oswald Tilghman","regionIsoCode":null,"regionName":null,"user":"GELongstreet","delta":36,"added":36,"deleted":0}"##,
    r##"{"time":"2015-09-12T00:47:00.496Z","channel":"#ca.wikipedia","cityName":null,"comment":"Robot inserta {{Commonscat}} que enllaça","countryIsoCode":null,"countryName":null,"isAnonymous":false,"isMinor":true,"isNew":false,"isRobot":true,"isUnpatrolled":false,"metroCode":null,"namespace":"Main","page":"Rallicula","regionIsoCode":null,"regionName":null,"user":"PereBot","delta":-17,"added":0,"deleted":17}"##,
    r##"{"time":"2015-09-12T00:47:05.474Z","channel":"#en.wikipedia","cityName":"Auburn","comment":"/* \"Status\" \\ */","countryIsoCode":"AU","countryName":"Australia","isAnonymous":true,"isMinor":false,"isNew":false,"isRobot":false,"isUnpatrolled":false,"metroCode":501,"namespace":"Main","page":"Peremptory norm — 日本","regionIsoCode":"NSW","regionName":"New South Wales","user":"60.225.66.142","delta":0,"added":0,"deleted":0}"##,
];

fn lines() -> Vec<String> {
    let Some(path) = std::env::var_os("TIDEGATE_EVENTS") else {
        eprintln!("edits: three of them only, because TIDEGATE_EVENTS is not set");
        return LINES.map(str::to_owned).to_vec();
    };
    let file = BufReader::new(GzDecoder::new(std::fs::File::open(&path).unwrap()));
    let lines: Vec<String> = file.lines().map(Result::unwrap).collect();
    eprintln!("edits: {} of {}", lines.len(), path.display());
    lines
}

fn lane(line: &Value) -> Lane {
    match (&line["isRobot"], &line["isAnonymous"]) {
        (Value::Bool(true), _) => Lane::Low,
        (_, Value::Bool(true)) => Lane::High,
        _ => Lane::Medium,
    }
}

#[test]
fn every_line_becomes_an_event_of_its_own() {
    let map = EventMap::shipped("wikipedia").unwrap();
    let mut ids = HashSet::new();
    for (number, text) in (1..).zip(lines()) {
        let line: Value = serde_json::from_str(&text).unwrap();
        let event = map.map(&line, number).unwrap();
        let wiki = line["channel"].as_str().unwrap().trim_start_matches('#').split('.').next().unwrap().to_owned();
        assert_eq!(event.channel.as_str(), format!("wiki:{wiki}"), "line {number}");
        assert_eq!(event.event_type.as_str(), "wiki.edit");
        assert_eq!(event.time.unwrap().to_string(), line["time"], "line {number}");
        assert_eq!((event.source, &event.data), (None, &line));
        assert!(ids.insert(event.id.clone()), "line {number} has the id of another");
        assert_eq!(map.map(&line, 7).unwrap().id, event.id, "a replay sends the same ids");
    }
}

#[test]
fn a_holder_of_place_gets_the_line_back_and_others_all_but_the_place() {
    let catalogues = Catalogues::load(&[CatalogueSource::Shipped("wikipedia".to_owned())]).unwrap();
    let policy = catalogues.event_type(&EventType::parse("wiki.edit").unwrap()).unwrap();
    let map = EventMap::shipped("wikipedia").unwrap();
    for (number, text) in (1..).zip(lines()) {
        let line: Value = serde_json::from_str(&text).unwrap();
        let event = map.map(&line, number).unwrap();
        let attributes = Attributes {
            id: event.id,
            source: Source::parse("/edits").unwrap(),
            event_type: event.event_type,
            channel: event.channel.clone(),
            tenant: Tenant::default_tenant(),
            time: event.time,
            priority: None,
            expires: None,
            conflation_key: None,
            author: None,
            traceparent: None,
            principal: None,
        };
        let value = policy.schema().from_json(&event.data).unwrap();
        let body = policy.schema().encode(&value).unwrap();
        let decoded = policy.schema().decode(policy.schema(), &body).unwrap();
        let routing = policy.route(&attributes, &event.channel, Timestamp::default(), &decoded).unwrap();
        assert_eq!(routing.lane, lane(&line), "line {number}");
        let [everyone, place] = routing.views.as_slice() else {
            panic!("line {number}: {} views", routing.views.len())
        };
        let whole: Value = serde_json::from_slice(&place.data).unwrap();
        assert_eq!(whole, line, "line {number}");
        let trimmed: Value = serde_json::from_slice(&everyone.data).unwrap();
        let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let place = ["cityName", "countryName", "countryIsoCode", "regionName", "regionIsoCode", "metroCode"];
        let withheld: BTreeSet<String> = fields(&line).difference(&fields(&trimmed)).cloned().collect();
        assert_eq!(withheld, place.map(str::to_owned).into(), "line {number}");
        assert!(trimmed.as_object().unwrap().iter().all(|(name, value)| line[name] == *value), "line {number}");
    }
}
