//! What becomes of a user's word: the events that it is of are looked for, their authors are told of what is new, and it is kept.
//!
//! In that order: what was answered with 200 is kept and was told. Whoever dies in between has told what nobody answered for; the same word
//! again is the same event to the pipeline.

use policy::Claims;
use schemas::id::EventId;
use schemas::position::Position;
use schemas::problem::Slug;
use store::receipts::{Spot, Times};
use store::{ReceiptKind, ReceiptPosition, StoreError, UpTo, Visibility};

use super::said::{Of, Said};
use super::tell::{self, Word, authors, other_author};
use super::visit::Visit;
use super::{away, reach};
use crate::audited::Door;
use crate::edge::Shared;
use crate::metrics;
use crate::refusal::Refusal;

impl Shared {
    /// A signed-in user says that they have something. It is kept when this returns, and its authors are told.
    ///
    /// # Errors
    /// As [`Shared::visit`]; there is no such event for this user, or it is older than what is looked through; the position is none of this
    /// channel in this log; or the store or the log does not answer.
    ///
    /// # Cancel safety
    /// Dropped, it may be kept all the same.
    pub async fn say_receipt(&self, claims: Claims, said: Said, door: Door) -> Result<(), Refusal> {
        let visit = self.visit(claims, &said.channel, door)?;
        let preference = visit.store.preference(&visit.user).await.map_err(away)?;
        let visibility = preference.unwrap_or_default().receipts;
        let kept = store::Said { user: visit.user.sub.clone(), visibility, kind: said.kind, at: self.clock.now() };
        match said.of {
            Of::Event(event, at) => self.say_of_event(&visit, kept, &event, at.as_ref()).await?,
            Of::UpTo(position) => self.say_up_to(&visit, kept, position).await?,
        }
        metrics::receipt_kept(said.kind);
        Ok(())
    }

    async fn say_of_event(
        &self,
        visit: &Visit,
        said: store::Said,
        event: &EventId,
        at: Option<&Position>,
    ) -> Result<(), Refusal> {
        let walk = visit.walk().await?;
        at.map(|at| reach::is_of_this_log(&walk, at)).transpose()?;
        let found = walk.find(event, at, |entry, routed| visit.sees(entry, routed)).await?.ok_or_else(unknown)?;
        let author = other_author(visit, &found.entry).filter(|_| said.visibility == Visibility::Shown);
        if let Some(author) = author
            && stood(visit, event, found.spot).await.map_err(away)? < Some(said.kind)
        {
            let word = Word { kind: said.kind, of: tell::Of::Event(event), at: said.at };
            self.tell_authors(visit, word, [author.as_str()]).await?;
        }
        visit.store.put_receipt(&visit.place, event, &said).await.map_err(away)
    }

    async fn say_up_to(&self, visit: &Visit, said: store::Said, position: Position) -> Result<(), Refusal> {
        let walk = visit.walk().await?;
        let reach = reach::reach(&walk, position).await?;
        if said.visibility == Visibility::Shown {
            let all = visit.store.receipt_positions_of(&visit.place, &said.user, Visibility::Shown).await;
            let all = all.map_err(away)?;
            let stood: Vec<&ReceiptPosition> = all.iter().filter(|stood| stood.said.kind >= said.kind).collect();
            let authors = authors(&walk, visit, &stood, &reach.up_to).await?;
            let word = Word { kind: said.kind, of: tell::Of::UpTo(&reach.position), at: said.at };
            self.tell_authors(visit, word, authors.iter().map(String::as_str)).await?;
        }
        let up_to: Vec<UpTo> = reach.up_to.into_iter().map(|(_, up_to)| up_to).collect();
        visit.store.put_receipt_position(&visit.place, &up_to, &said).await.map_err(away)
    }
}

/// The most that a user has said to all of an event, by itself or «up to here».
async fn stood(visit: &Visit, event: &EventId, spot: Spot) -> Result<Option<ReceiptKind>, StoreError> {
    Ok(said_of(visit, &visit.user.sub, event, spot, Visibility::Shown).await?.most())
}

/// What a user has said of an event, by itself or «up to here».
///
/// # Errors
/// The store does not answer.
pub async fn said_of(
    visit: &Visit,
    user: &str,
    event: &EventId,
    spot: Spot,
    visibility: Visibility,
) -> Result<Times, StoreError> {
    let (store, place) = (&visit.store, &visit.place);
    let receipt = store.receipt(place, event, user, visibility);
    let positions = store.receipt_positions_of(place, user, visibility);
    let (receipt, positions) = futures::future::try_join(receipt, positions).await?;
    let mut times = receipt.as_ref().map(Times::from).unwrap_or_default();
    positions.iter().filter(|position| spot.is_before(position)).for_each(|position| times.or_by(position));
    Ok(times)
}

/// An event that is not there, is too old to be found, or is not for whoever asks: one and the same.
pub fn unknown() -> Refusal {
    let detail =
        "there is no such event here for you, or it is too old to be looked for: send the position that came with it";
    Refusal::new(Slug::NotFound, detail)
}
