//! History and long-poll: `GET /v1/events`, a page of JSON or lines of it, from the same positions as every door.
//!
//! In: requests. Out: what stands behind a position, at once or as soon as there is something. This is no stream that a browser opens
//! again by itself: who cannot be served now is told so with a status and `Retry-After`.

mod ask;
mod text;
mod described;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use schemas::problem::{Problem, Slug};
use tokio::time::Instant;
use utoipa::openapi::HttpMethod;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::acks;
use crate::allowance::Asks;
use crate::arrival::{Lasts, arrive};
use crate::audited::Door;
use crate::bearer;
use crate::caller::{Caller, Household};
use crate::coded;
use crate::cursor::Sink;
use crate::edge::Shared;
use crate::gap::Gap;
use crate::limit::Limit;
use crate::metrics;
use crate::notice::ByeReason;
use crate::parameters::{Begins, Channels, GoesOn};
use crate::reading::{Gathered, Leaves, Reading};
use crate::realtime::{self, As};
use crate::refusal::{Refusal, problem};
use crate::subscribing;
use crate::subscription::Refused;
use ask::{Form, HistoryAsk};
use described::{Page, Pages, Positioned};
use text::Text;

/// `GET /v1/events`, also under its first name. `POST` on the same paths belongs to others.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    let same = As { method: HttpMethod::Get, today: "/v1/events", status: StatusCode::OK };
    let first = realtime::door(realtime::EVENTS, &[same], get(events));
    OpenApiRouter::default().routes(routes!(events)).routes(first)
}

