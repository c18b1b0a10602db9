//! Typing and viewing: `POST /v1/typing`, `POST /v1/viewing`, and the same over a WebSocket.
//!
//! In: what signed-in users say of themselves. Out: events of the types by which the channel's kind tells it, in the user's name, through the
//! ordinary pipeline; the edge that heard somebody says when silence ends it. Nothing is kept beyond that.

mod table;
mod said;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::{StatusCode, header};
use policy::{Claims, Matter, Telling};
use schemas::cloudevent::PostedEvent;
use schemas::event::Attributes;
use schemas::grant::User;
use schemas::id::{EventId, NameError, Source};
use schemas::problem::{Problem, Slug};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::HttpMethod;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::audited::Door;
use crate::config::Config;
use crate::edge::Shared;
use crate::limit::Limit;
use crate::realtime::{self, As};
use crate::refusal::{Refusal, answer, problem};
use crate::{bearer, cors, metrics};
use said::Written;
use table::{Activities, Activity, Over, Room, SILENCE, Tell};

pub use said::Said;

/// What is told by silence at a time, and may be on its way to the log.
const TOLD_AT_A_TIME: usize = 256;
/// Where nothing is due.
const NEVER: Duration = Duration::from_secs(86_400);
/// When to say it again, where a limit is reached: the second is over.
const AGAIN_AFTER_SECONDS: u64 = 1;

/// What is on its way to the log, and ends when the log has it.
pub type OnItsWay = BoxFuture<'static, Result<(), Problem>>;

/// What is live on an edge.
#[derive(Debug)]
pub struct Live {
    activities: Mutex<Activities>,
    changed: Notify,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActivityTaken)]
struct Taken {
    active: bool,
    /// Silence for so long ends it.
    silence_ms: u64,
}

impl Live {
    /// Nobody does anything.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let room = Room {
            all: config.activities_max,
            per_user: config.activities_per_user,
            per_second: config.activity_per_second,
        };
        Self { activities: Mutex::new(Activities::new(room)), changed: Notify::new() }
    }
}

/// `POST /v1/typing`, also under its first name, and `POST /v1/viewing`.
pub fn routes(origins: &[String]) -> OpenApiRouter<Arc<Shared>> {
    let same = |method| As { method, today: "/v1/typing", status: StatusCode::ACCEPTED };
    let answers = [same(HttpMethod::Get), same(HttpMethod::Post)];
    let first = realtime::door(realtime::TYPING, &answers, post(typing).get(typing));
    OpenApiRouter::default()
        .routes(routes!(typing))
        .routes(routes!(viewing))
        .merge(OpenApiRouter::default().routes(first).layer(from_fn(realtime::by_body)))
        .layer(cors::with_bodies(origins))
}

/// Say that you type.
///
/// Silence of three seconds ends it. Parameters stand in the body, or in the query; also /api/v1/realtime/typing, GET and POST. Told in
/// channels whose kind says so.
#[utoipa::path(
    post, path = "/v1/typing", operation_id = "typing",
    security(("token" = []), ("cookie" = [])),
    request_body = Written,
    responses(
        (status = 202, description = "The log has what is told of it.", body = Taken),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 422, response = Problem), (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn typing(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    answered(&shared, Matter::Typing, Door::Typing, request).await
}

/// Say that you look at something.
///
/// As /v1/typing.
#[utoipa::path(
    post, path = "/v1/viewing", operation_id = "viewing",
    security(("token" = []), ("cookie" = [])),
    request_body = Written,
    responses(
        (status = 202, description = "The log has what is told of it.", body = Taken),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 422, response = Problem), (status = 429, response = Problem), (status = 503, response = Problem),
    )
)]
async fn viewing(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    answered(&shared, Matter::Viewing, Door::Viewing, request).await
}

async fn answered(shared: &Shared, matter: Matter, door: Door, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let said = async {
        let claims = bearer::of_sender(shared, &head.uri, &head.headers).await?;
        let said = Said::read(&head.method, &head.uri, body).await?;
        let active = said.active;
        Ok::<_, Refusal>((active, shared.say_activity(&claims, matter, said, door)?))
    };
    let (active, on_its_way) = match said.await {
        Ok(said) => said,
        Err(refusal) => return problem(&refusal),
    };
    if let Some(on_its_way) = on_its_way
        && let Err(problem) = on_its_way.await
    {
        return answer(&problem);
    }
    let silence_ms = u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX);
    (StatusCode::ACCEPTED, [(header::CACHE_CONTROL, "no-store")], Json(Taken { active, silence_ms })).into_response()
}

