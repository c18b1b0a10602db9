//! How far a user is in a channel: up to where they said that they have it all, and what of the rest they have not said to have read.
//!
//! Of others only what they show and the channel's type tells whoever asks; else they stand like who never said anything.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::id::EventId;
use schemas::time::Timestamp;
use serde::Serialize;
use store::receipts::Spot;
use store::{ReceiptKind, ReceiptPosition, Visibility};
use utoipa::ToSchema;

use super::away;
use super::reach::{furthest, position};
use super::say::said_of;
use super::seen::is_for_all;
use super::tell::{Of, Word, said};
use super::visit::Visit;
use super::walk::{Came, PAGES, Walk};
use crate::entry::{Content, Entry, Routed};
use crate::refusal::Refusal;

/// Events that are named; of more it is said that there are.
const UNSEEN: usize = 100;
/// Questions to the store at one time.
const QUESTIONS: usize = 16;

/// Where a user stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserReceipts)]
pub struct Standing {
    channel: String,
    user_id: String,
    /// Up to here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivered: Option<String>,
    /// Up to here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    read: Option<String>,
    #[schema(inline)]
    unseen: Vec<Unseen>,
    more: bool,
}

/// An event that they have not said to have read.
#[derive(Debug, Serialize, ToSchema)]
struct Unseen {
    id: String,
    r#type: String,
    time: String,
}

/// One that they may not have read, and where it stands; found by the time at which it was accepted.
type Candidates = BTreeMap<(Timestamp, u64, EventId), (Spot, Unseen)>;

/// Whose standing is asked for.
struct Whose<'a> {
    visit: &'a Visit,
    user: &'a str,
    positions: Vec<ReceiptPosition>,
}

/// Finds where a user stands.
///
/// # Errors
/// The store or the log does not answer.
pub async fn standing(visit: &Visit, user: &str) -> Result<Standing, Refusal> {
    let walk = visit.walk().await?;
    let whose = Whose { visit, user, positions: Vec::new() };
    let positions = whose.positions().await?;
    let whose = Whose { positions, ..whose };
    let (candidates, more) = whose.candidates(&walk).await?;
    let text = |kind: ReceiptKind| position(&walk, whose.said(kind)).map(|position| position.to_string());
    Ok(Standing {
        channel: visit.place.channel.to_string(),
        user_id: user.to_owned(),
        delivered: text(ReceiptKind::Delivered),
        read: text(ReceiptKind::Read),
        unseen: whose.unread(candidates).await?,
        more,
    })
}

impl Whose<'_> {
    fn is_own(&self) -> bool {
        self.user == self.visit.user.sub
    }

    /// What of their words counts for whoever asks.
    fn visible(&self) -> &'static [Visibility] {
        match (self.is_own(), self.is_told()) {
            (true, _) => &[Visibility::Shown, Visibility::Hidden],
            (false, true) => &[Visibility::Shown],
            (false, false) => &[],
        }
    }

    /// Whether the channel's type tells whoever asks of receipts, with all that names what they are of.
    fn is_told(&self) -> bool {
        let Ok(example) = EventId::parse("example") else { return false };
        let word = Word { kind: ReceiptKind::Read, of: Of::Event(&example), at: Timestamp::default() };
        let said = said(self.user, word, &self.visit.user.sub);
        let shown = self
            .visit
            .telling()
            .ok()
            .and_then(|telling| self.visit.catalogues.shown(telling, said.clone(), &self.visit.claims));
        let all = |shown: serde_json::Value| {
            ["user_id", "kind", "event", "position"].iter().all(|field| shown.get(field) == said.get(field))
        };
        shown.is_some_and(all)
    }

    async fn positions(&self) -> Result<Vec<ReceiptPosition>, Refusal> {
        let mut positions = Vec::new();
        for visibility in self.visible() {
            let store = &self.visit.store;
            positions
                .extend(store.receipt_positions_of(&self.visit.place, self.user, *visibility).await.map_err(away)?);
        }
        Ok(positions)
    }

    /// What they said of a kind; who has read it has it delivered.
    fn said(&self, kind: ReceiptKind) -> impl Iterator<Item = &ReceiptPosition> + Clone {
        self.positions.iter().filter(move |position| position.said.kind >= kind)
    }

    /// The newest events that they have not said to have read «up to here», and whether there are or may be more.
    async fn candidates(&self, walk: &Walk) -> Result<(Candidates, bool), Refusal> {
        let (mut candidates, mut more) = (Candidates::new(), false);
        for partition in walk.partitions() {
            let Some(line) = walk.line(partition) else { continue };
            let (from, mut found) = (furthest(line, self.said(ReceiptKind::Read)).unwrap_or(0), 0);
            let look = |entry: &Arc<Entry>| {
                if let Content::Event(routed) = &entry.content
                    && self.concerns(entry, routed)
                {
                    let spot = Spot { line, offset: entry.offset };
                    let key = (routed.delivery.accepted_time, entry.offset, routed.delivery.id.clone());
                    candidates.insert(key, (spot, Unseen::of(routed)));
                    found += 1;
                }
                if found > UNSEEN { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let end = walk.end(partition).await?;
            if from < end {
                more |= walk.back(partition, from..end, PAGES, look).await? != Came::Through;
            }
        }
        while candidates.len() > UNSEEN {
            candidates.pop_first();
            more = true;
        }
        Ok((candidates, more))
    }

    /// Whether whoever asks may see an event, and it is for the user, and not theirs.
    fn concerns(&self, entry: &Entry, routed: &Routed) -> bool {
        let for_them = self.is_own() || is_for_all(&routed.delivery);
        let theirs = routed.delivery.author.as_deref() == Some(self.user);
        for_them && !theirs && self.visit.sees(entry, routed)
    }

    /// Those of which they have not said it by themselves, in the order in which they were accepted.
    async fn unread(&self, candidates: Candidates) -> Result<Vec<Unseen>, Refusal> {
        let asked = candidates.into_iter().map(async |((_, _, event), (spot, unseen))| {
            let is_read = self.is_read(&event, spot).await?;
            Ok::<_, Refusal>((!is_read).then_some(unseen))
        });
        let found: Vec<Option<Unseen>> = stream::iter(asked).buffered(QUESTIONS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn is_read(&self, event: &EventId, spot: Spot) -> Result<bool, Refusal> {
        for visibility in self.visible() {
            let times = said_of(self.visit, self.user, event, spot, *visibility).await.map_err(away)?;
            if times.read_at.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Unseen {
    fn of(routed: &Routed) -> Self {
        let delivery = &routed.delivery;
        Self {
            id: delivery.id.as_str().to_owned(),
            r#type: delivery.event_type.to_string(),
            time: delivery.time.to_string(),
        }
    }
}
