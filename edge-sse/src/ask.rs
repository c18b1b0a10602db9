//! What a client asks for: the query and the `Last-Event-ID` of `GET /v1/stream`, parsed once. Pure.

use std::time::Duration;

use axum::extract::Query;
use http::{HeaderMap, Uri};
use schemas::position::{Position, Presented};
use schemas::problem::Slug;
use schemas::time::Timestamp;
use store::Device;

use crate::acks::Resuming;
use crate::bearer;
use crate::refusal::Refusal;

/// Events that a rewind may ask for.
pub const REWIND_EVENTS: u32 = 10_000;
/// Names of the query under which a position may come, in their order.
const POSITION_NAMES: [&str; 3] = ["lastEventId", "last_event_id", "lastEvent"];
/// Every name of the query.
pub const KNOWN: &str =
    "channel, named, filter, lastEventId, last_event_id, lastEvent, since, rewind, resume, ticket, access_token";

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Channels as they were written.
    pub channels: Vec<String>,
    /// Whether events carry their type as `event`.
    pub named: bool,
    /// What they want of what they may see, as it was written.
    pub filter: Option<String>,
    /// Where to start.
    pub start: Start,
    /// The position's text as it was presented.
    pub presented: Option<String>,
    /// The device that acknowledges what it reads, and goes on where it did so last.
    pub device: Option<Device>,
    /// Whether the start is what the device acknowledged last; known once the store was asked.
    pub stored: bool,
    /// What is remembered for the device, where one is named; likewise.
    pub resuming: Option<Resuming>,
}

/// Where a stream starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At a position.
    Position(Presented),
    /// At the start of the log.
    Earliest,
    /// At a time; one older than the log means its start.
    Since(Timestamp),
    /// With the last events of each channel; for all channels of a kind, of each partition and lane.
    RewindEvents(u32),
    /// With the events of the last minutes.
    RewindTime(Duration),
    /// With what comes from now on.
    Now,
}

impl Ask {
    /// Parses the request.
    ///
    /// # Errors
    /// What is wrong with it; always a status of 400.
    pub fn parse(uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        Self::of(pairs(uri)?, headers, "")?.with_channels()
    }

    /// The same, where it names a channel, or a device, which may keep some.
    ///
    /// # Errors
    /// It names neither; always a status of 400.
    pub fn with_channels(self) -> Result<Self, Refusal> {
        match self.device {
            Some(_) => Ok(self),
            None => self.has_channels().map(|()| self),
        }
    }

    /// Whether it names one.
    ///
    /// # Errors
    /// It does not; always a status of 400.
    pub fn has_channels(&self) -> Result<(), Refusal> {
        match self.channels.is_empty() {
            true => Err(Refusal::new(Slug::BadChannel, "name at least one channel: ?channel=<kind>:<id>")),
            false => Ok(()),
        }
    }

    /// Parses the query's pairs that are of every door; `further` has the names that this door takes beside them, for words only.
    ///
    /// # Errors
    /// What is wrong with it; always a status of 400.
    pub fn of(pairs: Vec<(String, String)>, headers: &HeaderMap, further: &str) -> Result<Self, Refusal> {
        let mut query = Parameters::default();
        for (name, value) in pairs {
            query.take(&name, value, further)?;
        }
        let presented = match header(headers)? {
            Some(id) => Some(id),
            None => query.positions.iter_mut().find_map(Option::take),
        };
        let start = match &presented {
            Some(id) => position(id)?,
            None => query.since.take().or(query.rewind.take()).unwrap_or(Start::Now),
        };
        let Parameters { channels, named, filter, device, .. } = query;
        Ok(Self { channels, named, filter, start, presented, device, stored: false, resuming: None })
    }
}

/// The query's pairs, in their order.
///
/// # Errors
/// It cannot be read.
pub fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    let Query(pairs) = Query::try_from_uri(uri)
        .map_err(|error| Refusal::new(Slug::BadRequest, format!("the query cannot be read: {error}")))?;
    Ok(pairs)
}

/// The query, name by name.
#[derive(Debug, Default)]
struct Parameters {
    channels: Vec<String>,
    named: bool,
    filter: Option<String>,
    device: Option<Device>,
    positions: [Option<String>; 3],
    since: Option<Start>,
    rewind: Option<Start>,
}

impl Parameters {
    fn take(&mut self, name: &str, value: String, further: &str) -> Result<(), Refusal> {
        // What is no UTF-8 has become U+FFFD here, which nobody writes by intention.
        if value.contains('\u{fffd}') {
            return Err(Refusal::new(Slug::BadRequest, format!("{name} is not UTF-8")));
        }
        if let Some(at) = POSITION_NAMES.iter().position(|known| *known == name) {
            self.positions[at] = Some(value).filter(|value| !value.is_empty());
            return Ok(());
        }
        match name {
            "channel" => self.channels.push(value),
            "named" => self.named = flag(&value)?,
            "filter" => self.filter = Some(value),
            "since" => self.since = Some(Start::Since(since(&value)?)),
            "resume" => self.device = Some(device(&value)?),
            "rewind" => self.rewind = Some(rewind(&value)?),
            // Who asks is another question.
            bearer::TICKET | bearer::ACCESS_TOKEN => {}
            other => {
                let shown: String = other.chars().take(64).collect();
                let detail = format!("{shown:?} is unknown; known are {KNOWN}{further}");
                return Err(Refusal::new(Slug::UnknownParameter, detail));
            }
        }
        Ok(())
    }
}