/// Says what silence has ended and what goes on, for ever.
pub async fn keep(shared: &Shared) {
    let mut on_their_way = FuturesUnordered::new();
    loop {
        let next = shared.live.lock().next().unwrap_or_else(|| Instant::now() + NEVER);
        let room = on_their_way.len() < TOLD_AT_A_TIME;
        tokio::select! {
            biased; // what the log has taken first: it makes room
            Some(told) = on_their_way.next() => metrics::activity_told(told),
            () = shared.live.changed.notified() => {}
            () = tokio::time::sleep_until(next), if room => on_their_way.extend(shared.tell_due()),
        }
    }
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Activities> {
        self.activities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A signed-in user says that they do something, or have ended it. What is on its way to the log for that; none where others know it.
    ///
    /// # Errors
    /// Nobody in particular says so, the channel is malformed, its kind tells nothing of the matter, policy does not let this user publish
    /// there, or a limit is reached.
    pub fn say_activity(
        &self,
        claims: &Claims,
        matter: Matter,
        said: Said,
        door: Door,
    ) -> Result<Option<OnItsWay>, Refusal> {
        let user = self.may_say(claims, matter, &said).inspect_err(|refusal| {
            self.record_refusal(refusal, claims.who(), door);
        })?;
        let Said { channel, content, active } = said;
        let activity = Activity { user, matter, channel, content };
        let mut activities = self.live.lock();
        let first = activities.next();
        let told = activities.say(activity, active, Instant::now()).map_err(over)?;
        let sooner = activities.next() != first;
        // Under the lock, so that what is told has the order in which it was said.
        let on_its_way = told.map(|tell| self.tell(tell)).transpose()?;
        drop(activities);
        if sooner {
            self.live.changed.notify_one();
        }
        Ok(on_its_way)
    }

    /// One more that a user says of themselves.
    ///
    /// # Errors
    /// It is said too often.
    pub fn pace(&self, user: &User) -> Result<(), Refusal> {
        self.live.lock().pace(user, Instant::now()).map_err(over)
    }

    /// As whom somebody may say so.
    fn may_say(&self, claims: &Claims, matter: Matter, said: &Said) -> Result<User, Refusal> {
        let user = bearer::known_user(claims)?;
        let (catalogues, kind) = (self.catalogues(), said.channel.kind());
        if !catalogues.declares_kind(kind) {
            return Err(Refusal::new(Slug::UnknownKind, format!("no catalogue declares channels of kind {kind}")));
        }
        if catalogues.telling(kind, matter).is_none() {
            let detail = format!("channels of kind {kind} do not tell of {}", matter.as_str());
            return Err(Refusal::new(Slug::UnknownType, detail));
        }
        let forbidden = |_| Refusal::new(Slug::Forbidden, format!("this token may not publish to {}", said.channel));
        catalogues.may_publish(claims, &said.channel).map_err(forbidden)?;
        Ok(user)
    }

    /// What is due now, on its way to the log.
    fn tell_due(&self) -> Vec<OnItsWay> {
        let mut activities = self.live.lock();
        let due = activities.due(Instant::now(), TOLD_AT_A_TIME);
        // A kind that tells of it no more, or an edge that cannot publish: others see it end by themselves.
        due.into_iter().filter_map(|tell| self.tell(tell).ok()).collect()
    }

    fn tell(&self, Tell { activity, active }: Tell) -> Result<OnItsWay, Refusal> {
        let unable = || Refusal::new(Slug::MethodNotAllowed, "this process cannot publish");
        let publisher = self.publisher.as_ref().ok_or_else(unable)?;
        let catalogues = self.catalogues();
        let telling = catalogues.telling(activity.channel.kind(), activity.matter);
        let gone = || Refusal::new(Slug::UnknownType, "the catalogues have just changed; say it again");
        Ok(publisher.announce(event(telling.ok_or_else(gone)?, activity, active).map_err(unnamed)?))
    }
}

fn event(telling: &Telling, activity: Activity, active: bool) -> Result<PostedEvent, NameError> {
    let Activity { user, matter, channel, content } = activity;
    let said = json!({"user_id": user.sub, "content_id": content.unwrap_or_default(), "active": active});
    let attributes = Attributes {
        id: EventId::parse(&Uuid::now_v7().to_string())?,
        source: Source::parse(&format!("/v1/{}", matter.as_str()))?,
        event_type: telling.event_type().clone(),
        channel,
        tenant: user.tenant,
        time: None,
        priority: None,
        expires: None,
        conflation_key: None,
        author: Some(user.sub.clone()),
        traceparent: None,
        principal: Some(user.sub),
    };
    Ok(PostedEvent { attributes, data: telling.data(said) })
}

fn unnamed(error: NameError) -> Refusal {
    Refusal::new(Slug::BadRequest, error.to_string())
}

fn over(over: Over) -> Refusal {
    let (limit, slug, detail) = match over {
        Over::Edge => (Limit::Activities, Slug::Unavailable, "too many users type here now"),
        Over::User => (Limit::ActivitiesPerUser, Slug::TooManyRequests, "this user types in too many places"),
        Over::Pace => (Limit::ActivityRate, Slug::TooManyRequests, "this is said too often"),
    };
    metrics::limit(limit, 1);
    Refusal::new(slug, detail).again_after(AGAIN_AFTER_SECONDS)
}
