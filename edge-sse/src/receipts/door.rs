//! The door of receipts: `POST /v1/receipts` says what one has, `GET /v1/receipts` who has an event, or how far somebody is.
//!
//! In: a signed-in user's word, or what is asked for. Out: 200 when the word is kept, and what the asker may see; a problem otherwise.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Uri, header};
use schemas::channel::Channel;
use schemas::id::EventId;
use schemas::limits::USER_BYTES;
use schemas::position::Position;
use schemas::problem::{Problem, Slug};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::said::{Said, Written, event_id, one_channel};
use super::{seen, standing};
use crate::ask::pairs;
use crate::audited::Door;
use crate::bearer::{ACCESS_TOKEN, TICKET};
use crate::edge::Shared;
use crate::refusal::{Refusal, problem};
use crate::{acking, bearer, cors};

/// Users of a page, where nothing is said, and at most.
const PAGE_USERS: usize = 100;

/// `POST` and `GET /v1/receipts`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(routes!(say, look)).layer(cors::with_bodies(origins))
}

/// A receipt was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptReceipt)]
struct Kept {
    kept: bool,
}

/// An event that is asked for, or a user: one of both.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
struct WhatIsAsked {
    #[param(max_length = 256)]
    channel: String,
    /// An event's id: who has it.
    event: Option<String>,
    /// With an event: the position that came with it, which finds it however old.
    #[param(max_length = 1024)]
    position: Option<String>,
    /// How far a user is.
    #[param(max_length = 512)]
    user: Option<String>,
    /// With an event: `next` of the page before.
    after: Option<usize>,
    /// With an event: users of a page.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// What is known: of an event, or of a user.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
enum Known {
    OfEvent(seen::Seen),
    OfUser(standing::Standing),
}

/// Say that an event, or all up to a position, was delivered or read.
///
/// Of an event that is not there, too old to be found, or not for this reader: 404, all the same.
#[utoipa::path(
    post, path = "/v1/receipts", operation_id = "sayReceipt",
    security(("token" = []), ("cookie" = [])),
    request_body = Written,
    responses(
        (status = 200, description = "It is kept, and its author was told.", body = Kept),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 404, response = Problem), (status = 405, response = Problem), (status = 422, response = Problem),
        (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn say(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let said = async {
        let claims = bearer::of_sender(&shared, &head.uri, &head.headers).await?;
        let said = Said::read(body).await?;
        shared.say_receipt(claims, said, Door::Receipts).await
    };
    answered(said.await.map(|()| Kept { kept: true }))
}

/// Who has an event, or how far a user is.
#[utoipa::path(
    get, path = "/v1/receipts", operation_id = "receipts",
    security(("token" = []), ("cookie" = [])),
    params(WhatIsAsked),
    responses(
        (status = 200, description = "As far as the asker may see.", body = inline(Known)),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 404, response = Problem), (status = 405, response = Problem), (status = 422, response = Problem),
        (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn look(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, _body) = request.into_parts();
    match asked(&shared, &head).await {
        Ok(answer) => answer,
        Err(refusal) => problem(&refusal),
    }
}

async fn asked(shared: &Shared, head: &Parts) -> Result<Response, Refusal> {
    let claims = bearer::of_reader(shared, &head.uri, &head.headers).await?;
    let Asked { channel, of } = Asked::read(&head.uri)?;
    let visit = shared.visit(claims, &channel, Door::Receipts)?;
    Ok(match of {
        Of::Event(asked) => answered(Ok(seen::seen(&visit, asked).await?)),
        Of::User(user) => answered(Ok(standing::standing(&visit, &user).await?)),
    })
}

fn answered(answer: Result<impl Serialize, Refusal>) -> Response {
    match answer {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(refusal) => problem(&refusal),
    }
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    channel: Channel,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Event(seen::Asked),
    User(String),
}

/// The query, name by name.
#[derive(Debug, Default)]
struct Query {
    channel: Option<String>,
    event: Option<EventId>,
    position: Option<Position>,
    user: Option<String>,
    after: usize,
    limit: Option<usize>,
}

impl Asked {
    fn read(uri: &Uri) -> Result<Self, Refusal> {
        let mut query = Query::default();
        for (name, value) in pairs(uri)? {
            query.take(&name, value)?;
        }
        let Query { channel, event, position, user, after, limit } = query;
        let bad = |detail: &str| Refusal::new(Slug::BadRequest, detail);
        let of = match (event, user) {
            (Some(event), None) => {
                Of::Event(seen::Asked { event, position, after, limit: limit.unwrap_or(PAGE_USERS) })
            }
            (None, Some(user)) => Of::User(user),
            (None, None) | (Some(_), Some(_)) => return Err(bad("name an event, by its id, or a user")),
        };
        Ok(Self { channel: one_channel(channel.as_deref())?, of })
    }
}

impl Query {
    fn take(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let bad = |detail: String| Refusal::new(Slug::BadRequest, detail);
        match name {
            "channel" => self.channel = Some(value),
            "event" => self.event = Some(event_id(&value)?),
            "position" => self.position = Some(acking::position(&value)?),
            "user" if value.is_empty() || value.len() > USER_BYTES => {
                return Err(bad(format!("a user has 1 to {USER_BYTES} bytes")));
            }
            "user" => self.user = Some(value),
            "after" => self.after = value.parse().map_err(|_| bad("after is no page's next".to_owned()))?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_USERS).contains(limit));
                self.limit = Some(limit.ok_or_else(|| bad(format!("limit is 1 to {PAGE_USERS}")))?);
            }
            TICKET | ACCESS_TOKEN => {}
            other => {
                let shown: String = other.chars().take(64).collect();
                let detail = format!("{shown:?} is unknown; known are channel, event, position, user, after, limit");
                return Err(Refusal::new(Slug::UnknownParameter, detail));
            }
        }
        Ok(())
    }
}
