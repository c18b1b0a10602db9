//! The door for WebSockets: `GET /v1/ws` from a request to a conversation (RFC 6455; over HTTP/2 by RFC 8441).
//!
//! In: requests. Out: 101 and a conversation, or a problem for what can never be served. Who cannot be served now is let in and told so.

mod said;
mod frames;
mod pace;
mod line;
mod goodbye;
mod conversation;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use axum::routing::any;
use http::{HeaderMap, Uri};
use schemas::audit::Who;
use schemas::problem::{Problem, Slug};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::acks;
use crate::ask::{Ask, pairs};
use crate::audited::Door;
use crate::bearer;
use crate::caller::{Caller, Household};
use crate::cors;
use crate::edge::Shared;
use crate::parameters::{Begins, GoesOn, SocketChannels, Token};
use crate::refusal::{Refusal, problem};
use crate::subscription::Subscription;
use conversation::{Conversation, Opening};
use line::Line;

/// What is read of a socket at a time: a message larger than this takes several reads, and no memory beyond its own.
const READ_BYTES: usize = 4 * 1024;
/// What gathers before the socket is written to.
const WRITE_BYTES: usize = 16 * 1024;
/// A message so many times as large as the limit ends the connection: it is not read to its end.
const HARD_LIMIT: usize = 4;
/// Names that this door takes beside those of every door.
const FURTHER: &str = ", token";

/// `GET /v1/ws`.
pub fn routes(_origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    // Over HTTP/2 the method is CONNECT, which OpenAPI does not know.
    OpenApiRouter::default().routes(routes!(upgrade).map(|_get| any(upgrade)))
}

/// A WebSocket.
///
/// Subscribes, unsubscribes and publishes without connecting again; its messages are in the AsyncAPI description.
#[utoipa::path(
    get, path = "/v1/ws", operation_id = "socket",
    security((), ("token" = []), ("cookie" = [])),
    params(SocketChannels, GoesOn, Begins, Token),
    responses(
        (status = 101, description = "The conversation begins."),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
    )
)]
async fn upgrade(
    State(shared): State<Arc<Shared>>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let caller = caller.map(|Extension(caller)| caller);
    let opening = match opening(&shared, &uri, &headers, caller.as_ref().map(|caller| caller.household)).await {
        Ok(opening) => opening,
        Err(refusal) => return problem(&refusal),
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return problem(&Refusal::new(Slug::BadRequest, format!("no WebSocket: {rejection}"))),
    };
    let most = shared.config.socket_message_bytes.saturating_mul(HARD_LIMIT);
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| async move {
            let line = Line::new(socket, shared.config.stall);
            Conversation::hold(shared, line, opening).await;
            drop(caller); // the connection has its place in the listener until here
        })
}

/// Everything that can be refused before there is a socket.
async fn opening(
    shared: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
    household: Option<Household>,
) -> Result<Opening, Refusal> {
    let rest = pairs(uri)?.into_iter().filter(|(name, _)| name != bearer::TOKEN).collect();
    let mut ask = Ask::of(rest, headers, FURTHER)?;
    if !cors::may_read(&shared.config.origins, headers, uri) {
        let refusal = Refusal::new(Slug::Forbidden, "pages of this origin may not read here");
        shared.record_refusal(&refusal, Who::default(), Door::Socket);
        return Err(refusal);
    }
    let claims = bearer::of_socket(shared, uri, headers).await?;
    let filter = shared.filters.of(ask.filter.as_deref())?;
    let bearer = shared.grants.bearer(&Arc::new(claims));
    let catalogues = shared.catalogues();
    let subscription = match ask.channels.is_empty() {
        true => Subscription::nothing(),
        false => shared.decide(&bearer, &ask.channels, Door::Socket)?,
    };
    if !ask.channels.is_empty() {
        acks::resume(&shared.acks, &bearer.claims, &mut ask).await;
    }
    Ok(Opening { ask, bearer, household, catalogues, subscription: subscription.filtered(filter) })
}
