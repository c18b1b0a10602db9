//! What a process serves is what it says that it serves, in every role; and docs/openapi.json is what `tidegate up` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use axum::routing::{delete, get, post};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::*;
use crate::openapi::merged;

const ROLES: [Role; 4] = [Role::Up, Role::Ingest, Role::Router, Role::Edge];
/// Methods that a door may have. HEAD comes with GET, OPTIONS with CORS.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
/// The page, which is for people.
const PAGE: [&str; 5] = ["/", "/page.js", "/people.js", "/page.css", "/icon.svg"];
/// Takes every method, because a WebSocket comes with GET or CONNECT; it is described with GET.
const SOCKET: &str = "/v1/ws";

/// The methods of each path.
type Doors = BTreeMap<String, BTreeSet<&'static str>>;

/// All routes of a process, and what it says of them.
fn process(role: Role) -> (Router, OpenApi) {
    let place = tempfile::tempdir().unwrap();
    let config = Config { data: place.path().to_owned(), ..Config::default() };
    let files = catalogue::read(&config.catalogue);
    let catalogues = Arc::new(Catalogues::of(files.clone()).unwrap());
    let identity = Identity::open(&config, role).unwrap();
    let log = log::open(&config).unwrap();
    let audit = audit::open(&config, &log).unwrap();
    let remembered = Remembered::open(&config, role).unwrap();
    let doorkeeper = identity.doorkeeper.clone();
    let world = World { config, log, catalogues, doorkeeper, audit, remembered };
    let roles = Roles::new(&world, role);
    let records = (world.log.clone(), world.audit.clone());
    let rollout = Rollout::new(&world.config, role, records, roles.takers(), (files, world.catalogues.clone()));
    let (standing, names, described) =
        (rollout.standing(), world.log.names.clone(), roles.described(world.remembered.is_some()));
    let whole = merged(&described);
    let parts = Parts { asks: Vec::new(), lesser: Vec::new(), standing, names, described };
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    (doors::routes(roles.routes(&world), parts, metrics), whole)
}

/// What a router serves. axum says it only where it is printed: `RouteId(1): MethodRouter(… get: None, …` and `RouteId(1): "/path"`.
fn served(router: &Router) -> Doors {
    let printed = format!("{router:?}");
    let (own, _fallback) = printed.split_once(", fallback_router:").expect("a router");
    let (routes, paths) = own.split_once("node: Node {").expect("its paths");
    let of_id = |text: &str| -> BTreeMap<String, String> {
        let entries = text.split("RouteId(").skip(1).filter_map(|entry| entry.split_once("): "));
        entries.map(|(id, entry)| (id.to_owned(), entry.to_owned())).collect()
    };
    let routes = of_id(routes);
    let methods = |id: &String| -> BTreeSet<&str> {
        METHODS.into_iter().filter(|method| !routes[id].contains(&format!(" {method}: None"))).collect()
    };
    let path = |entry: &String| entry.split('"').nth(1).expect("a path").to_owned();
    of_id(paths).iter().map(|(id, entry)| (path(entry), methods(id))).collect()
}

/// What is described.
fn described(whole: &Value) -> Doors {
    let paths = whole["paths"].as_object().unwrap();
    let methods = |item: &Value| METHODS.into_iter().filter(|method| item.get(method).is_some()).collect();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[test]
fn a_route_that_nobody_describes_is_seen() {
    let nothing = || async {};
    let own = Router::new().route("/a", get(nothing).put(nothing)).route("/b/{c}", delete(nothing));
    let later = Router::new().route("/a", post(nothing)).fallback(nothing).layer(axum::Extension(()));
    let seen = served(&own.merge(later));
    assert_eq!(seen, [("/a".into(), ["get", "post", "put"].into()), ("/b/{c}".into(), ["delete"].into())].into());
}

#[tokio::test]
async fn every_role_describes_all_that_it_serves_and_nothing_else() {
    for role in ROLES {
        let (router, whole) = process(role);
        let (mut serves, mut says) = (served(&router), described(&serde_json::to_value(&whole).unwrap()));
        assert!(serves.contains_key("/healthz"), "{role:?}: a router prints its paths");
        if role.serves_streams() {
            assert!(PAGE.iter().all(|file| serves.remove(*file).is_some()), "{role:?} has the page");
            assert_eq!((serves.remove(SOCKET), says.remove(SOCKET)), (Some([].into()), Some(["get"].into())));
        }
        assert_eq!(serves, says, "{role:?}: what is served, and what is described beside it");
    }
}

#[tokio::test]
async fn the_file_in_docs_is_what_a_whole_process_says() {
    let (_, whole) = process(Role::Up);
    let says = whole.to_pretty_json().unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &says).unwrap();
    }
    let is = fs::read_to_string(&file).unwrap();
    assert!(is == says, "docs/openapi.json is of other doors: UPDATE_DOCS=1 cargo test -p tidegate described");
}

#[test]
fn no_two_parts_call_different_schemas_by_one_name() {
    let parts: [Describe; 5] =
        [doors::openapi, doors::grants::openapi, doors::users::openapi, ingest::openapi, edge_sse::openapi];
    let mut named = BTreeMap::new();
    for part in parts {
        for (name, schema) in part().components.unwrap_or_default().schemas {
            let known = named.entry(name.clone()).or_insert_with(|| schema.clone());
            assert!(*known == schema, "{name} would be described as another part has it: say #[schema(as = …)]");
        }
    }
}
