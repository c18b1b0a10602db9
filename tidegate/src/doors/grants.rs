//! `/v1/grants`: what users are granted beside their tokens, asked for and changed by administrators of their tenant.
//!
//! In: requests with a token that has the role [`ADMINISTRATOR`]. Out: what a user is granted, or who is granted a channel. Nobody reaches
//! another tenant's users.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use journal::AuditLog;
use policy::grants::Change;
use policy::{Act, Claims, Doorkeeper, Presented};
use schemas::audit::{self, Entry, Who};
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use schemas::problem::{Problem, Slug};
use schemas::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::granting::{Granting, GrantingError, Shown, ShownUsers, entry};

/// The role of a token that may ask for grants and change them.
pub(crate) const ADMINISTRATOR: &str = "tidegate-admin";
/// As the audit names it.
const DOOR: &str = "/v1/grants";
/// Seconds after which a log that does not answer is asked again.
const RETRY_AFTER: u64 = 1;

#[derive(Debug)]
struct Door {
    granting: Granting,
    doorkeeper: Doorkeeper,
    audit: AuditLog,
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

/// What is wrong with a request, in words.
type Said = (Slug, String);

/// The routes.
pub(crate) fn routes(granting: Granting, doorkeeper: Doorkeeper, audit: AuditLog) -> Router {
    let door = Arc::new(Door { granting, doorkeeper, audit });
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
        let claims = self.administrator(headers, uri).await?;
        match about? {
            About { user: Some(user), channel: None } => {
                let user = user_of(&claims, &user).map_err(refused)?;
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
        let claims = self.administrator(headers, uri).await?;
        let About { user: Some(user), channel: None } = about? else {
            return Err(Slug::BadRequest.problem("name the user: ?user=<sub>"));
        };
        let (user, change) = (user_of(&claims, &user).map_err(refused)?, change?);
        let recorded = self.audit.record(entry(&user, &change, DOOR).by(claims.who())).await;
        recorded.map_err(|error| problem(GrantingError::Unavailable(error.to_string())))?;
        let changed = self.granting.change(&user, &change).await.map_err(problem)?;
        tracing::info!(by = claims.sub, tenant = %user.tenant, "grants of a user were changed");
        Ok(changed)
    }

    async fn administrator(&self, headers: &HeaderMap, uri: &Uri) -> Result<Claims, Problem> {
        let presented = Presented::new(headers, uri, Act::Change);
        let identified = self.doorkeeper.identify(presented, Timestamp::now()).await;
        let claims = identified.map_err(|error| {
            self.refuse(error.as_str(), Who::default());
            error.problem()
        })?;
        let slug = match (claims.sub.is_some(), claims.roles.contains(ADMINISTRATOR)) {
            (_, true) => return Ok(claims),
            (true, false) => Slug::Forbidden,
            (false, false) => Slug::Unauthorized,
        };
        self.refuse(slug.parts().0, claims.who());
        Err(slug.problem(format!("a token with the role {ADMINISTRATOR} is needed")))
    }

    fn refuse(&self, outcome: &str, who: Who) {
        self.audit.refuse(Entry::new(audit::Act::Refusal, DOOR, outcome).by(who));
    }
}

fn user_of(claims: &Claims, sub: &str) -> Result<User, Said> {
    User::new(claims.tenant.clone(), sub).map_err(|error| (Slug::BadRequest, error.to_string()))
}

fn refused((slug, detail): Said) -> Problem {
    slug.problem(detail)
}

fn malformed(error: &dyn std::fmt::Display) -> Problem {
    Slug::BadRequest.problem(error.to_string())
}

fn problem(error: GrantingError) -> Problem {
    match error {
        GrantingError::Change(error) => Slug::BadRequest.problem(error.to_string()),
        GrantingError::Unavailable(detail) => {
            Problem { retry_after: Some(RETRY_AFTER), ..Slug::Unavailable.problem(detail) }
        }
    }
}

fn answer(answered: Result<Value, Problem>) -> Response {
    match answered {
        Ok(value) => ([(CACHE_CONTROL, "no-store")], Json(value)).into_response(),
        Err(problem) => ingest::respond(&problem),
    }
}
