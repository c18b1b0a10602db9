//! Typing: from a `POST /v1/typing` at one edge to the event at a reader of another edge.

use benches::error::Failure;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::stream::sent;
use crate::told::{Key, Told};
use crate::world::{At, World};

/// Users in a room.
const ROOM: usize = 4;

/// So many users type, once each.
///
/// # Errors
/// A request is refused.
pub(crate) async fn measure(world: &World, users: usize) -> Result<(), Failure> {
    let rooms: Vec<String> = (0..users).step_by(ROOM).map(room).collect();
    let mut told = Told::to(world.observers(&rooms).await?, key);
    let types = |number| Ok(((format!("t{number}"), "true".to_owned()), sent(typing(world, At::Here, number)?)));
    let typed = told.time((0..users).map(types).collect::<Result<Vec<_>, Failure>>()?).await?;
    typed.say("typing, POST to a reader of another edge", "target: p99 under 200 ms");
    Ok(())
}

/// Somebody types at an edge.
///
/// # Errors
/// It is refused.
pub(crate) async fn say(world: &World, at: At) -> Result<(), Failure> {
    sent(typing(world, at, 0)?).await
}

fn room(user: usize) -> String {
    format!("room:t{}", user / ROOM)
}

fn typing(world: &World, at: At, number: usize) -> Result<RequestBuilder, Failure> {
    let request = world.ask(at, Method::POST, "/v1/typing", Some(&format!("t{number}")))?;
    Ok(request.json(&json!({"channel": room(number), "content": "g1", "active": true})))
}

fn key(event: &Value) -> Option<Key> {
    let active = event["data"]["active"].as_bool()?.to_string();
    Some((event["data"]["user_id"].as_str()?.to_owned(), active)).filter(|_| event["type"] == "wiki.typing")
}
