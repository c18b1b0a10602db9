//! Who has an event: counted, and page by page, as far as the type by which the channel tells of receipts shows it to whoever asks.

use std::collections::BTreeMap;

use schemas::delivery::Delivery;
use schemas::id::EventId;
use schemas::position::Position;
use schemas::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::receipts::{Times, tally};
use store::{ReceiptKind, Visibility};
use utoipa::ToSchema;

use super::away;
use super::reach;
use super::say::{said_of, unknown};
use super::tell::{Of, Word, said};
use super::visit::Visit;
use crate::entry::Content;
use crate::refusal::Refusal;

/// Which event, and which page.
#[derive(Debug)]
pub struct Asked {
    /// The event.
    pub event: EventId,
    /// The position that came with it, where they say it.
    pub position: Option<Position>,
    /// How many users stand on the pages before.
    pub after: usize,
    /// Users of a page at most.
    pub limit: usize,
}

/// Who has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventReceipts)]
pub struct Seen {
    channel: String,
    event: String,
    delivered: usize,
    read: usize,
    complete: bool,
    #[schema(inline)]
    receipts: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// What a user said, as it is shown.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Shown {
    #[schema(value_type = String)]
    user_id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    delivered_at: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    read_at: Option<Value>,
}

/// Finds an event, and who has it.
///
/// # Errors
/// There is no such event for whoever asks, or the store or the log does not answer.
pub async fn seen(visit: &Visit, asked: Asked) -> Result<Seen, Refusal> {
    let walk = visit.walk().await?;
    let Asked { event, position, after, limit } = asked;
    position.as_ref().map(|at| reach::is_of_this_log(&walk, at)).transpose()?;
    let found = walk.find(&event, position.as_ref(), |entry, routed| visit.may_ask(entry, routed)).await?;
    let found = found.ok_or_else(unknown)?;
    let Content::Event(routed) = &found.entry.content else { return Err(unknown()) };
    // «All up to here» says nothing of what not everybody there may see.
    let spot = Some(found.spot).filter(|_| is_for_all(&routed.delivery));
    let mut tally = tally(&*visit.store, &visit.place, &event, spot).await.map_err(away)?;
    let author = routed.delivery.author.as_deref();
    author.map(|author| tally.users.remove(author));
    let (delivered, read, complete) = (tally.delivered(), tally.read(), tally.is_complete);
    let own = said_of(visit, &visit.user.sub, &event, found.spot, Visibility::Hidden).await.map_err(away)?;
    if own.most().is_some() && author != Some(&visit.user.sub) {
        let all = tally.users.entry(visit.user.sub.clone()).or_default();
        all.delivered_at = all.delivered_at.max(own.delivered_at);
        all.read_at = all.read_at.max(own.read_at);
    }
    let receipts = page(visit, &tally.users, &event, after, limit);
    let until = after.saturating_add(limit);
    let next = (until < tally.users.len()).then(|| until.to_string());
    let channel = visit.place.channel.to_string();
    Ok(Seen { channel, event: event.as_str().to_owned(), delivered, read, complete, receipts, next })
}

fn page(visit: &Visit, users: &BTreeMap<String, Times>, event: &EventId, after: usize, limit: usize) -> Vec<Shown> {
    users.iter().skip(after).take(limit).filter_map(|(user, times)| shown(visit, user, *times, event)).collect()
}

/// What of a user's receipt is shown; none where it is not said whose it is.
fn shown(visit: &Visit, user: &str, times: Times, event: &EventId) -> Option<Shown> {
    let mut shown = Shown::default();
    let said = [(ReceiptKind::Delivered, times.delivered_at), (ReceiptKind::Read, times.read_at)];
    for (kind, at) in said.into_iter().filter_map(|(kind, at)| Some((kind, at?))) {
        let Some((user_id, at)) = told(visit, user, kind, at, event) else { continue };
        shown.user_id = user_id;
        match kind {
            ReceiptKind::Delivered => shown.delivered_at = at,
            ReceiptKind::Read => shown.read_at = at,
        }
    }
    (!shown.user_id.is_null()).then_some(shown)
}

/// Whose receipt it is, and of when, as the type tells it to whoever asks.
fn told(
    visit: &Visit,
    user: &str,
    kind: ReceiptKind,
    at: Timestamp,
    event: &EventId,
) -> Option<(Value, Option<Value>)> {
    let own = user == visit.user.sub;
    if own {
        return Some((Value::from(user), Some(Value::from(at.to_string()))));
    }
    let word = Word { kind, of: Of::Event(event), at };
    let told = visit.catalogues.shown(visit.telling().ok()?, said(user, word, &visit.user.sub), &visit.claims)?;
    told.get("kind")?;
    Some((told.get("user_id")?.clone(), told.get("at").cloned()))
}

/// Whether everybody in the channel may see an event.
pub fn is_for_all(delivery: &Delivery) -> bool {
    let first = delivery.views.first().is_some_and(|view| view.labels.is_empty());
    first && delivery.required_labels.is_empty() && delivery.regions.is_empty() && delivery.only_users.is_empty()
}
