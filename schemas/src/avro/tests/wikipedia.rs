//! Real edits there and back: with all labels, `data` is the line of the file.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::avro::AvroSchema;
use crate::id::Label;

/// The shape of the recorded edits; six fields carry the label `place`.
pub(crate) fn edit_schema() -> AvroSchema {
    let nullable = |name: &str, kind: &str| json!({"name": name, "type": ["null", kind], "default": null});
    let place =
        |name: &str, kind: &str| json!({"name": name, "type": ["null", kind], "default": null, "labels": ["place"]});
    let flag = |name: &str| json!({"name": name, "type": "boolean", "default": false});
    let count = |name: &str| json!({"name": name, "type": "long", "default": 0});
    let fields = json!([
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "channel", "type": "string"},
        {"name": "page", "type": "string"},
        {"name": "user", "type": "string"},
        nullable("comment", "string"),
        nullable("namespace", "string"),
        count("delta"), count("added"), count("deleted"),
        flag("isRobot"), flag("isNew"), flag("isMinor"), flag("isAnonymous"), flag("isUnpatrolled"),
        place("cityName", "string"), place("countryName", "string"), place("countryIsoCode", "string"),
        place("regionName", "string"), place("regionIsoCode", "string"), place("metroCode", "int"),
    ]);
    AvroSchema::parse(&json!({"type": "record", "name": "Edit", "namespace": "wiki", "fields": fields}).to_string())
        .unwrap()
}

/// Three recorded lines: a person's, a robot's, and one of somebody anonymous.
pub(crate) const LINES: [&str; 3] = [
    r##"{"time":"2015-09-11T00:46:58.771Z","channel":"#en.wikipedia","cityName":null,"comment":"added project","countryIsoCode":null,"countryName":null,"isAnonymous":false,"isMinor":false,"isNew":false,"isRobot":false,"isUnpatrolled":false,"metroCode":null,"namespace":"Talk","page":"Talk:Oswald Tilghman","regionIsoCode":null,"regionName":null,"user":"GELongstreet","delta":36,"added":36,"deleted":0}"##,
    r##"{"time":"2015-09-10T00:47:00.496Z","channel":"#ca.wikipedia","cityName":null,"comment":"Robot inserta {{Commonscat}} que enllaça amb [[commons:category:Rallicula]]","countryIsoCode":null,"countryName":null,"isAnonymous":false,"isMinor":true,"isNew":false,"isRobot":true,"isUnpatrolled":false,"metroCode":null,"namespace":"Main","page":"Rallicula","regionIsoCode":null,"regionName":null,"user":"PereBot","delta":17,"added":17,"deleted":0}"##,
    r##"{"time":"2015-09-12T01:02:03.004Z","channel":"#it.wikipedia","cityName":"Turin","comment":"","countryIsoCode":"IT","countryName":"Italy","isAnonymous":true,"isMinor":false,"isNew":false,"isRobot":false,"isUnpatrolled":true,"metroCode":807,"namespace":"Main","page":"Ada","regionIsoCode":"21","regionName":"Piedmont","user":"2001:db8::1","delta":-3,"added":0,"deleted":3}"##,
];

const PLACES: [&str; 6] = ["cityName", "countryName", "countryIsoCode", "regionName", "regionIsoCode", "metroCode"];

fn there_and_back(line: &Json, held: &BTreeSet<Label>) -> Json {
    let schema = edit_schema();
    let value = schema.from_json(line).unwrap();
    let decoded = schema.decode(&schema, &schema.encode(&value).unwrap()).unwrap();
    let mut out = Vec::new();
    schema.write_json(&decoded, held, &mut out);
    assert!(!out.contains(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn with_all_labels_data_equals_the_line_of_the_file() {
    let held = edit_schema().labels();
    assert_eq!(held.iter().map(Label::as_str).collect::<Vec<_>>(), ["place"]);
    for line in LINES {
        let line: Json = serde_json::from_str(line).unwrap();
        assert_eq!(there_and_back(&line, &held), line);
    }
}

#[test]
fn without_the_label_the_six_place_fields_are_absent() {
    for line in LINES {
        let mut line: Json = serde_json::from_str(line).unwrap();
        let data = there_and_back(&line, &BTreeSet::new());
        PLACES.iter().for_each(|name| drop(line.as_object_mut().unwrap().remove(*name)));
        assert_eq!(data, line);
    }
}