/// History and long-poll.
///
/// What stands behind a position, at once or as soon as there is something. Positions are those of the stream. A page has 1 MiB at most.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "history",
    security((), ("token" = []), ("cookie" = [])),
    params(Channels, GoesOn, Begins, Pages),
    responses(
        (status = 200, description = "A page; or lines, until nothing came for `wait`.",
            content((Page = "application/json"), (Positioned = "application/x-ndjson"))),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 405, response = Problem), (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn events(
    State(shared): State<Arc<Shared>>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match answer(&shared, caller.map(|caller| caller.household), &uri, &headers).await {
        Ok(answer) => answer,
        Err(refusal) => problem(&refusal),
    }
}

async fn answer(
    shared: &Arc<Shared>,
    household: Option<Household>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let mut asked = HistoryAsk::parse(uri, headers)?;
    let claims = bearer::of_reader(shared, uri, headers).await?;
    let bearer = shared.grants.bearer(&Arc::new(claims));
    let filter = shared.filters.of(asked.ask.filter.as_deref())?;
    subscribing::fill(shared, &bearer.claims, &mut asked.ask).await?;
    let catalogues = shared.catalogues();
    let subscription = shared.decide(&bearer, &asked.ask.channels, Door::Events)?.filtered(filter);
    acks::resume(&shared.acks, &bearer.claims, &mut asked.ask).await;
    let start = &asked.ask.start;
    let arrival = arrive(shared, &catalogues, start, &bearer, household, Lasts::Answered, &subscription).await;
    let arrival = arrival.map_err(|reason| not_now(shared, reason))?;
    let (mut reading, gaps) = Reading::begin(shared, arrival, Leaves::AtOnce);
    let allowance = shared.replays.of(Asks::of(&bearer.claims, household), Instant::now());
    if let Some(until) = reading.draw_on(allowance) {
        return Err(too_much(until));
    }
    let refused = subscription.refused;
    match asked.form {
        Form::Page => {
            let page = page(shared, reading, &asked, &gaps, refused).await?;
            let respond = |body| respond("application/json", "no-store", body);
            Ok(coded::answer(shared, headers, futures::stream::iter([page]), respond))
        }
        Form::Lines => {
            let respond = |body| respond("application/x-ndjson", "no-store, no-transform", body);
            Ok(coded::answer(shared, headers, lines(reading, asked, gaps, refused), respond))
        }
    }
}

async fn page(
    shared: &Shared,
    mut reading: Reading,
    asked: &HistoryAsk,
    gaps: &[Gap],
    refused: Vec<Refused>,
) -> Result<Bytes, Refusal> {
    let mut text = Text::new(Form::Page, asked.page_limit());
    gaps.iter().for_each(|gap| text.gap(gap, reading.position()));
    let (due, mut refused) = (Instant::now() + asked.wait, refused);
    loop {
        match reading.gather(&mut text, due).await {
            // Who has come further than the position that was asked with takes that along.
            Gathered::Stuck if !reading.take_unsaid() => return Err(not_now(shared, ByeReason::NotReady)),
            Gathered::Ends(ByeReason::Revoked) => return Err(not_now(shared, ByeReason::Revoked)),
            Gathered::Changed => refused.extend(lost(&mut reading)),
            // Who must go takes along what there is, and asks again with the position.
            Gathered::Something | Gathered::Nothing | Gathered::Stuck | Gathered::Ends(_) => break,
        }
    }
    let tally = std::mem::take(&mut text.tally);
    let body = text.page(reading.position(), &refused);
    reading.handed_over(body.len(), &tally);
    Ok(body)
}

/// Lines until there was nothing for `wait`, or the limit is reached.
fn lines(
    mut reading: Reading,
    asked: HistoryAsk,
    gaps: Vec<Gap>,
    refused: Vec<Refused>,
) -> impl futures::Stream<Item = Bytes> {
    async_stream::stream! {
        let mut left = asked.limit.unwrap_or(usize::MAX);
        let mut text = Text::new(Form::Lines, left);
        if !refused.is_empty() {
            text.refused(&refused, reading.position());
        }
        gaps.iter().for_each(|gap| text.gap(gap, reading.position()));
        loop {
            let gathered = reading.gather(&mut text, Instant::now() + asked.wait).await;
            left -= text.events();
            if gathered == Gathered::Changed {
                let refused = lost(&mut reading);
                if !refused.is_empty() {
                    text.refused(&refused, reading.position());
                }
            }
            let ends = !matches!(gathered, Gathered::Something | Gathered::Changed) || left == 0;
            if ends && left > 0 && reading.take_unsaid() {
                text.position(reading.position());
            }
            let (bytes, tally) = std::mem::replace(&mut text, Text::new(Form::Lines, left)).lines();
            reading.handed_over(bytes.len(), &tally);
            if !bytes.is_empty() {
                yield bytes;
            }
            if ends {
                break;
            }
        }
    }
}

/// What the reader lost while it waited.
fn lost(reading: &mut Reading) -> Vec<Refused> {
    reading.take_rights().map(|rights| rights.subscription.refused).unwrap_or_default()
}

fn respond(media_type: &'static str, cache: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept, accept-encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// Too much was taken from the log in this minute.
pub fn too_much(until: Instant) -> Refusal {
    metrics::limit(Limit::ReplayBytes, 1);
    let detail = "too much of the past for one minute; ask again when it is over";
    let left = until.saturating_duration_since(Instant::now());
    Refusal::new(Slug::TooManyRequests, detail).again_after(left.as_secs() + 1)
}

/// Why not now, where it is no stream, and when to come again.
fn not_now(shared: &Shared, reason: ByeReason) -> Refusal {
    let refusal = match reason {
        ByeReason::Limit => Refusal::new(Slug::TooManyRequests, "too many connections; close one, or come later"),
        ByeReason::Expired => Refusal::new(Slug::Unauthorized, "the token has ended"),
        ByeReason::Revoked => return Refusal::new(Slug::Forbidden, "what was granted is revoked"),
        ByeReason::NotReady | ByeReason::Drain | ByeReason::Slow => {
            Refusal::new(Slug::Unavailable, "this edge is not ready; ask again")
        }
    };
    refusal.again_after(shared.retry_ms().div_ceil(1_000))
}
