//! `/v1/grants`: what users are granted beside their tokens, asked for and changed by administrators of their tenant.
//!
//! In: requests with a token that has the role [`ADMINISTRATOR`](policy::ADMINISTRATOR). Out: what a user is granted, or who is granted a channel.
//! Nobody reaches another tenant's users.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::{Json, Router};
use policy::Act;
use policy::grants::Change;
use schemas::channel::ChannelPattern;
use schemas::problem::{Problem, Slug};
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::gate::{Gate, answer, away, misnamed, user_of};
use crate::granting::{Granting, GrantingError, Shown, ShownUsers, entry};

/// As the audit names it.
pub(crate) const DOOR: &str = "/v1/grants";

#[derive(Debug)]
struct Door {
    granting: Granting,
    gate: Gate,
}

/// Whom or what it is about: one of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct About {
    /// As tokens name them in `sub`.
    #[param(max_length = 512)]
    user: Option<String>,
    /// `<kind>:<id>`, or `<kind>:*`.
    #[param(max_length = 256)]
    channel: Option<String>,
}

/// A [`Change`] as it is written.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GrantChange)]
#[allow(dead_code, reason = "only described")]
struct Written {
    #[schema(inline)]
    change: Word,
    /// Scopes: a channel, `<kind>:*`, or `*`.
    #[schema(nullable = false)]
    channels: Option<Vec<String>>,
    /// With grant: events that the log took before are passed over.
    #[schema(format = DateTime)]
    visible_from: Option<String>,
    #[schema(nullable = false)]
    labels: Option<Vec<String>>,
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "only described")]
enum Word {
    Grant,
    Revoke,
}

/// What is asked for: one of both.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
enum Granted {
    OfUser(Shown),
    OfChannel(ShownUsers),
}

/// The routes.
pub(crate) fn routes(granting: Granting, gate: Gate) -> Router {
    let door = Arc::new(Door { granting, gate });
    doors().with_state(door).into()
}

/// What [`routes`] serves, for `/openapi.json`.
pub(crate) fn openapi() -> OpenApi {
    doors().into_openapi()
}

fn doors() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::default().routes(routes!(ask, change))
}

/// What a user is granted beside their token, or who is granted a channel.
///
/// Name one of both. The token needs the role `tidegate-admin`; it reaches users of its own tenant only.
#[utoipa::path(
    get, path = "/v1/grants", operation_id = "grants",
    security(("token" = [])),
    params(About),
    responses(
        (status = 200, description = "The user's grants, or the channel's users.", body = inline(Granted)),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn ask(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    uri: Uri,
    about: Result<Query<About>, QueryRejection>,
) -> Response {
    answer(door.ask(&headers, &uri, about.map(|Query(about)| about).map_err(|error| malformed(&error))).await)
}

/// Grant a user channels, labels or roles, or revoke them.
///
/// Reaches open streams within a second. Revoking the scope `*` takes everything.
#[utoipa::path(
    post, path = "/v1/grants", operation_id = "changeGrants",
    security(("token" = [])),
    params(("user" = String, Query, description = "As tokens name them in `sub`.", max_length = 512)),
    request_body = Written,
    responses(
        (status = 200, description = "What the user is granted now.", body = Shown),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 503, response = Problem),
    )
)]
async fn change(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    uri: Uri,
    about: Result<Query<About>, QueryRejection>,
    change: Result<Json<Change>, JsonRejection>,
) -> Response {
    let about = about.map(|Query(about)| about).map_err(|error| malformed(&error));
    let change = change.map(|Json(change)| change).map_err(|error| malformed(&error));
    answer(door.change(&headers, &uri, about, change).await)
}

impl Door {
    async fn ask(&self, headers: &HeaderMap, uri: &Uri, about: Result<About, Problem>) -> Result<Value, Problem> {
        let claims = self.gate.administrator(headers, uri, Act::Change).await?;
        match about? {
            About { user: Some(user), channel: None } => {
                let user = user_of(&claims, &user).map_err(misnamed)?;
                self.granting.of_user(&user).await.map_err(problem)
            }
            About { user: None, channel: Some(channel) } => {
                let channel =
                    ChannelPattern::parse(&channel).map_err(|error| Slug::BadChannel.problem(error.to_string()))?;
                self.granting.of_channel(&claims.tenant, &channel).await.map_err(problem)
            }
            About { .. } => {
                Err(Slug::BadRequest.problem("name a user or a channel: ?user=<sub> or ?channel=<kind>:<id>"))
            }
        }
    }

    async fn change(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        about: Result<About, Problem>,
        change: Result<Change, Problem>,
    ) -> Result<Value, Problem> {
        let claims = self.gate.administrator(headers, uri, Act::Change).await?;
        let About { user: Some(user), channel: None } = about? else {
            return Err(Slug::BadRequest.problem("name the user: ?user=<sub>"));
        };
        let (user, change) = (user_of(&claims, &user).map_err(misnamed)?, change?);
        self.gate.record(entry(&user, &change, DOOR), &claims).await?;
        let changed = self.granting.change(&user, &change).await.map_err(problem)?;
        tracing::info!(by = claims.sub, tenant = %user.tenant, "grants of a user were changed");
        Ok(changed)
    }
}

fn malformed(error: &dyn std::fmt::Display) -> Problem {
    Slug::BadRequest.problem(error.to_string())
}

fn problem(error: GrantingError) -> Problem {
    match error {
        GrantingError::Change(error) => Slug::BadRequest.problem(error.to_string()),
        GrantingError::Unavailable(detail) => away(detail),
    }
}
