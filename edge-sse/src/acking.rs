//! The door for acknowledgements: `POST /v1/acks`, for whoever reads a stream and can say nothing on it.
//!
//! In: a position, the device and its channels, from a bearer or with a ticket; `navigator.sendBeacon` can send it. Out: whether it is
//! stored, or a problem. It never moves a stream back.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{StatusCode, header};
use schemas::limits;
use schemas::position::{Position, Presented};
use schemas::problem::Slug;
use serde::{Deserialize, Serialize};
use store::Device;

use crate::acks::{Acknowledging, Kept};
use crate::audited::Door;
use crate::edge::Shared;
use crate::refusal::{Refusal, problem};
use crate::tickets::json_body;
use crate::{bearer, cors};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    id: String,
    device: Device,
    channels: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    stored: bool,
}

/// `POST /v1/acks`.
pub fn routes(shared: Arc<Shared>) -> Router {
    let cors = cors::with_bodies(&shared.config.origins);
    Router::new().route("/v1/acks", post(acknowledge)).layer(cors).with_state(shared)
}

async fn acknowledge(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match kept(&shared, request).await {
        Ok(kept) => {
            let (status, stored) = match kept {
                Kept::Stored => (StatusCode::OK, true),
                Kept::Waits => (StatusCode::ACCEPTED, false),
            };
            (status, [(header::CACHE_CONTROL, "no-store")], Json(Answer { stored })).into_response()
        }
        Err(refusal) => problem(&refusal),
    }
}

async fn kept(shared: &Shared, request: Request) -> Result<Kept, Refusal> {
    let (head, body) = request.into_parts();
    // It is a reader's: what opens a stream acknowledges it, a ticket too.
    let claims = bearer::of_reader(shared, &head.uri, &head.headers).await?;
    let said: Option<Said> = json_body(body).await?;
    let Some(Said { id, device, channels }) = said else {
        return Err(Refusal::new(Slug::BadRequest, "send {\"id\", \"device\", \"channels\"}"));
    };
    if channels.is_empty() || channels.len() > limits::CHANNELS_PER_CONNECTION {
        let most = limits::CHANNELS_PER_CONNECTION;
        return Err(Refusal::new(
            Slug::BadChannel,
            format!("a stream has 1 to {most} channels: name those that it asked for"),
        ));
    }
    let of = Acknowledging::of(&claims, &device, &channels).inspect_err(|refusal| {
        shared.record_refusal(refusal, claims.who(), Door::Acks);
    })?;
    shared.acks.acknowledge(of, &position(&id)?).await
}

/// A position that this build can read.
///
/// # Errors
/// It is none.
pub fn position(id: &str) -> Result<Position, Refusal> {
    let bad = |detail: String| Refusal::new(Slug::BadPosition, detail);
    match Position::parse(id).map_err(|error| bad(error.to_string()))? {
        Presented::Position(position) => Ok(position),
        Presented::Newer { .. } => Err(bad("the position is of a newer version than this edge reads".to_owned())),
    }
}
