//! Who may pass a door for administrators: a bearer with the role [`ADMINISTRATOR`], for users of their own tenant; and what is recorded of it.
//!
//! In: a request's head. Out: claims, or a problem, which the audit has. It serves no route.

use axum::Json;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use journal::AuditLog;
use policy::{ADMINISTRATOR, Act, Claims, Doorkeeper, Presented};
use schemas::audit::{self, Entry, Who};
use schemas::grant::{GrantError, User};
use schemas::problem::{Problem, Slug};
use schemas::time::Timestamp;
use serde_json::Value;

/// Seconds after which a log or a store that does not answer is asked again.
const RETRY_AFTER: u64 = 1;

/// A door.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) audit: AuditLog,
    /// As the audit names it.
    pub(crate) door: &'static str,
}

impl Gate {
    /// An administrator who wants to change something, or to see it.
    pub(crate) async fn administrator(&self, headers: &HeaderMap, uri: &Uri, act: Act) -> Result<Claims, Problem> {
        let claims = self.identify(headers, uri, act).await?;
        if claims.roles.contains(ADMINISTRATOR) { Ok(claims) } else { Err(self.turn_away(&claims)) }
    }

    /// An administrator, or whoever asks for themselves.
    pub(crate) async fn themselves(&self, headers: &HeaderMap, uri: &Uri, sub: &str) -> Result<Claims, Problem> {
        let claims = self.identify(headers, uri, Act::Read).await?;
        let may = claims.roles.contains(ADMINISTRATOR) || claims.sub.as_deref() == Some(sub);
        if may { Ok(claims) } else { Err(self.turn_away(&claims)) }
    }

    /// Records an act that is about to be done, or was. What cannot be recorded is not done.
    pub(crate) async fn record(&self, entry: Entry, claims: &Claims) -> Result<(), Problem> {
        self.audit.record(entry.by(claims.who())).await.map_err(|error| away(error.to_string()))
    }

    async fn identify(&self, headers: &HeaderMap, uri: &Uri, act: Act) -> Result<Claims, Problem> {
        let identified = self.doorkeeper.identify(Presented::new(headers, uri, act), Timestamp::now()).await;
        identified.map_err(|error| {
            self.refuse(error.as_str(), Who::default());
            error.problem()
        })
    }

    fn turn_away(&self, claims: &Claims) -> Problem {
        let slug = if claims.sub.is_some() { Slug::Forbidden } else { Slug::Unauthorized };
        self.refuse(slug.parts().0, claims.who());
        slug.problem(format!("a token with the role {ADMINISTRATOR} is needed"))
    }

    fn refuse(&self, outcome: &str, who: Who) {
        self.audit.refuse(Entry::new(audit::Act::Refusal, self.door, outcome).by(who));
    }
}

/// A user of the bearer's own tenant.
pub(crate) fn user_of(claims: &Claims, sub: &str) -> Result<User, GrantError> {
    User::new(claims.tenant.clone(), sub)
}

/// A name that is none.
pub(crate) fn misnamed(error: GrantError) -> Problem {
    Slug::BadRequest.problem(error.to_string())
}

/// A log or a store that does not answer.
pub(crate) fn away(detail: String) -> Problem {
    Problem { retry_after: Some(RETRY_AFTER), ..Slug::Unavailable.problem(detail) }
}

/// What an administrator is told.
pub(crate) fn answer(answered: Result<Value, Problem>) -> Response {
    match answered {
        Ok(value) => ([(CACHE_CONTROL, "no-store")], Json(value)).into_response(),
        Err(problem) => ingest::respond(&problem),
    }
}