fn header(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Refusal::new(Slug::BadPosition, "Last-Event-ID is not ASCII"))?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn position(id: &str) -> Result<Start, Refusal> {
    match id {
        "earliest" => Ok(Start::Earliest),
        id => Position::parse(id).map(Start::Position).map_err(|error| {
            Refusal::new(Slug::BadPosition, format!("{error}; take an id from the stream, or `earliest`"))
        }),
    }
}

fn flag(value: &str) -> Result<bool, Refusal> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(Refusal::new(Slug::BadRequest, "named is 1 or 0")),
    }
}

fn device(value: &str) -> Result<Device, Refusal> {
    Device::parse(value).map_err(|error| Refusal::new(Slug::BadRequest, format!("resume: {error}")))
}

fn since(value: &str) -> Result<Timestamp, Refusal> {
    let bad = || Refusal::new(Slug::BadRequest, "since is an RFC 3339 time, or milliseconds since 1970");
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().map(Timestamp::from_millis).map_err(|_| bad());
    }
    // A `+` of an offset that was not escaped has become a space.
    Timestamp::parse(&value.replace(' ', "+")).map_err(|_| bad())
}

fn rewind(value: &str) -> Result<Start, Refusal> {
    let bad = || {
        let detail =
            format!("rewind is a number of events up to {REWIND_EVENTS}, or a time like 30s, 5m, 2h, 1d, 500ms");
        Refusal::new(Slug::BadRequest, detail)
    };
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    if unit.is_empty() {
        let events = number.parse().ok().filter(|events| *events <= REWIND_EVENTS).ok_or_else(bad)?;
        return Ok(Start::RewindEvents(events));
    }
    duration(value).map(Start::RewindTime).ok_or_else(bad)
}

/// A duration as people write it: `500ms`, `30s`, `5m`, `2h`, `1d`.
#[must_use]
pub fn duration(value: &str) -> Option<Duration> {
    let (number, unit) = value.split_at(value.bytes().take_while(u8::is_ascii_digit).count());
    let number: u64 = number.parse().ok()?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use schemas::position::LogHash;

    use super::*;

    fn position() -> Position {
        Position { log: LogHash(1), time: Timestamp::from_millis(5), generation: 0, next: Vec::new() }
    }

    fn parse(query: &str, last_event_id: Option<&str>) -> Result<Ask, Refusal> {
        let uri = format!("/v1/stream?channel=wiki:en&{query}").parse().unwrap();
        let mut headers = HeaderMap::new();
        if let Some(id) = last_event_id {
            headers.insert("last-event-id", id.parse().unwrap());
        }
        Ask::parse(&uri, &headers)
    }

    #[test]
    fn a_start_is_what_the_client_says_most_strongly() {
        let id = position().to_string();
        let at = || Start::Position(Presented::Position(position()));
        let cases = [
            ("", None, Start::Now),
            ("", Some(""), Start::Now),
            ("lastEventId=&last_event_id=&lastEvent=", None, Start::Now),
            ("rewind=5", Some(&*id), at()),
            (&format!("lastEvent={id}&since=3&rewind=5"), None, at()),
            (&format!("lastEventId={id}"), Some("earliest"), Start::Earliest),
            ("last_event_id=earliest", None, Start::Earliest),
            ("since=3&rewind=5", None, Start::Since(Timestamp::from_millis(3))),
            ("since=1970-01-01T01:00:00%2B01:00", None, Start::Since(Timestamp::from_millis(0))),
            ("since=1970-01-01T01:00:00+01:00", None, Start::Since(Timestamp::from_millis(0))),
            ("rewind=0", None, Start::RewindEvents(0)),
            ("rewind=10000", None, Start::RewindEvents(REWIND_EVENTS)),
            ("rewind=250ms", None, Start::RewindTime(Duration::from_millis(250))),
            ("rewind=30s", None, Start::RewindTime(Duration::from_secs(30))),
            ("rewind=5m", None, Start::RewindTime(Duration::from_secs(300))),
            ("rewind=2h", None, Start::RewindTime(Duration::from_secs(7_200))),
            ("rewind=1d", None, Start::RewindTime(Duration::from_secs(86_400))),
        ];
        for (query, header, start) in cases {
            assert_eq!(parse(query, header).unwrap().start, start, "{query} {header:?}");
        }
    }

    #[test]
    fn a_selector_that_is_not_used_is_checked_all_the_same() {
        let id = position().to_string();
        for query in
            ["since=", "since=-1", "since=1e3", "rewind=", "rewind=1y", "rewind=10001", "rewind=99999999999999999999s"]
        {
            assert_eq!(parse(query, Some(&id)).unwrap_err().slug, Slug::BadRequest, "{query}");
        }
    }

    #[test]
    fn channels_are_kept_as_they_were_written_and_in_order() {
        let ask = parse("channel=b:%2A&channel=&named=1", None).unwrap();
        assert_eq!((ask.channels, ask.named), (vec!["wiki:en".to_owned(), "b:*".to_owned(), String::new()], true));
    }
}
