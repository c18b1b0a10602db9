//! The door: `GET /v1/stream` from a request to an open stream, and the page.
//!
//! In: requests. Out: 200 and a stream for whoever is granted a channel, a problem for a request that can never be served. What may be
//! served later is 200, too, with a `tidegate.bye`: a browser never comes again after an error.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use policy::{Catalogues, IdentityError};
use schemas::problem::{Problem, Slug};
use utoipa::openapi::HttpMethod;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::arrival::{Arrival, Lasts, arrive};
use crate::ask::Ask;
use crate::audited::Door;
use crate::caller::{Caller, Household};
use crate::edge::Shared;
use crate::encoding::{Encoding, Member};
use crate::grants::Bearer;
use crate::notice::ByeReason;
use crate::parameters::{Begins, Channels, GoesOn, Named};
use crate::realtime::As;
use crate::refusal::{Refusal, problem};
use crate::stream::{Parts, Stream, bye, opened};
use crate::subscription::Subscription;
use crate::takeover::{MayTakeOver, Takeover};
use crate::{acks, bearer, coded, cors, realtime, subscribing};

/// What the listener says of a request.
struct From {
    household: Option<Household>,
    may_take_over: bool,
}

/// `GET /v1/stream`, also under its first name.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(stream).map(|methods| methods.head(not_allowed).fallback(not_allowed)))
        .layer(cors::layer(origins))
        .merge(by_first_name(origins))
}

/// The same under the first specification's name, where a POST may say what it wants in its body.
fn by_first_name(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    let methods = get(stream).post(stream).head(not_allowed).fallback(not_allowed);
    let same = |method| As { method, today: "/v1/stream", status: StatusCode::OK };
    let answers = [same(HttpMethod::Get), same(HttpMethod::Post)];
    OpenApiRouter::default()
        .routes(realtime::door(realtime::SUBSCRIBE, &answers, methods))
        .layer(from_fn(realtime::by_body))
        .layer(cors::with_bodies(origins))
}

async fn not_allowed() -> Response {
    let mut answer = problem(&Refusal::new(Slug::MethodNotAllowed, "a stream is taken with GET"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, OPTIONS"));
    answer
}

/// An event stream.
///
/// Opens with `tidegate.ready`; every block's id is the position of the whole stream. Without a start it begins now. An unknown parameter
/// is 400.
#[utoipa::path(
    get, path = "/v1/stream", operation_id = "stream",
    security((), ("token" = []), ("cookie" = [])),
    params(Channels, Named, GoesOn, Begins),
    responses(
        (status = 200, description = "The stream; or `tidegate.bye` and the end, where it cannot be served now.",
            body = String, content_type = "text/event-stream"),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 405, response = Problem),
    )
)]
async fn stream(
    State(shared): State<Arc<Shared>>,
    may_take_over: Option<Extension<MayTakeOver>>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let from = From { household: caller.map(|caller| caller.household), may_take_over: may_take_over.is_some() };
    match open(&shared, &uri, &headers, from).await {
        Ok(answer) => answer,
        Err(refusal) => problem(&refusal),
    }
}

async fn open(shared: &Arc<Shared>, uri: &Uri, headers: &HeaderMap, from: From) -> Result<Response, Refusal> {
    let mut ask = Ask::parse(uri, headers)?;
    let claims = match bearer::of_reader(shared, uri, headers).await {
        // The token may be good: who holds it must come again.
        Err(IdentityError::KeysAway) => return Ok(not_now(shared, ByeReason::NotReady, &ask)),
        claims => claims?,
    };
    let bearer = shared.grants.bearer(&Arc::new(claims));
    let filter = shared.filters.of(ask.filter.as_deref())?;
    if let Err(refusal) = subscribing::fill(shared, &bearer.claims, &mut ask).await {
        // What it subscribes to is not known now: it must come again.
        let is_away = refusal.slug == Slug::Unavailable;
        return if is_away { Ok(not_now(shared, ByeReason::NotReady, &ask)) } else { Err(refusal) };
    }
    let catalogues = shared.catalogues();
    let subscription = shared.decide(&bearer, &ask.channels, Door::Stream)?.filtered(filter);
    acks::resume(&shared.acks, &bearer.claims, &mut ask).await;
    let encoding = Encoding::of(headers);
    Ok(match begin(shared, &catalogues, &ask, &bearer, from.household, &subscription).await {
        Ok(parts) if from.may_take_over && shared.shards.running() && encoding != Encoding::Zstd => {
            taken_over(shared, parts, encoding)
        }
        Ok(parts) => coded::answer(shared, headers, chunks(Stream::new(parts)), event_stream),
        Err(reason) => not_now(shared, reason, &ask),
    })
}

/// A stream of one word, after which a browser comes again.
fn not_now(shared: &Shared, reason: ByeReason, ask: &Ask) -> Response {
    event_stream(Body::from(bye(shared, reason, ask.presented.as_deref()).finish()))
}

/// An answer without a body, with a stream that waits for the socket.
fn taken_over(shared: &Arc<Shared>, parts: Parts<'_>, encoding: Encoding) -> Response {
    let mut answer = event_stream(Body::empty());
    coded::name(encoding, &mut answer);
    let gzip = (encoding == Encoding::Gzip).then(Member::default);
    answer.extensions_mut().insert(Takeover::new(shared.clone(), opened(parts, gzip)));
    answer
}

async fn begin<'a>(
    shared: &Arc<Shared>,
    catalogues: &Arc<Catalogues>,
    ask: &'a Ask,
    bearer: &Bearer,
    household: Option<Household>,
    subscription: &'a Subscription,
) -> Result<Parts<'a>, ByeReason> {
    let Arrival { session, reader, expires_at, mut started, sleeper, access } =
        arrive(shared, catalogues, &ask.start, bearer, household, Lasts::Open, subscription).await?;
    started.say_stored(ask.stored);
    let shared = shared.clone();
    Ok(Parts { shared, session, reader, expires_at, ask, subscription, started, sleeper, access })
}

fn chunks(mut stream: Stream) -> impl futures::Stream<Item = Bytes> {
    async_stream::stream! {
        while let Some(chunk) = stream.next().await {
            yield chunk;
        }
    }
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (header::VARY, "accept-encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (StatusCode::OK, headers, body).into_response()
}
