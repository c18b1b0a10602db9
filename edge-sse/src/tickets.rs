//! The door for tickets: `POST /v1/tickets`, for whoever can send no header: an `EventSource`, a WebSocket of a browser.
//!
//! In: a bearer's request, which may name channels. Out: a ticket for them, or a problem. It never gives one to nobody.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use http::request::Parts;
use schemas::channel::ChannelPattern;
use schemas::limits;
use schemas::problem::{Problem, Slug};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audited::Door;
use crate::edge::Shared;
use crate::refusal::{Refusal, problem};
use crate::{bearer, cors, described};

/// Bytes of a body: 64 channels of 256 bytes, quoted.
pub const BODY_BYTES: usize = 32 * 1024;
/// How long a body may take.
const BODY_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TicketWish)]
struct Wish {
    /// For no others than these.
    #[schema(nullable = false, max_items = 64)]
    channels: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ticket)]
struct Given {
    ticket: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// `POST /v1/tickets`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(described::may_be_empty(routes!(give))).layer(cors::with_bodies(origins))
}

/// A ticket for a URL.
///
/// Where no header can be sent: presented as `?ticket=` for 60 s, it opens streams, history and WebSockets with the rights of the token, and
/// nothing else.
#[utoipa::path(
    post, path = "/v1/tickets", operation_id = "ticket",
    security(("token" = []), ("cookie" = [])),
    request_body = Wish,
    responses(
        (status = 200, description = "The ticket.", body = Given),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 413, response = Problem), (status = 503, response = Problem),
    )
)]
async fn give(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match ticket(&shared, &head, body).await {
        Ok(given) => ([(header::CACHE_CONTROL, "no-store")], Json(given)).into_response(),
        Err(refusal) => problem(&refusal),
    }
}

async fn ticket(shared: &Shared, head: &Parts, body: Body) -> Result<Given, Refusal> {
    let claims = bearer::of_sender(shared, &head.uri, &head.headers).await?;
    if claims.is_anonymous() {
        let refusal =
            Refusal::new(Slug::Unauthorized, "a ticket is for whoever has a token: send Authorization: Bearer");
        shared.record_refusal(&refusal, claims.who(), Door::Tickets);
        return Err(refusal);
    }
    let wish: Wish = json_body(body).await?.unwrap_or_default();
    let channels = wish.channels.as_deref().map(patterns).transpose()?;
    let ticket = shared.doorkeeper.ticket(&claims, channels.as_deref(), shared.clock.now());
    let ticket = ticket.map_err(|_| Refusal::new(Slug::TooLarge, "these claims do not fit into a ticket"))?;
    Ok(Given { ticket: ticket.ticket, expires_at: ticket.expires_at.to_string() })
}

fn patterns(texts: &[String]) -> Result<Vec<ChannelPattern>, Refusal> {
    let most = limits::CHANNELS_PER_CONNECTION;
    if texts.len() > most {
        return Err(Refusal::new(Slug::BadChannel, format!("a ticket is for {most} channels at most")));
    }
    let bad = |_| Refusal::new(Slug::BadChannel, "channels are <kind>:<id>, or <kind>:*");
    texts.iter().map(|text| ChannelPattern::parse(text).map_err(bad)).collect()
}

/// A body that is a JSON object, or none.
///
/// # Errors
/// Another body; always a status of 400.
pub async fn json_body<T: serde::de::DeserializeOwned>(body: Body) -> Result<Option<T>, Refusal> {
    let bad = |detail: String| Refusal::new(Slug::BadRequest, detail);
    let bytes = tokio::time::timeout(BODY_WAIT, to_bytes(body, BODY_BYTES))
        .await
        .map_err(|_| bad("the body took too long".to_owned()))?
        .map_err(|_| bad(format!("the body is cut, or over {BODY_BYTES} bytes")))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    // The parser's words may quote the body.
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|_| bad("the body is no JSON object of the documented form".to_owned()))
}
