//! What a client asks of `GET /v1/events`: as a stream, and how long to wait and how much to give. Pure.

use std::time::Duration;

use http::{HeaderMap, Uri, header};
use schemas::problem::Slug;

use crate::ask::{Ask, duration, pairs};
use crate::refusal::Refusal;

/// Events of a page where nothing is said.
const LIMIT_DEFAULT: usize = 100;
/// Events that a page may be asked to have.
const LIMIT_MOST: usize = 1_000;
/// How long an answer may be asked to wait.
const WAIT_MOST: Duration = Duration::from_secs(60);
/// Names that this door takes beside those of every door.
const FURTHER: &str = ", after, wait, limit";
/// The position's name at this door, as the doors call it among themselves.
const POSITION: &str = "lastEventId";

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryAsk {
    /// What is of every door.
    pub ask: Ask,
    /// How long to wait for an event where there is none.
    pub wait: Duration,
    /// Events at most; none where nothing is said.
    pub limit: Option<usize>,
    /// How the events are written.
    pub form: Form,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object with all of them.
    Page,
    /// One JSON object a line.
    Lines,
}

impl HistoryAsk {
    /// Parses the request.
    ///
    /// # Errors
    /// What is wrong with it; always a status of 400.
    pub fn parse(uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let (mut rest, mut after) = (Vec::new(), None);
        let (mut wait, mut limit) = (Duration::ZERO, None);
        for (name, value) in pairs(uri)? {
            match name.as_str() {
                "after" => after = Some((POSITION.to_owned(), value)),
                "wait" => wait = parse_wait(&value)?,
                "limit" => limit = Some(parse_limit(&value)?),
                _ => rest.push((name, value)),
            }
        }
        rest.extend(after);
        Ok(Self { ask: Ask::of(rest, headers, FURTHER)?.with_channels()?, wait, limit, form: Form::of(headers) })
    }

    /// Events of one page.
    #[must_use]
    pub fn page_limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut kinds =
            accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or("").trim());
        let lines = kinds.any(|kind| {
            kind.eq_ignore_ascii_case("application/x-ndjson") || kind.eq_ignore_ascii_case("application/ndjson")
        });
        if lines { Self::Lines } else { Self::Page }
    }
}

fn parse_wait(value: &str) -> Result<Duration, Refusal> {
    let seconds = || value.parse().ok().map(Duration::from_secs);
    duration(value).or_else(seconds).filter(|wait| *wait <= WAIT_MOST).ok_or_else(|| {
        Refusal::new(Slug::BadRequest, format!("wait is a time like 25s or 500ms, up to {}s", WAIT_MOST.as_secs()))
    })
}

fn parse_limit(value: &str) -> Result<usize, Refusal> {
    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MOST).contains(limit));
    limit.ok_or_else(|| Refusal::new(Slug::BadRequest, format!("limit is between 1 and {LIMIT_MOST}")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::ask::Start;

    fn parse(query: &str) -> Result<HistoryAsk, String> {
        let uri = format!("/v1/events?channel=team:a&{query}").parse().unwrap();
        HistoryAsk::parse(&uri, &HeaderMap::new()).map_err(|refusal| refusal.detail)
    }

    #[test]
    fn the_door_has_names_of_its_own_beside_those_of_every_door() {
        let asked = parse("wait=25s&limit=7&since=5").unwrap();
        assert_eq!((asked.wait, asked.limit, asked.page_limit()), (Duration::from_secs(25), Some(7), 7));
        assert!(matches!(asked.ask.start, Start::Since(_)));
        assert_eq!(parse("wait=3").unwrap().wait, Duration::from_secs(3));
        assert_eq!(parse("after=earliest").unwrap().ask.start, Start::Earliest);
        assert_eq!(parse("").unwrap().page_limit(), LIMIT_DEFAULT);
        assert!(parse("colour=blue").unwrap_err().contains("after, wait, limit"));
    }

    #[test]
    fn what_is_beyond_a_bound_is_refused_with_the_bound() {
        for query in ["wait=61s", "wait=x", "wait=-1"] {
            assert!(parse(query).unwrap_err().contains("60s"), "{query}");
        }
        for query in ["limit=0", "limit=1001", "limit=x"] {
            assert!(parse(query).unwrap_err().contains("1000"), "{query}");
        }
    }

    #[test]
    fn lines_are_given_to_whoever_takes_them() {
        let form = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            Form::of(&headers)
        };
        assert_eq!(form("application/x-ndjson"), Form::Lines);
        assert_eq!(form("text/html, application/X-NDJSON;q=0.5"), Form::Lines);
        assert_eq!((form("*/*"), form("application/json")), (Form::Page, Form::Page));
    }
}
