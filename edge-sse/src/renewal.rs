//! The door for fresh tokens: `POST /v1/connections/{id}/token`, so that a stream outlives the token that it was opened with.
//!
//! In: a token, in the header, in a cookie or in the body, and the id that the stream's first block said. Out: until when the stream lives now,
//! or a problem. A connection that is not there, or is of another tenant, is told apart by nobody.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use http::request::Parts;
use policy::Claims;
use schemas::problem::{Problem, Slug};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::audited::Door;
use crate::edge::Shared;
use crate::refusal::{Refusal, problem};
use crate::rights::Renewed;
use crate::tickets::json_body;
use crate::{bearer, cors, described};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FreshToken)]
struct Fresh {
    token: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Renewed)]
struct Lives {
    /// None where the token does not end.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// `POST /v1/connections/{id}/token`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(described::may_be_empty(routes!(renew))).layer(cors::with_bodies(origins))
}

/// A fresh token for an open stream.
///
/// The stream or WebSocket of this `connection_id` goes on with the new token's end and rights, without connecting again. The token stands
/// in the header, the cookie, or the body.
#[utoipa::path(
    post, path = "/v1/connections/{id}/token", operation_id = "renewToken",
    security(("token" = []), ("cookie" = []), ()),
    params(("id" = String, Path, format = "uuid")),
    request_body = Fresh,
    responses(
        (status = 200, description = "Until when it lives now.", body = Lives),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 404, response = Problem), (status = 503, response = Problem),
    )
)]
async fn renew(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match renewed(&shared, &id, &head, body).await {
        Ok(lives) => ([(header::CACHE_CONTROL, "no-store")], Json(lives)).into_response(),
        Err(refusal) => problem(&refusal),
    }
}

async fn renewed(shared: &Shared, id: &str, head: &Parts, body: Body) -> Result<Lives, Refusal> {
    let claims = fresh(shared, head, body).await?;
    if claims.is_anonymous() {
        let refusal =
            Refusal::new(Slug::Unauthorized, "send the fresh token: Authorization: Bearer, or {\"token\": …}");
        shared.record_refusal(&refusal, claims.who(), Door::Connections);
        return Err(refusal);
    }
    let unknown = || Refusal::new(Slug::NotFound, "no connection of this bearer has this id on this edge");
    let id = Uuid::parse_str(id).map_err(|_| unknown())?;
    let (who, expires_at) = (claims.who(), claims.exp.map(|at| at.to_string()));
    match shared.renew(id, claims) {
        Renewed::Done => Ok(Lives { expires_at }),
        Renewed::Unknown => Err(unknown()),
        Renewed::Foreign => {
            let refusal = Refusal::new(Slug::Forbidden, "the connection is another user's");
            shared.record_refusal(&refusal, who, Door::Connections);
            Err(refusal)
        }
    }
}

/// A token in the body is meant; what a browser sends along beside it is not.
async fn fresh(shared: &Shared, head: &Parts, body: Body) -> Result<Claims, Refusal> {
    match json_body::<Fresh>(body).await? {
        Some(Fresh { token }) => Ok(bearer::of_token(shared, &token).await?),
        None => Ok(bearer::of_sender(shared, &head.uri, &head.headers).await?),
    }
}
