//! Telling authors who has their events: one event of the type by which the channel's kind tells of receipts, in the name of whom it is about,
//! for each author and each thing that they may hear. A repeat has the same id, and the pipeline makes it one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures::future::try_join_all;
use policy::Telling;
use schemas::cloudevent::PostedEvent;
use schemas::event::Attributes;
use schemas::id::{EventId, NameError, Source};
use schemas::partition::DeliveryPartition;
use schemas::position::Position;
use schemas::problem::Slug;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use store::{ReceiptKind, ReceiptPosition, UpTo};
use xxhash_rust::xxh3::xxh3_128;

use super::reach::furthest;
use super::visit::Visit;
use super::walk::{PAGES, Walk};
use crate::edge::Shared;
use crate::entry::{Content, Entry};
use crate::refusal::Refusal;

/// Authors who are told of one «all up to here»; further ones are not.
const AUTHORS: usize = 64;
/// From this status on the log does not answer, and the same may be told later.
const SERVER_ERRORS: u16 = 500;
/// When to say it again, where the log does not answer.
const AGAIN_SECONDS: u64 = 1;
/// Where what is told comes from.
const SOURCE: &str = "/v1/receipts";

/// Of what an author is told.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// An event of theirs.
    Event(&'a EventId),
    /// All of theirs before a position.
    UpTo(&'a Position),
}

/// What is told.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// That it came, or that it was read.
    pub kind: ReceiptKind,
    /// Of what.
    pub of: Of<'a>,
    /// When it was said.
    pub at: Timestamp,
}

impl Shared {
    /// Tells these authors what a user has of theirs; returns when the log has it.
    ///
    /// # Errors
    /// The log does not answer, or this process cannot publish.
    pub async fn tell_authors(
        &self,
        visit: &Visit,
        word: Word<'_>,
        authors: impl IntoIterator<Item = &str>,
    ) -> Result<(), Refusal> {
        let unable = || Refusal::new(Slug::MethodNotAllowed, "this process cannot publish, so that nobody is told");
        let publisher = self.publisher.as_ref().ok_or_else(unable)?;
        let telling = visit.telling()?;
        let mut on_their_way = Vec::new();
        for author in authors {
            let event = event(telling, visit, word, author);
            let event = event.map_err(|error| Refusal::new(Slug::BadRequest, error.to_string()))?;
            on_their_way.push(publisher.announce(event));
        }
        try_join_all(on_their_way.into_iter().map(|told| async {
            match told.await {
                Ok(()) => Ok(()),
                Err(problem) if problem.status >= SERVER_ERRORS => {
                    let detail = "the log does not answer, so that nobody is told; say it again";
                    Err(Refusal::new(Slug::Unavailable, detail).again_after(AGAIN_SECONDS))
                }
                Err(problem) => {
                    tracing::warn!(problem = problem.kind, "a receipt cannot be told");
                    Ok(())
                }
            }
        }))
        .await
        .map(drop)
    }
}

/// Whose events stand between where a user stood and where they stand now, as far as a look back comes.
///
/// # Errors
/// The log does not answer.
pub async fn authors(
    walk: &Walk,
    visit: &Visit,
    stood: &[&ReceiptPosition],
    up_to: &[(DeliveryPartition, UpTo)],
) -> Result<BTreeSet<String>, Refusal> {
    let mut authors = BTreeSet::new();
    for (partition, UpTo { line, next }) in up_to {
        let from = furthest(*line, stood.iter().copied()).unwrap_or(0);
        let look = |entry: &Arc<Entry>| {
            authors.extend(other_author(visit, entry));
            if authors.len() < AUTHORS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        if from < *next {
            walk.back(*partition, from..*next, PAGES, look).await?;
        }
    }
    Ok(authors)
}

/// Who wrote an event that a user may see, and is not that user.
pub fn other_author(visit: &Visit, entry: &Entry) -> Option<String> {
    match &entry.content {
        Content::Event(routed) => {
            let author = routed.delivery.author.clone()?;
            (author != visit.user.sub && visit.sees(entry, routed)).then_some(author)
        }
        Content::Lost(_) => None,
    }
}

/// What there is to say of a receipt; what is not is empty.
pub fn said(user: &str, word: Word<'_>, author: &str) -> Value {
    let (event, position) = match word.of {
        Of::Event(event) => (event.as_str(), String::new()),
        Of::UpTo(position) => ("", position.to_string()),
    };
    json!({
        "user_id": user,
        "kind": word.kind.as_str(),
        "event": event,
        "position": position,
        "at": word.at.to_string(),
        "author_id": author,
    })
}

fn event(telling: &Telling, visit: &Visit, word: Word<'_>, author: &str) -> Result<PostedEvent, NameError> {
    let user = &visit.user.sub;
    let attributes = Attributes {
        id: EventId::parse(&id(word, author))?,
        source: Source::parse(SOURCE)?,
        event_type: telling.event_type().clone(),
        channel: visit.place.channel.clone(),
        tenant: visit.user.tenant.clone(),
        time: None,
        priority: None,
        expires: None,
        conflation_key: None,
        author: Some(user.clone()),
        traceparent: None,
        principal: Some(user.clone()),
    };
    Ok(PostedEvent { attributes, data: telling.data(said(user, word, author)) })
}

/// The same for the same word of a user to an author, whenever it is said. Of a position its offsets count, and not its time.
fn id(word: Word<'_>, author: &str) -> String {
    let of = match word.of {
        Of::Event(event) => format!("event {}", event.as_str()),
        Of::UpTo(Position { log, generation, next, time: _ }) => format!("position {} {generation} {next:?}", log.0),
    };
    format!("receipt/{}/{:032x}", word.kind.as_str(), xxh3_128(format!("{author}\n{of}").as_bytes()))
}
