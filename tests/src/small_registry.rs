//! A registry as small as one can be: the Confluent API's calls that register, look up and fetch, in memory.
//!
//! It does what the real registry of these tests does not: it knows GUIDs, and it can keep one schema back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running registry; it ends when this is dropped.
#[derive(Debug)]
pub struct SmallRegistry {
    /// Its base URL.
    pub address: String,
    kept_back: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// Every schema by `id - 1`: its subject and its text.
type Schemas = Arc<Mutex<Vec<(String, String)>>>;
/// The schemas, and the id of the one that is kept back (0 is none's).
type ById = (Schemas, Arc<AtomicUsize>);
type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

impl SmallRegistry {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// There is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (schemas, kept_back) = (Schemas::default(), Arc::new(AtomicUsize::new(0)));
        let by_id = get(by_id).with_state((schemas.clone(), kept_back.clone()));
        let routes = Router::new()
            .route("/subjects", get(|State(schemas): State<Schemas>| async move { Json(subjects(&schemas)) }))
            .route("/subjects/{subject}", post(register))
            .route("/subjects/{subject}/versions", post(register))
            .route("/subjects/{subject}/versions/latest", get(latest))
            .route("/schemas/ids/{id}", by_id)
            .route("/schemas/guids/{guid}", get(by_guid))
            .route(
                "/compatibility/subjects/{subject}/versions/latest",
                post(async || Json(json!({"is_compatible": true}))),
            )
            .route("/schemas/types", get(async || Json(json!(["AVRO"]))))
            .route("/config", get(async || Json(json!({"compatibilityLevel": "BACKWARD"}))).put(set_config))
            .route("/config/{subject}", put(set_config).get(async || Json(json!({"compatibilityLevel": "BACKWARD"}))))
            .with_state(schemas);
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { address, kept_back, task }
    }

    /// From now on it answers 503 for the schema of that id.
    pub fn keep_back(&self, id: u32) {
        self.kept_back.store(usize::try_from(id).unwrap_or_default(), Ordering::Relaxed);
    }
}

impl Drop for SmallRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The GUID of a schema: its id, spelt out.
fn guid(id: usize) -> String {
    format!("00000000-0000-4000-8000-{id:012x}")
}

fn not_found(code: u32, message: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({"error_code": code, "message": message})))
}

fn shown(id: usize, subject: &str, schema: &str) -> Value {
    json!({"id": id, "guid": guid(id), "version": 1, "subject": subject, "schema": schema, "schemaType": "AVRO"})
}

fn subjects(schemas: &Schemas) -> Value {
    let schemas = schemas.lock().expect("not poisoned");
    json!(schemas.iter().map(|(subject, _)| subject).collect::<Vec<_>>())
}

async fn register(State(schemas): State<Schemas>, Path(subject): Path<String>, Json(body): Json<Value>) -> Answer {
    let text = body["schema"].as_str().unwrap_or_default().to_owned();
    // Texts that differ only in white space are one schema.
    let same = |known: &str| serde_json::from_str::<Value>(known).ok() == serde_json::from_str(&text).ok();
    let mut schemas = schemas.lock().expect("not poisoned");
    let at = schemas.iter().position(|(_, known)| same(known)).unwrap_or_else(|| {
        schemas.push((subject.clone(), text.clone()));
        schemas.len() - 1
    });
    Ok(Json(shown(at + 1, &subject, &schemas[at].1)))
}

async fn latest(State(schemas): State<Schemas>, Path(subject): Path<String>) -> Answer {
    let schemas = schemas.lock().expect("not poisoned");
    let found = schemas.iter().rposition(|(of, _)| *of == subject);
    let at = found.ok_or_else(|| not_found(40_401, "subject not found"))?;
    Ok(Json(shown(at + 1, &subject, &schemas[at].1)))
}

async fn by_id(State((schemas, kept_back)): State<ById>, Path(id): Path<usize>) -> Answer {
    if id == kept_back.load(Ordering::Relaxed) {
        let busy = json!({"error_code": 50_301, "message": "later"});
        return Err((StatusCode::SERVICE_UNAVAILABLE, Json(busy)));
    }
    let schemas = schemas.lock().expect("not poisoned");
    let found = id.checked_sub(1).and_then(|at| schemas.get(at));
    found.map(|(subject, text)| Json(shown(id, subject, text))).ok_or_else(|| not_found(40_403, "schema not found"))
}

async fn by_guid(State(schemas): State<Schemas>, Path(asked): Path<String>) -> Answer {
    let schemas = schemas.lock().expect("not poisoned");
    let found = schemas.iter().enumerate().find(|(at, _)| guid(at + 1) == asked.to_lowercase());
    let (at, (subject, text)) = found.ok_or_else(|| not_found(40_403, "schema not found"))?;
    Ok(Json(shown(at + 1, subject, text)))
}

async fn set_config(Json(body): Json<Value>) -> Json<Value> {
    Json(json!({"compatibility": body["compatibility"]}))
}
