//! A registry that knows GUIDs, as small as one can be: the Confluent API's calls that register, look up and fetch, in memory.
//!
//! The real registry of these tests has no GUIDs, so what needs them is tested against this.

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
    task: JoinHandle<()>,
}

/// Every schema by `id - 1`: its subject and its text.
type Schemas = Arc<Mutex<Vec<(String, String)>>>;
type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

impl SmallRegistry {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// There is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new()
            .route("/subjects", get(|State(schemas): State<Schemas>| async move { Json(subjects(&schemas)) }))
            .route("/subjects/{subject}", post(register))
            .route("/subjects/{subject}/versions", post(register))
            .route("/subjects/{subject}/versions/latest", get(latest))
            .route("/schemas/ids/{id}", get(by_id))
            .route("/schemas/guids/{guid}", get(by_guid))
            .route(
                "/compatibility/subjects/{subject}/versions/latest",
                post(async || Json(json!({"is_compatible": true}))),
            )
            .route("/schemas/types", get(async || Json(json!(["AVRO"]))))
            .route("/config", get(async || Json(json!({"compatibilityLevel": "BACKWARD"}))).put(set_config))
            .route("/config/{subject}", put(set_config).get(async || Json(json!({"compatibilityLevel": "BACKWARD"}))))
            .with_state(Schemas::default());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { address, task }
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

async fn by_id(State(schemas): State<Schemas>, Path(id): Path<usize>) -> Answer {
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
