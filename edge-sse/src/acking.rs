//! The door for acknowledgements: `POST /v1/acks`, for whoever reads a stream and can say nothing on it, and `GET /v1/acks`, where a user's
//! devices stand, and how far they are together.
//!
//! In: a position, the device and its channels, from a bearer or with a ticket; `navigator.sendBeacon` can send it. Out: whether it is
//! stored; what is stored of a channel; or a problem. It never moves a stream back.

mod seen;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use policy::{ADMINISTRATOR, Claims};
use schemas::channel::{Channel, ChannelPattern};
use schemas::grant::User;
use schemas::limits;
use schemas::position::{Position, Presented};
use schemas::problem::{Problem, Slug};
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::Device;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::acks::{Acknowledging, Kept};
use crate::ask::{Ask, pairs};
use crate::audited::Door;
use crate::edge::Shared;
use crate::entry::channel_key;
use crate::refusal::{Refusal, problem};
use crate::tickets::json_body;
use crate::{bearer, cors};

/// When to ask again, while the store is away.
const AGAIN_SECONDS: u64 = 5;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Acknowledgement)]
struct Said {
    /// What stands before this position was received.
    #[schema(max_length = 1024)]
    id: String,
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    device: Device,
    /// Those that the stream asked for.
    #[schema(min_items = 1, max_items = 64)]
    channels: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Acknowledged)]
struct Answer {
    stored: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cursors)]
struct Standing {
    #[schema(inline)]
    cursors: Vec<Stands>,
    /// Behind this position they have acknowledged nothing on any device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    seen: Option<String>,
}

/// Where a device stands: behind this position it has acknowledged nothing.
#[derive(Debug, Serialize, ToSchema)]
struct Stands {
    #[schema(value_type = String)]
    device: Device,
    channels: Vec<String>,
    id: String,
    #[schema(format = DateTime)]
    acknowledged_at: String,
}

/// `POST /v1/acks`, `GET /v1/acks`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(routes!(acknowledge, stand)).layer(cors::with_bodies(origins))
}

/// Acknowledge a position.
///
/// Of a user's device, for `resume=<device>`. For `navigator.sendBeacon`, too: any content type, and a ticket or a cookie says whose it is.
#[utoipa::path(
    post, path = "/v1/acks", operation_id = "acknowledge",
    security(("token" = []), ("cookie" = [])),
    params(("ticket" = inline(Option<String>), Query, description = "Of POST /v1/tickets.")),
    request_body = Said,
    responses(
        (status = 200, description = "It is stored.", body = Answer),
        (status = 202, description = "It waits for the store.", body = Answer),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
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

/// Where a user's devices stand on a channel, and how far they are together.
#[utoipa::path(
    get, path = "/v1/acks", operation_id = "cursors",
    security(("token" = []), ("cookie" = [])),
    params(
        ("channel" = String, Query, max_length = 256),
        ("user" = inline(Option<String>), Query, description = "Another user's, with the role `tidegate-admin`."),
    ),
    responses(
        (status = 200, description = "What is stored of it: behind its id a device has acknowledged nothing.", body = Standing),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn stand(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match standing(&shared, &head.uri, &head.headers).await {
        Ok(standing) => ([(header::CACHE_CONTROL, "no-store")], Json(standing)).into_response(),
        Err(refusal) => problem(&refusal),
    }
}

async fn standing(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<Standing, Refusal> {
    let (asked_for, pairs) = pairs(uri)?.into_iter().partition::<Vec<_>, _>(|(name, _)| name == "user");
    let ask = Ask::of(pairs, headers, ", user")?;
    let bad = || Refusal::new(Slug::BadChannel, "name one channel, <kind>:<id>");
    let [channel] = ask.channels.as_slice() else { return Err(bad()) };
    let channel = Channel::parse(channel).map_err(|_| bad())?;
    let claims = bearer::of_reader(shared, uri, headers).await?;
    let user = whose(&claims, asked_for).inspect_err(|refusal| {
        shared.record_refusal(refusal, claims.who(), Door::Acks);
    })?;
    let away = |_| Refusal::new(Slug::Unavailable, "the store does not answer; ask again").again_after(AGAIN_SECONDS);
    let store = shared.store.as_ref().ok_or_else(|| Refusal::new(Slug::Unavailable, "this edge has no store"))?;
    let covers = |text: &String| ChannelPattern::parse(text).is_ok_and(|pattern| pattern.covers(&channel));
    let cursors = store.cursors(&user).await.map_err(away)?.into_iter();
    let cursors = cursors.filter(|(_, cursor)| cursor.channels.iter().any(covers)).map(|(key, cursor)| Stands {
        device: key.device,
        channels: cursor.channels,
        id: cursor.position,
        acknowledged_at: Timestamp::from_millis(cursor.acknowledged.0 / 1_000).to_string(),
    });
    let cursors: Vec<Stands> = cursors.collect();
    let positions: Vec<Position> = cursors.iter().filter_map(|stands| position(&stands.id).ok()).collect();
    let session = shared.session().filter(|_| !positions.is_empty());
    let topics = session.map(|session| session.windows.topics());
    let key = channel_key(&user.tenant, &channel);
    let seen = topics.and_then(|topics| seen::furthest(&positions, &key, &topics.generations));
    Ok(Standing { cursors, seen: seen.map(|seen| seen.to_string()) })
}

/// Whose devices are asked for: the bearer's own, or of their tenant whomever an administrator names.
fn whose(claims: &Claims, asked_for: Vec<(String, String)>) -> Result<User, Refusal> {
    let own = bearer::known_user(claims)?;
    let Some((_, sub)) = asked_for.into_iter().next_back() else { return Ok(own) };
    match own.sub == sub || claims.roles.contains(ADMINISTRATOR) {
        true => User::new(own.tenant, &sub).map_err(|error| Refusal::new(Slug::BadRequest, error.to_string())),
        false => {
            let detail = format!("another user's devices are for a token with the role {ADMINISTRATOR}");
            Err(Refusal::new(Slug::Forbidden, detail))
        }
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
    shared.acks.acknowledge(of, &position(&id)?).await.inspect_err(|refusal| {
        shared.record_refusal(refusal, claims.who(), Door::Acks);
    })
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
