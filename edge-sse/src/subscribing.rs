//! The door for kept subscriptions: `PUT|GET|DELETE /v1/subscriptions/{device}`, and what a stream that names no channel subscribes to.
//!
//! In: a user's device and its channels. Out: what is kept, or a problem. Policy is not asked here: it decides when a stream begins.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use policy::Claims;
use schemas::channel::ChannelPattern;
use schemas::limits::CHANNELS_PER_CONNECTION;
use schemas::problem::{Problem, Slug};
use serde::{Deserialize, Serialize};
use store::{Device, KeptSubscription, Store, StoreError};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ask::Ask;
use crate::audited::Door;
use crate::edge::Shared;
use crate::refusal::{Refusal, problem};
use crate::tickets::json_body;
use crate::{bearer, cors};

/// When to ask again, while the store is away.
const AGAIN_SECONDS: u64 = 5;

/// Whose subscription it is.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "only described")]
struct OfDevice {
    #[param(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    device: Device,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Subscription)]
struct Wish {
    #[schema(min_items = 1, max_items = 64)]
    channels: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptSubscription)]
struct Kept {
    #[schema(value_type = String)]
    device: Device,
    channels: Vec<String>,
}

/// `PUT|GET|DELETE /v1/subscriptions/{device}`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    let methods = [Method::GET, Method::PUT, Method::DELETE];
    let cors = cors::with_bodies(origins).allow_methods(methods);
    OpenApiRouter::default().routes(routes!(look, keep, forget)).layer(cors)
}

/// What a request that names a device and no channel subscribes to: what the device keeps.
///
/// # Errors
/// It keeps nothing, which is a request without a channel; or, `Unavailable`, the store does not answer.
pub async fn fill(shared: &Shared, claims: &Claims, ask: &mut Ask) -> Result<(), Refusal> {
    let Some(device) = ask.device.as_ref().filter(|_| ask.channels.is_empty()) else { return Ok(()) };
    let kept = match bearer::user(claims) {
        Some(user) => store(shared)?.subscription(&user, device).await.map_err(away)?,
        None => None,
    };
    ask.channels = kept.iter().flat_map(|kept| &kept.channels).map(ToString::to_string).collect();
    ask.has_channels()
}

/// What a device subscribes to.
#[utoipa::path(
    get, path = "/v1/subscriptions/{device}", operation_id = "subscription",
    security(("token" = []), ("cookie" = [])),
    params(OfDevice),
    responses(
        (status = 200, description = "Its channels.", body = Kept),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 404, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn look(State(shared): State<Arc<Shared>>, Path(device): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let found = async {
        let claims = bearer::of_reader(&shared, &head.uri, &head.headers).await?;
        let (user, device) = (shared.known_user(&claims, Door::Subscriptions)?, parse(&device)?);
        let kept = store(&shared)?.subscription(&user, &device).await.map_err(away)?;
        kept.ok_or_else(|| Refusal::new(Slug::NotFound, "nothing is kept for this device"))
    };
    answer(found.await.map(Some))
}

/// Keep what a device subscribes to.
///
/// Applied when a stream or page with `resume=<device>` names no channel.
#[utoipa::path(
    put, path = "/v1/subscriptions/{device}", operation_id = "keepSubscription",
    security(("token" = []), ("cookie" = [])),
    params(OfDevice),
    request_body = Wish,
    responses(
        (status = 200, description = "It is kept.", body = Kept),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn keep(State(shared): State<Arc<Shared>>, Path(device): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let kept = async {
        let claims = bearer::of_sender(&shared, &head.uri, &head.headers).await?;
        let (user, device) = (shared.known_user(&claims, Door::Subscriptions)?, parse(&device)?);
        let wish: Option<Wish> = json_body(body).await?;
        let wish = wish.ok_or_else(|| Refusal::new(Slug::BadRequest, "send {\"channels\": [...]}"))?;
        let kept = KeptSubscription { device, channels: patterns(&wish.channels)? };
        shared.may_keep(&user, &claims, Door::Subscriptions)?;
        store(&shared)?.put_subscription(&user, &kept).await.map_err(away)?;
        Ok(Some(kept))
    };
    answer(kept.await)
}

/// Keep nothing for a device.
#[utoipa::path(
    delete, path = "/v1/subscriptions/{device}", operation_id = "forgetSubscription",
    security(("token" = []), ("cookie" = [])),
    params(OfDevice),
    responses(
        (status = 204, description = "Nothing is kept."),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn forget(State(shared): State<Arc<Shared>>, Path(device): Path<String>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let gone = async {
        let claims = bearer::of_sender(&shared, &head.uri, &head.headers).await?;
        let (user, device) = (shared.known_user(&claims, Door::Subscriptions)?, parse(&device)?);
        store(&shared)?.remove_subscription(&user, &device).await.map_err(away)?;
        Ok(None)
    };
    answer(gone.await)
}

fn answer(kept: Result<Option<KeptSubscription>, Refusal>) -> Response {
    match kept {
        Ok(Some(KeptSubscription { device, channels })) => {
            let kept = Kept { device, channels: channels.iter().map(ToString::to_string).collect() };
            ([(header::CACHE_CONTROL, "no-store")], Json(kept)).into_response()
        }
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => problem(&refusal),
    }
}

fn parse(device: &str) -> Result<Device, Refusal> {
    Device::parse(device).map_err(|error| Refusal::new(Slug::BadRequest, error.to_string()))
}

fn patterns(channels: &[String]) -> Result<Vec<ChannelPattern>, Refusal> {
    if channels.is_empty() || channels.len() > CHANNELS_PER_CONNECTION {
        let detail = format!("a device keeps 1 to {CHANNELS_PER_CONNECTION} channels; DELETE takes them away");
        return Err(Refusal::new(Slug::BadChannel, detail));
    }
    let bad = |_| Refusal::new(Slug::BadChannel, "channels are <kind>:<id>, or <kind>:*");
    channels.iter().map(|text| ChannelPattern::parse(text).map_err(bad)).collect()
}

fn store(shared: &Shared) -> Result<&Arc<dyn Store>, Refusal> {
    shared.store.as_ref().ok_or_else(|| Refusal::new(Slug::Unavailable, "this edge has no store: nothing is kept"))
}

fn away(error: StoreError) -> Refusal {
    match error {
        StoreError::Unavailable { .. } | StoreError::Timeout => {
            Refusal::new(Slug::Unavailable, "the store does not answer; ask again").again_after(AGAIN_SECONDS)
        }
        StoreError::Invalid { .. } => {
            tracing::error!(%error, "the store cannot take or read a subscription");
            Refusal::new(Slug::Unavailable, "the store cannot take or read this")
        }
    }
}
