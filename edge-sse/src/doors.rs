//! All doors of an edge, with what they say of themselves.
//!
//! Each door's module has the routes and stands in [`all`]. A handler's `#[utoipa::path]` says its path and method, and what it takes and
//! answers; `routes!` makes route and description of it, so that neither is without the other.

use std::sync::Arc;

use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::edge::Shared;
use crate::{acking, activity, door, history, preferring, presence, receipts, renewal, socket, subscribing, tickets};

/// One door, or some that go together: pages of these origins may read.
type Door = fn(&[String]) -> OpenApiRouter<Arc<Shared>>;

/// Every door but history, which shares its path with another role.
const DOORS: [Door; 10] = [
    door::routes,
    socket::routes,
    tickets::routes,
    renewal::routes,
    acking::routes,
    subscribing::routes,
    activity::routes,
    presence::routes,
    receipts::routes,
    preferring::routes,
];

/// All of them.
pub fn all(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    DOORS.into_iter().fold(OpenApiRouter::default(), |all, door| all.merge(door(origins)))
}

/// What [`Edge::routes`](crate::Edge::routes) and [`Edge::history`](crate::Edge::history) serve, for `/openapi.json`, but the page. Refusals are
/// the `Problem` of the whole.
#[must_use]
pub fn openapi() -> OpenApi {
    all(&[]).merge(history::routes()).into_openapi()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use schemas::limits::{CHANNEL_BYTES, CHANNELS_PER_CONNECTION, POSITION_TEXT_BYTES};
    use serde_json::Value;
    use store::limits::{DEVICE_BYTES, USERS_ASKED};

    use super::*;
    use crate::ask::KNOWN;

    fn described() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    /// The parameters of a GET, by name.
    fn parameters(path: &str) -> BTreeMap<String, Value> {
        let parameters = described()["paths"][path]["get"]["parameters"].as_array().unwrap().clone();
        parameters.into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one)).collect()
    }

    fn in_query(path: &str) -> BTreeSet<String> {
        parameters(path).into_iter().filter(|(_, one)| one["in"] == "query").map(|(name, _)| name).collect()
    }

    #[test]
    fn every_parameter_that_a_reader_may_send_is_described_and_no_other() {
        // The first names of lastEventId stand in its description; only a stream has names for its events.
        let known = |further: &str| -> BTreeSet<String> {
            let names = KNOWN.split(", ").filter(|name| !["last_event_id", "lastEvent", "named"].contains(name));
            names.chain(further.split(", ")).map(str::to_owned).collect()
        };
        assert_eq!(in_query("/v1/stream"), known("named"));
        assert_eq!(in_query("/v1/events"), known("after, wait, limit"));
        assert_eq!(in_query("/v1/ws"), known("token"));
    }

    #[test]
    fn the_limits_that_are_described_are_those_that_the_doors_go_by() {
        let device = format!("^[A-Za-z0-9._-]{{1,{DEVICE_BYTES}}}$");
        for path in ["/v1/stream", "/v1/events", "/v1/ws"] {
            let schema = |name: &str| parameters(path)[name]["schema"].clone();
            assert_eq!(schema("channel")["maxItems"], CHANNELS_PER_CONNECTION, "{path}");
            assert_eq!(schema("resume")["pattern"], device.as_str(), "{path}");
            for position in ["Last-Event-ID", "lastEventId"] {
                assert_eq!(schema(position)["maxLength"], POSITION_TEXT_BYTES, "{path} {position}");
            }
        }
        assert_eq!(parameters("/v1/presence")["user"]["schema"]["maxItems"], USERS_ASKED);
        assert_eq!(parameters("/v1/acks")["channel"]["schema"]["maxLength"], CHANNEL_BYTES);
        let schemas = &described()["components"]["schemas"];
        assert_eq!(schemas["Acknowledgement"]["properties"]["id"]["maxLength"], POSITION_TEXT_BYTES);
        assert_eq!(schemas["Acknowledgement"]["properties"]["device"]["pattern"], device.as_str());
        for of in ["Acknowledgement", "Subscription", "TicketWish"] {
            assert_eq!(schemas[of]["properties"]["channels"]["maxItems"], CHANNELS_PER_CONNECTION, "{of}");
        }
    }

    #[test]
    fn no_two_doors_call_different_schemas_by_one_name() {
        let mut named = BTreeMap::new();
        for door in DOORS.map(|door| door(&[])).into_iter().chain([history::routes()]) {
            for (name, schema) in door.into_openapi().components.unwrap_or_default().schemas {
                let known = named.entry(name.clone()).or_insert_with(|| schema.clone());
                assert!(*known == schema, "{name} would be described as another door has it: say #[schema(as = …)]");
            }
        }
    }
}
