//! `/v1/users/{sub}`: everything that is kept of a person, given out as lines or erased.
//!
//! In: requests of an administrator of the person's tenant, or, to be given it, of the person. Out: a line for each row, and how many they were;
//! or which rows of which table were erased, when none is left. Nobody reaches another tenant's users.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use policy::{Act, Claims};
use schemas::audit::{self, Entry, Item};
use schemas::grant::User;
use schemas::problem::Problem;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::gate::{Gate, answer, away, misnamed, user_of};
use crate::forgetting::{Forgetting, ForgettingError};

/// As the audit names it.
pub(crate) const DOOR: &str = "/v1/users";
/// One JSON object a line.
const LINES_TYPE: &str = "application/x-ndjson";

#[derive(Debug)]
struct Door {
    forgetting: Forgetting,
    gate: Gate,
}

/// The routes.
pub(crate) fn routes(forgetting: Forgetting, gate: Gate) -> Router {
    let door = Arc::new(Door { forgetting, gate });
    doors().with_state(door).into()
}

/// What [`routes`] serves, for `/openapi.json`.
pub(crate) fn openapi() -> OpenApi {
    doors().into_openapi()
}

fn doors() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::default().routes(routes!(export, forget))
}

/// What was erased of a person.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only described")]
struct Erased {
    tenant: String,
    user: String,
    #[schema(inline)]
    tables: Vec<ErasedRows>,
}

/// Rows of one table.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only described")]
struct ErasedRows {
    table: String,
    erased: u64,
    /// Always 0 where the answer is 200.
    left: u64,
}

/// Everything that is kept of a person.
///
/// A JSON object a line: `{table, row}` for each row, and last how many there were. For the person, or a token with the role `tidegate-admin`.
#[utoipa::path(
    get, path = "/v1/users/{sub}", operation_id = "exportUser",
    security(("token" = [])),
    params(("sub" = String, Path, description = "As tokens name them in `sub`.", max_length = 512)),
    responses(
        (status = 200, description = "The rows.", content_type = "application/x-ndjson", body = String),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn export(State(door): State<Arc<Door>>, Path(sub): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    match door.export(&sub, &headers, &uri).await {
        Ok(lines) => ([(CONTENT_TYPE, LINES_TYPE), (CACHE_CONTROL, "no-store")], lines).into_response(),
        Err(problem) => ingest::respond(&problem),
    }
}

/// Forget a person: end their streams, tell others that they are offline, and erase every row of theirs.
///
/// The token needs the role `tidegate-admin`; it reaches users of its own tenant only. Answered when nothing is left. After a 503 the same
/// request goes on.
#[utoipa::path(
    delete, path = "/v1/users/{sub}", operation_id = "forgetUser",
    security(("token" = [])),
    params(("sub" = String, Path, description = "As tokens name them in `sub`.", max_length = 512)),
    responses(
        (status = 200, description = "How many rows of each table were erased.", body = Erased),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn forget(State(door): State<Arc<Door>>, Path(sub): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    answer(door.forget(&sub, &headers, &uri).await)
}

impl Door {
    async fn export(&self, sub: &str, headers: &HeaderMap, uri: &Uri) -> Result<Body, Problem> {
        let claims = self.gate.themselves(headers, uri, sub).await?;
        let user = user_of(&claims, sub).map_err(misnamed)?;
        self.gate.record(entry(audit::Act::Export, &user, "begun"), &claims).await?;
        let lines = self.forgetting.clone().export(user).await.map_err(problem)?;
        Ok(Body::from_stream(lines))
    }

    async fn forget(&self, sub: &str, headers: &HeaderMap, uri: &Uri) -> Result<Value, Problem> {
        let claims = self.gate.administrator(headers, uri, Act::Change).await?;
        let user = user_of(&claims, sub).map_err(misnamed)?;
        self.gate.record(entry(audit::Act::Erasure, &user, "begun"), &claims).await?;
        let erased = self.forgetting.forget(&user).await.map_err(problem)?;
        self.done(&user, &claims).await?;
        Ok(erased.to_json())
    }

    async fn done(&self, user: &User, claims: &Claims) -> Result<(), Problem> {
        tracing::info!(by = claims.sub, tenant = %user.tenant, "what was kept of a user is erased");
        self.gate.record(entry(audit::Act::Erasure, user, "done"), claims).await
    }
}

fn entry(act: audit::Act, user: &User, outcome: &str) -> Entry {
    Entry::new(act, DOOR, outcome).about([Item::named(&user.to_string())])
}

fn problem(error: ForgettingError) -> Problem {
    away(format!("{error}; what is erased is erased, and the same request goes on"))
}
