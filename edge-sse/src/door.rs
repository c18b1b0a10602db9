//! The door: `GET /v1/stream` from a request to an open stream, and the page.
//!
//! In: requests. Out: 200 and a stream for whoever is granted a channel, a problem for a request that can never be served. What may be
//! served later is 200, too, with a `tidegate.bye`: a browser never comes again after an error.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use policy::Claims;
use schemas::problem::Slug;

use crate::access::Access;
use crate::ask::Ask;
use crate::edge::Shared;
use crate::notice::ByeReason;
use crate::reader::Reader;
use crate::refusal::Refusal;
use crate::rewind::Rewind;
use crate::start::{Started, Starting};
use crate::stream::{Parts, Stream, bye};
use crate::subscription::Subscription;
use crate::{cors, metrics, page};

/// How long a start may be looked for.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The edge's routes.
pub fn routes(shared: Arc<Shared>) -> Router {
    let streams = Router::new()
        .route("/v1/stream", get(stream).head(not_allowed).fallback(not_allowed))
        .layer(cors::layer(&shared.config.origins))
        .with_state(shared);
    streams.merge(page::routes())
}

async fn not_allowed() -> Response {
    let mut answer = problem(&Refusal::new(Slug::MethodNotAllowed, "a stream is taken with GET"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, OPTIONS"));
    answer
}

async fn stream(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response {
    match open(&shared, &uri, &headers).await {
        Ok(answer) => answer,
        Err(refusal) => problem(&refusal),
    }
}

async fn open(shared: &Arc<Shared>, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    let ask = Ask::parse(uri, headers)?;
    let claims = claims(shared, headers)?;
    let subscription = Subscription::decide(&shared.catalogues, &claims, &ask.channels)?;
    Ok(match begin(shared, &ask, &claims, &subscription).await {
        Ok(stream) => event_stream(Body::from_stream(body(stream))),
        Err(reason) => event_stream(Body::from(bye(shared, reason, ask.presented.as_deref()).finish().0)),
    })
}

fn claims(shared: &Shared, headers: &HeaderMap) -> Result<Claims, Refusal> {
    let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    shared
        .verifier
        .bearer(authorization, shared.clock.now())
        .map_err(|error| Refusal::new(Slug::Unauthorized, error.to_string()))
}

async fn begin(
    shared: &Arc<Shared>,
    ask: &Ask,
    claims: &Claims,
    subscription: &Subscription,
) -> Result<Stream, ByeReason> {
    if shared.drain.is_cancelled() {
        return Err(ByeReason::NotReady);
    }
    let session = shared.session().ok_or(ByeReason::NotReady)?;
    let admitted = shared.admission.admit(claims).ok_or(ByeReason::Limit)?;
    let reader = Reader::new(claims, shared.catalogues.labels_of(claims));
    let sleeper = shared.wakers.register(subscription.keys(&reader.tenant));
    let now = shared.clock.now();
    let places = subscription.places(&reader.tenant, session.windows.partitions_per_lane());
    let starting = Starting {
        windows: &session.windows,
        interest: &session.interest,
        bounds: &session.bounds,
        rewind: Rewind {
            windows: &session.windows,
            bounds: &session.bounds,
            catch_up: &session.catch_up,
            subscription,
            reader: &reader,
            now,
        },
        places,
        now,
    };
    let started = start(&starting, ask).await.ok_or(ByeReason::NotReady)?;
    drop(starting);
    Ok(Stream::new(Parts {
        access: Access::begin(admitted, subscription.granted.len(), now),
        expires_at: claims.exp,
        shared: shared.clone(),
        session,
        reader,
        ask,
        subscription,
        started,
        sleeper,
    }))
}

/// None where the log does not answer: the client comes again.
async fn start(starting: &Starting<'_>, ask: &Ask) -> Option<Started> {
    match tokio::time::timeout(START_LIMIT, starting.find(&ask.start)).await {
        Ok(Ok(started)) => Some(started),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a stream's start cannot be found now");
            None
        }
        Err(_) => {
            tracing::warn!("a stream's start takes too long to find");
            None
        }
    }
}

fn body(mut stream: Stream) -> impl futures::Stream<Item = Result<bytes::Bytes, Infallible>> {
    async_stream::stream! {
        while let Some(chunk) = stream.next().await {
            yield Ok(chunk);
        }
    }
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (StatusCode::OK, headers, body).into_response()
}

fn problem(refusal: &Refusal) -> Response {
    let problem = refusal.problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    metrics::refused(status);
    let mut answer = (status, Json(&problem)).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}
