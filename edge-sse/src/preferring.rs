//! The door for preferences: `PUT` and `GET /v1/preferences`, what users set for themselves, wherever they are.
//!
//! In: a signed-in user, and what they set. Out: what is kept, or a problem.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, header};
use schemas::problem::{Problem, Slug};
use serde::{Deserialize, Serialize};
use store::{Preference, Visibility};
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audited::Door;
use crate::described::one_of;
use crate::edge::Shared;
use crate::presence::away;
use crate::refusal::{Refusal, problem};
use crate::tickets::json_body;
use crate::{bearer, cors};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Preferences)]
struct Set {
    /// Who gets to know what they say that they have, from now on.
    #[schema(schema_with = visibilities)]
    receipts: Visibility,
}

/// `PUT|GET /v1/preferences`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    let cors = cors::with_bodies(origins).allow_methods([Method::GET, Method::PUT]);
    OpenApiRouter::default().routes(routes!(look, keep)).layer(cors)
}

fn visibilities() -> Object {
    one_of(Visibility::ALL.map(Visibility::as_str)).build()
}

/// What a user has set.
#[utoipa::path(
    get, path = "/v1/preferences", operation_id = "preferences",
    security(("token" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "What stands, also where nothing was set.", body = Set),
        (status = 401, response = Problem), (status = 403, response = Problem), (status = 405, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn look(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let set = async {
        let claims = bearer::of_reader(&shared, &head.uri, &head.headers).await?;
        let user = shared.known_user(&claims, Door::Preferences)?;
        shared.receipts_store()?.preference(&user).await.map(Option::unwrap_or_default).map_err(away)
    };
    answered(set.await)
}

/// Set it, on all devices.
#[utoipa::path(
    put, path = "/v1/preferences", operation_id = "setPreferences",
    security(("token" = []), ("cookie" = [])),
    request_body = Set,
    responses(
        (status = 200, description = "It is kept.", body = Set),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 405, response = Problem), (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn keep(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let set = async {
        let claims = bearer::of_sender(&shared, &head.uri, &head.headers).await?;
        let user = shared.known_user(&claims, Door::Preferences)?;
        let set: Option<Set> = json_body(body).await?;
        let bad = || Refusal::new(Slug::BadRequest, "send {\"receipts\": \"shown\"}, or \"hidden\"");
        let preference = Preference { receipts: set.ok_or_else(bad)?.receipts };
        shared.pace(&user)?;
        shared.may_keep(&user, &claims, Door::Preferences)?;
        shared.receipts_store()?.put_preference(&user, &preference).await.map_err(away)?;
        Ok(preference)
    };
    answered(set.await)
}

fn answered(set: Result<Preference, Refusal>) -> Response {
    match set {
        Ok(Preference { receipts }) => ([(header::CACHE_CONTROL, "no-store")], Json(Set { receipts })).into_response(),
        Err(refusal) => problem(&refusal),
    }
}
