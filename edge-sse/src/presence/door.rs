//! The door of presence: `PUT /v1/presence` says how one is, `GET /v1/presence` how others are.
//!
//! In: a signed-in user's word, or who is asked for. Out: 200 when the word is kept, and what the asker may see; a problem otherwise.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{Method, StatusCode, header};
use policy::Claims;
use schemas::problem::{Problem, Slug};
use serde::Serialize;
use serde_json::Value;
use store::{Connection, StoreError};
use utoipa::openapi::HttpMethod;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::described::{Kept, Seen, WhoIsAsked};
use super::fold::statement_id;
use super::said::{Said, Written};
use super::{Presences, seen};
use crate::audited::Door;
use crate::edge::Shared;
use crate::realtime::{self, As};
use crate::refusal::{Refusal, problem};
use crate::{bearer, cors};

/// When to ask again, where the store is away.
const AGAIN_AFTER_SECONDS: u64 = 1;

/// `PUT` and `GET /v1/presence`, also under its first name, where a POST says how one is.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    let answers = [
        As { method: HttpMethod::Get, today: "/v1/presence", status: StatusCode::OK },
        As { method: HttpMethod::Post, today: "PUT /v1/presence", status: StatusCode::OK },
    ];
    let first = realtime::door(realtime::PRESENCE, &answers, get(look).post(say));
    let first = OpenApiRouter::default().routes(first).layer(from_fn(realtime::by_body));
    let cors = cors::with_bodies(origins).allow_methods([Method::GET, Method::POST, Method::PUT]);
    OpenApiRouter::default().routes(routes!(say, look)).merge(first).layer(cors)
}

/// Say how you are.
///
/// On one kind of device, for 300 s or as long as you have a stream open. Also POST /api/v1/realtime/presence.
#[utoipa::path(
    put, path = "/v1/presence", operation_id = "sayPresence",
    security(("token" = []), ("cookie" = [])),
    request_body = Written,
    responses(
        (status = 200, description = "It is kept.", body = Kept),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 405, response = Problem),
        (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn say(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let said = async {
        let claims = bearer::of_sender(&shared, &head.uri, &head.headers).await?;
        let said = Said::read(&head.method, &head.uri, body).await?;
        shared.say_presence(&claims, said, Door::Presence).await
    };
    answered(said.await)
}

/// How others are.
///
/// Those in a channel, or those who are named. Also GET /api/v1/realtime/presence.
#[utoipa::path(
    get, path = "/v1/presence", operation_id = "presence",
    security((), ("token" = []), ("cookie" = [])),
    params(WhoIsAsked),
    responses(
        (status = 200, description = "As the asker may see it.", body = Seen),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 405, response = Problem), (status = 422, response = Problem),
    )
)]
async fn look(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, _body) = request.into_parts();
    answered(seen_by(&shared, &head).await)
}

async fn seen_by(shared: &Shared, head: &Parts) -> Result<Value, Refusal> {
    let claims = bearer::of_reader(shared, &head.uri, &head.headers).await?;
    let asked = seen::Asked::read(&head.uri)?;
    let bearer = shared.grants.bearer(&Arc::new(claims));
    seen::seen(shared, shared.presences()?, &bearer, asked).await
}

fn answered<T: Serialize>(answer: Result<T, Refusal>) -> Response {
    match answer {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(refusal) => problem(&refusal),
    }
}

impl Shared {
    /// The part that keeps presence.
    ///
    /// # Errors
    /// This edge has no store, or cannot publish.
    pub fn presences(&self) -> Result<&Presences, Refusal> {
        let none = || Refusal::new(Slug::MethodNotAllowed, "this process keeps no presence: it has no store");
        self.presences.as_ref().ok_or_else(none)
    }

    /// A signed-in user says how they are, on one kind of device. It is kept when this returns, and others are told of a change at once.
    ///
    /// # Errors
    /// Nobody in particular says so, or somebody from whom everything is revoked; it is said too often, or it cannot be kept now.
    pub async fn say_presence(&self, claims: &Claims, said: Said, door: Door) -> Result<Kept, Refusal> {
        let presences = self.presences()?;
        let user = self.known_user(claims, door)?;
        self.pace(&user)?;
        self.may_keep(&user, claims, door)?;
        let Said { status, device, custom } = said;
        let row = Connection {
            id: statement_id(device, presences.attendant.node),
            node: presences.attendant.node,
            device,
            status: Some(status),
            custom,
            channels: Vec::new(),
            opened_at: self.clock.now(),
        };
        presences.attendant.store.put_connection(&user, &row).await.map_err(away)?;
        let kept = Kept { custom: row.custom.clone(), device, status, user_id: user.sub.clone() };
        presences.desk.with(|desk, now| {
            desk.enter(&user, row, now);
            if self.grants.shuts_out(&user) {
                desk.leave_said(&user, now);
            }
        });
        Ok(kept)
    }
}

/// A store that does not answer, as a refusal.
pub fn away(error: StoreError) -> Refusal {
    tracing::debug!(%error, "the store does not answer");
    Refusal::new(Slug::Unavailable, "the store does not answer; say it again").again_after(AGAIN_AFTER_SECONDS)
}
