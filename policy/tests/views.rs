//! No view shows what its reader may not see: random schemas, roles and readers against a naive oracle.
//!
//! Every leaf of the payload holds a text of its own, so a leak is that text anywhere in the bytes that a reader gets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::collections::{BTreeMap, BTreeSet};

use folder::{attributes, bearer, load};
use proptest::prelude::*;
use schemas::id::Label;
use schemas::limits;
use schemas::time::Timestamp;
use serde_json::{Map, Value, json};

type Labels = BTreeSet<&'static str>;

/// A field: its labels, and what is in it (nothing: a text).
#[derive(Debug, Clone)]
struct Field {
    labels: Labels,
    inside: Inside,
}

#[derive(Debug, Clone)]
enum Inside {
    Text,
    Record(Vec<Field>),
    List(Vec<Field>),
    MapOfTexts,
    MaybeRecord(Vec<Field>),
}

fn labels() -> impl Strategy<Value = Labels> {
    prop_oneof![3 => Just(Labels::new()), 2 => proptest::sample::subsequence(vec!["a", "b", "c", "d"], 1..3)
        .prop_map(|picked| picked.into_iter().collect())]
}

fn fields() -> impl Strategy<Value = Vec<Field>> {
    let text = labels().prop_map(|labels| Field { labels, inside: Inside::Text });
    let field = text.prop_recursive(3, 16, 4, |field| {
        let inside = proptest::collection::vec(field, 1..4);
        let inside = prop_oneof![
            inside.clone().prop_map(Inside::Record),
            inside.clone().prop_map(Inside::List),
            inside.prop_map(Inside::MaybeRecord),
            Just(Inside::MapOfTexts),
        ];
        (labels(), inside).prop_map(|(labels, inside)| Field { labels, inside })
    });
    proptest::collection::vec(field, 1..6)
}

/// Schema and payload of some fields, and every leaf's text with the labels on the way to it.
fn build(fields: &[Field], path: &str, above: &Labels, leaves: &mut BTreeMap<String, Labels>) -> (Value, Value) {
    let mut schema = Vec::new();
    let mut payload = Map::new();
    for (number, field) in fields.iter().enumerate() {
        let name = format!("{path}_{number}");
        let needed: Labels = above | &field.labels;
        let mut nested = |inside: &[Field]| build(inside, &name, &needed, leaves);
        let leaf = format!("<{name}>");
        let (shape, value) = match &field.inside {
            Inside::Text => {
                leaves.insert(leaf.clone(), needed);
                (json!("string"), json!(leaf))
            }
            Inside::MapOfTexts => {
                leaves.insert(leaf.clone(), needed);
                (json!({"type": "map", "values": "string"}), json!({"key": leaf}))
            }
            Inside::Record(inside) => nested(inside),
            Inside::MaybeRecord(inside) => {
                let (shape, value) = nested(inside);
                (json!(["null", shape]), value)
            }
            Inside::List(inside) => {
                let (shape, value) = nested(inside);
                (json!({"type": "array", "items": shape}), json!([value]))
            }
        };
        schema.push(json!({"name": name, "type": shape, "labels": field.labels}));
        payload.insert(name, value);
    }
    (json!({"type": "record", "name": format!("r{path}"), "fields": schema}), Value::Object(payload))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_gets_what_their_labels_open_and_nothing_else(
        fields in fields(),
        roles in proptest::collection::vec(labels(), 0..4),
        holds in proptest::collection::vec(any::<bool>(), 4),
        own in labels(),
    ) {
        let mut leaves = BTreeMap::new();
        let (schema, payload) = build(&fields, "f", &Labels::new(), &mut leaves);
        // Every label must open something, so one more field carries them all; and it must not be too many views.
        let mut schema = schema;
        let every: Labels = roles.iter().flatten().copied().collect();
        schema["fields"].as_array_mut().unwrap().push(json!({"name": "all", "type": ["null", "string"], "default": null, "labels": every}));
        let named: Map<String, Value> = roles.iter().enumerate().map(|(n, labels)| (format!("role{n}"), json!(labels))).collect();
        let catalogue = json!({
            "name": "shop",
            "channels": {"shop": {"subscribe": "true"}},
            "types": {"shop.order": {"schema": "order.avsc", "channel": "shop"}},
            "roles": named,
        });
        let loaded = load(&[("catalogue.yaml", &catalogue.to_string()), ("order.avsc", &schema.to_string())]);
        let Ok(catalogues) = loaded else {
            let problem = loaded.err().unwrap();
            prop_assert!(problem.contains("each would be a view"), "{}", problem);
            return Ok(());
        };
        let attributes = attributes("shop.order", "shop:1");
        let policy = catalogues.event_type(&attributes.event_type).unwrap();
        let value = policy.schema().from_json(&payload).unwrap();
        let views = policy.route(&attributes, &attributes.channel, Timestamp::default(), &value).unwrap().views;
        prop_assert!(views.len() <= limits::VIEWS_PER_TYPE);

        let held_roles: Vec<String> = (0..roles.len()).filter(|n| holds[*n]).map(|n| format!("role{n}")).collect();
        let held_roles: Vec<&str> = held_roles.iter().map(String::as_str).collect();
        for own in [Labels::new(), own] {
            let own_labels: Vec<&str> = own.iter().copied().collect();
            let reader = bearer(&held_roles, &own_labels);
            let held = catalogues.labels_of(&reader);
            let view = views.iter().rfind(|view| view.labels.iter().all(|label| held.contains(label))).unwrap();
            let seen = String::from_utf8(view.data.to_vec()).unwrap();
            for (leaf, needed) in &leaves {
                let open = needed.iter().all(|label| held.contains(&Label::parse(label).unwrap()));
                prop_assert!(open || !seen.contains(leaf), "{} leaks {} to {:?}", seen, leaf, held);
                prop_assert!(!open || !own.is_empty() || seen.contains(leaf), "{} keeps {} from {:?}", seen, leaf, held);
            }
        }
    }
}
