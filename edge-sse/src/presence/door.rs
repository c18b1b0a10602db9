//! The door of presence: `PUT /v1/presence` says how one is, `GET /v1/presence` how others are.
//!
//! In: a signed-in user's word, or who is asked for. Out: 200 when the word is kept, and what the asker may see; a problem otherwise.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use http::request::Parts;
use http::{Method, header};
use policy::Claims;
use schemas::grant::User;
use schemas::problem::Slug;
use serde_json::{Value, json};
use store::{Connection, StoreError};

use super::fold::statement_id;
use super::said::Said;
use super::{Presences, seen};
use crate::audited::Door;
use crate::edge::Shared;
use crate::refusal::{Refusal, problem};
use crate::{bearer, cors, realtime};

/// When to ask again, where the store is away.
const AGAIN_AFTER_SECONDS: u64 = 1;

/// `PUT` and `GET /v1/presence`, also under its first name, where a POST says how one is.
pub fn routes(shared: Arc<Shared>) -> Router {
    let first = Router::new().route(realtime::PRESENCE, get(look).post(say)).layer(from_fn(realtime::by_body));
    let cors = cors::with_bodies(&shared.config.origins).allow_methods([Method::GET, Method::POST, Method::PUT]);
    Router::new().route("/v1/presence", put(say).get(look)).merge(first).layer(cors).with_state(shared)
}

async fn say(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let said = async {
        let claims = bearer::of_sender(&shared, &head.uri, &head.headers).await?;
        let said = Said::read(&head.method, &head.uri, body).await?;
        shared.say_presence(&claims, said, Door::Presence).await
    };
    answered(said.await)
}

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

fn answered(answer: Result<Value, Refusal>) -> Response {
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
    /// Nobody in particular says so, it is said too often, or it cannot be kept now.
    pub async fn say_presence(&self, claims: &Claims, said: Said, door: Door) -> Result<Value, Refusal> {
        let presences = self.presences()?;
        let Some(sub) = claims.sub.clone() else {
            let detail = "this needs a token that names its user: Authorization: Bearer";
            let refusal = Refusal::new(Slug::Unauthorized, detail);
            self.record_refusal(&refusal, claims.who(), door);
            return Err(refusal);
        };
        let user = User { tenant: claims.tenant.clone(), sub };
        self.pace(&user)?;
        let Said { status, device, custom } = said;
        let row = Connection {
            id: statement_id(device),
            node: presences.attendant.node,
            device,
            status: Some(status),
            custom,
            channels: Vec::new(),
            opened_at: self.clock.now(),
        };
        presences.attendant.store.put_connection(&user, &row).await.map_err(away)?;
        let answer = json!({"user_id": user.sub, "status": status, "device": device, "custom": row.custom});
        presences.desk.with(|desk, now| desk.enter(&user, row, now));
        Ok(answer)
    }
}

/// A store that does not answer, as a refusal.
pub fn away(error: StoreError) -> Refusal {
    tracing::debug!(%error, "the store does not answer");
    Refusal::new(Slug::Unavailable, "the store does not answer; say it again").again_after(AGAIN_AFTER_SECONDS)
}
