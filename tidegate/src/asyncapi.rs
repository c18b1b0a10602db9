//! `/asyncapi.json`: the words on the wire for machines, with a channel for each domain and a message for each type of the catalogues.
//!
//! In: the description that stands in docs/, in which one channel stands for all domains; the catalogues, the names of topics. Out: the
//! description of this deployment. It names schemas and their labels, as the registry does, and no event.

use std::collections::BTreeMap;

use journal::TopicNames;
use policy::Catalogues;
use schemas::delivery::DELIVERY_SCHEMA;
use schemas::id::EventType;
use serde_json::{Map, Value, json};

/// The description, of any deployment.
const ANY: &str = include_str!("../../docs/asyncapi.json");
/// What describes an Avro schema where AsyncAPI expects JSON Schema.
const AVRO: &str = "application/vnd.apache.avro+json;version=1.9.0";

/// What this deployment speaks by these catalogues.
pub(crate) fn describe(catalogues: &Catalogues, names: &TopicNames) -> Value {
    let mut described = parsed(ANY);
    described["components"]["messages"]["delivery"]["payload"] = avro(DELIVERY_SCHEMA);
    let any = Any::take(&mut described);
    let mut domains = BTreeMap::<&str, Map<String, Value>>::new();
    for policy in catalogues.types() {
        let name = policy.event_type();
        let reference = json!({"$ref": format!("#/components/messages/{name}")});
        domains.entry(name.domain()).or_default().insert(name.to_string(), reference);
        described["components"]["messages"][name.as_str()] = any.message_of(name, policy.schema().text());
    }
    for (domain, messages) in domains {
        let channel = format!("events.{domain}");
        let mut operation = any.operation.clone();
        operation["channel"] = json!({"$ref": format!("#/channels/{channel}")});
        described["operations"][format!("publish.{domain}")] = operation;
        let address = names.events(domain);
        let description = &any.channel["description"];
        described["channels"][channel] = json!({"address": address, "description": description, "messages": messages});
    }
    described
}

/// What stands for all domains and types.
struct Any {
    channel: Value,
    operation: Value,
    message: Value,
}

impl Any {
    fn take(described: &mut Value) -> Self {
        let mut take = |path: &str, name: &str| {
            let held = described.pointer_mut(path).and_then(Value::as_object_mut);
            held.and_then(|held| held.remove(name)).unwrap_or_default()
        };
        let (channel, operation) = (take("/channels", "events"), take("/operations", "publish"));
        Self { channel, operation, message: take("/components/messages", "event") }
    }

    fn message_of(&self, name: &EventType, schema: &str) -> Value {
        let mut message = self.message.clone();
        message["name"] = json!(name);
        message["headers"]["properties"]["ce_type"] = json!({"const": name});
        message["payload"] = avro(schema);
        message
    }
}

fn avro(schema: &str) -> Value {
    json!({"schemaFormat": AVRO, "schema": parsed(schema)})
}

/// What was parsed before: by a test, or when its catalogue was loaded.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use policy::CatalogueSource;

    use super::*;

    #[test]
    fn every_type_of_the_catalogues_is_described_with_its_schema() {
        let sources = ["wikipedia", "teamwork"].map(|name| CatalogueSource::Shipped(name.to_owned()));
        let catalogues = Catalogues::load(&sources).unwrap();
        let described = describe(&catalogues, &TopicNames::new("p."));
        assert_eq!(described["channels"]["events.wiki"]["address"], "p.events.wiki");
        for policy in catalogues.types() {
            let name = policy.event_type();
            let message = &described["components"]["messages"][name.as_str()];
            assert_eq!(message["payload"]["schema"], parsed(policy.schema().text()), "{name}");
            assert_eq!(message["headers"]["properties"]["ce_type"]["const"], name.as_str());
            let channel = &described["channels"][format!("events.{}", name.domain())];
            assert_eq!(channel["messages"][name.as_str()]["$ref"], format!("#/components/messages/{name}"));
            assert!(described["operations"][format!("publish.{}", name.domain())].is_object());
        }
        assert_eq!(described["channels"]["events"], Value::Null, "nothing stands for all of them any more");
        assert!(
            described["channels"]["stream"].is_object() && described["components"]["messages"]["delivery"].is_object()
        );
    }
}
