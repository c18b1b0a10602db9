//! Presence: from a stream that opens or ends, and from a `PUT /v1/presence`, at one edge, to the event at a reader of another edge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use benches::error::Failure;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::stream::{Stream, sent};
use crate::told::{Key, Outcome, Told};
use crate::world::{At, World};

/// Users in a room.
const ROOM: usize = 4;
const TARGET: &str = "target: p99 under 1000 ms";

/// Streams that are open, by their user.
type Open = Arc<Mutex<HashMap<String, Stream>>>;

#[derive(Debug)]
struct User {
    name: String,
    room: String,
}

/// What came of the users of one pass.
struct Pass {
    came: Outcome,
    said: Outcome,
    went: Outcome,
}

/// So many users come; half of them say twice how they are, and the streams of the others end. As many others do so before, and count for nothing: a
/// store that has just started, whose code is not compiled yet, would be what is measured.
///
/// # Errors
/// A request is refused.
pub(crate) async fn measure(world: &World, users: usize) -> Result<(), Failure> {
    let named = |pass| (0..users).map(|number| User::new(pass, number)).collect();
    pass(world, named("w")).await?;
    let Pass { came, said, went } = pass(world, named("p")).await?;
    said.say(&format!("presence, PUT to a reader of another edge, {users} streams open"), TARGET);
    came.say("… a stream opens", TARGET);
    went.say("… a stream ends", TARGET);
    Ok(())
}

async fn pass(world: &World, users: Vec<User>) -> Result<Pass, Failure> {
    let (saying, silent) = users.split_at(users.len() / 2);
    let rooms: Vec<String> = users.iter().step_by(ROOM).map(|user| user.room.clone()).collect();
    let (mut told, open) = (Told::to(world.observers(&rooms).await?, key), Open::default());

    let comes = |user: &User| Ok((user.is("online"), opening(user.name.clone(), user.stream(world)?, open.clone())));
    let came = told.time(users.iter().map(comes).collect::<Result<Vec<_>, Failure>>()?).await?;
    let says = |status| saying.iter().map(move |user| Ok((user.is(status), sent(user.says(world, status)?))));
    let said = told.time(says("busy").chain(says("away")).collect::<Result<Vec<_>, Failure>>()?).await?;
    let went =
        told.time(silent.iter().map(|user| (user.is("offline"), ending(user.name.clone(), open.clone())))).await?;

    drop(open);
    world.calm().await?;
    Ok(Pass { came, said, went })
}

impl User {
    fn new(pass: &str, number: usize) -> Self {
        Self { name: format!("{pass}{number}"), room: format!("room:{pass}{}", number / ROOM) }
    }

    fn is(&self, status: &str) -> Key {
        (self.name.clone(), status.to_owned())
    }

    fn stream(&self, world: &World) -> Result<RequestBuilder, Failure> {
        world.ask(At::Here, Method::GET, &format!("/v1/stream?channel={}", self.room), Some(&self.name))
    }

    fn says(&self, world: &World, status: &str) -> Result<RequestBuilder, Failure> {
        let request = world.ask(At::Here, Method::PUT, "/v1/presence", Some(&self.name))?;
        Ok(request.json(&json!({ "status": status })))
    }
}

async fn opening(user: String, request: RequestBuilder, open: Open) -> Result<(), Failure> {
    let stream = Stream::open(request).await?;
    open.lock().unwrap_or_else(PoisonError::into_inner).insert(user, stream);
    Ok(())
}

async fn ending(user: String, open: Open) -> Result<(), Failure> {
    drop(open.lock().unwrap_or_else(PoisonError::into_inner).remove(&user));
    Ok(())
}

fn key(event: &Value) -> Option<Key> {
    let text = |name: &str| event["data"][name].as_str().map(str::to_owned);
    Some((text("user_id")?, text("status")?)).filter(|_| event["type"] == "wiki.presence")
}
