//! What a shard gives its streams: to a cohort one pull and its text to each stream; to a stream that is apart what it needs to
//! come back.

use tokio::time::Instant;

use super::agenda::{Due, Seat};
use super::cohort::{at, small};
use super::member::{Apart, Wrote};
use super::piece::{Part, Piece};
use super::{Mail, Shard, Turn};
use crate::audited::Door;
use crate::cursor::{Eyes, Pacing, Pulled};
use crate::delivered::Recorder;
use crate::feed::{Feed, Source};
use crate::frame::Chunk;
use crate::limit::Limit;
use crate::metrics;
use crate::timers::FUTURE_WAITS;

/// Writes between two looks at the clock, for the latency of each.
const WRITES_PER_LOOK: u64 = 64;

impl Shard {
    /// A cohort's turn: those together get what is there; those apart look for themselves.
    pub(super) fn serve_cohort(&mut self, number: u32) {
        let Some(cohort) = self.cohorts.get_mut(number) else { return };
        cohort.queued = false;
        let apart = cohort.apart.clone();
        self.step(number);
        for slot in apart {
            if let Some(seat) = self.members.get(at(slot)).map(|member| member.seat) {
                self.queue(seat);
            }
        }
    }

    /// One pull for all that are together.
    pub(super) fn step(&mut self, number: u32) {
        let Some(cohort) = self.cohorts.get_mut(number) else { return };
        if cohort.together.is_empty() {
            return;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.clear(cohort.cast.named);
        self.before.copy_from(&cohort.cursor);
        let now = self.shared.clock.now();
        let eyes = Eyes { reader: &cohort.cast.reader, now, until: None, pacing: Pacing::ByBudgets };
        let pulled = cohort.cursor.pull(&cohort.session.windows, eyes, &[], &mut chunk);
        if !chunk.is_empty() && self.bell.rights_wait() {
            cohort.cursor.copy_from(&self.before); // nothing is given by rights that have ended
            self.chunk = chunk;
            return self.queue_cohort(number);
        }
        if !cohort.cursor.stands_with(&self.before) {
            cohort.moves += 1;
        }
        let wakes = Some((&self.bell, Turn::Cohort(number)));
        let recorder = Recorder { audit: self.shared.audit.as_ref(), door: Door::Stream, wakes };
        let streams = u64::from(small(cohort.together.len()));
        cohort.cursor.record(|items| recorder.record(&cohort.cast.reader, streams, items));
        if let Some(at) = cohort.cursor.deferred() {
            self.agenda.look_again(Instant::now() + at.since(now), number);
            metrics::limit(Limit::Budget, usize::from(Some(at) > self.before.deferred()));
        }
        if chunk.is_empty() {
            metrics::passed_over(chunk.tally(), streams);
        } else {
            self.broadcast(number, &chunk);
        }
        self.chunk = chunk;
        match pulled {
            Pulled::Dry => {}
            Pulled::Full => self.queue_cohort(number),
            Pulled::Below { .. } => self.scatter(number),
        }
    }

    /// Writes a chunk to all that are together. Who does not take it falls apart.
    fn broadcast(&mut self, number: u32, chunk: &Chunk) {
        let Some(cohort) = self.cohorts.get_mut(number) else { return };
        let told = if cohort.cursor.take_unsaid() { cohort.moves.wrapping_sub(1) } else { cohort.moves };
        let mut piece = Piece::of(chunk);
        let (mut place, mut copies) = (0, 0);
        while let Some(slot) = self.cohorts.get(number).and_then(|cohort| cohort.together.get(place)).copied() {
            let Some(member) = self.members.get_mut(at(slot)) else { return };
            match member.give(&mut piece, &mut self.coder) {
                Wrote::All => {
                    member.told = told;
                    member.access.wrote(chunk.tally(), chunk.as_bytes().len());
                    (place, copies) = (place + 1, copies + 1);
                }
                Wrote::Part(written) => self.fall_apart(slot, &mut piece, written),
                Wrote::Gone => {
                    let seat = member.seat;
                    self.close(seat);
                }
            }
            if copies == WRITES_PER_LOOK {
                self.shared.meters.wrote(chunk, self.shared.clock.now(), std::mem::take(&mut copies));
            }
        }
        self.shared.meters.wrote(chunk, self.shared.clock.now(), copies);
    }

    /// A stream that was together and did not take a whole chunk: it keeps the rest of a block, and goes on from behind that.
    fn fall_apart(&mut self, slot: u32, piece: &mut Piece<'_>, written: usize) {
        let Some(member) = self.members.get_mut(at(slot)) else { return };
        let Some(cohort) = self.cohorts.get(member.cohort) else { return };
        let part = Part { before: &self.before, behind: &cohort.cursor, written };
        let left = member.left(piece, part, &mut self.coder);
        let seat = member.seat;
        self.part(seat, Apart::new(Feed::new(left.cursor), left.rest));
        self.count_part(seat, piece.chunk(), left.bytes);
        self.stick(seat);
    }

    /// The window has overtaken those that are together: each goes on alone, from pages that they share.
    fn scatter(&mut self, number: u32) {
        while let Some(slot) = self.cohorts.get(number).and_then(|cohort| cohort.together.last()).copied() {
            let (Some(cohort), Some(member)) = (self.cohorts.get(number), self.members.get(at(slot))) else { return };
            let (seat, feed) = (member.seat, Feed::new(cohort.cursor.clone()));
            self.part(seat, Apart::new(feed, Vec::new()));
            self.queue(seat);
        }
    }

    /// The turn of a stream that is apart.
    pub(super) fn serve(&mut self, seat: Seat) {
        let Some(apart) = self.apart(seat) else { return };
        apart.queued = false;
        if !self.flush(seat) || self.apart(seat).is_some_and(|apart| apart.paused) {
            return;
        }
        let Some(number) = self.member(seat).map(|member| member.cohort) else { return };
        self.step(number);
        let mut chunk = std::mem::take(&mut self.chunk);
        self.fill(seat, &mut chunk);
        if !chunk.is_empty() && self.bell.rights_wait() {
            self.take_back(seat);
        } else if chunk.is_empty() {
            metrics::passed_over(chunk.tally(), 1);
            self.come_back(seat);
        } else if self.send(seat, &chunk) {
            self.queue(seat);
        }
        self.chunk = chunk;
    }

    /// Pulls for a stream that is apart, no further than its cohort stands.
    fn fill(&mut self, seat: Seat, chunk: &mut Chunk) {
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        let (Some(apart), Some(cohort)) = (&mut member.apart, self.cohorts.get(member.cohort)) else { return };
        chunk.clear(cohort.cast.named);
        self.before.copy_from(apart.feed.cursor());
        let until = (!cohort.together.is_empty()).then(|| cohort.cursor.position());
        // What those together were given is paced already.
        let pacing = if until.is_some() { Pacing::AsTaken } else { Pacing::ByBudgets };
        let source = Source::of(&self.shared, &cohort.session, &cohort.cast.reader);
        let recorder = Recorder { wakes: Some((&self.bell, Turn::Stream(seat))), ..source.recorder };
        let source = Source { until, pacing, recorder, ..source };
        apart.feed.fill(&source, chunk);
    }

    /// A stream that is apart stands where it stood before the pull, and looks again: nothing is given by rights that have ended.
    fn take_back(&mut self, seat: Seat) {
        if let Some(apart) = self.members.get_mut(at(seat.slot)).and_then(|member| member.apart.as_mut()) {
            apart.feed.cursor_mut().copy_from(&self.before);
        }
        self.queue(seat);
    }

    /// Writes a chunk to a stream that is apart and owes nothing; whether it took all. Before the pull it stood at `self.before`.
    pub(super) fn send(&mut self, seat: Seat, chunk: &Chunk) -> bool {
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return false };
        let Some(mut apart) = member.apart.take() else { return false };
        apart.feed.let_page_go();
        let mut piece = Piece::of(chunk);
        match member.give(&mut piece, &mut self.coder) {
            Wrote::All => {
                member.apart = Some(apart);
                member.access.wrote(chunk.tally(), chunk.as_bytes().len());
                let began_at = member.access.began_at();
                let (tally, bytes) = (chunk.tally(), chunk.as_bytes().len());
                self.shared.meters.wrote_since(tally, bytes, self.shared.clock.now(), began_at);
                true
            }
            Wrote::Part(written) => {
                let part = Part { before: &self.before, behind: apart.feed.cursor(), written };
                let left = member.left(&mut piece, part, &mut self.coder);
                *apart.feed.cursor_mut() = left.cursor;
                apart.rest = left.rest;
                member.apart = Some(apart);
                self.count_part(seat, chunk, left.bytes);
                self.stick(seat);
                false
            }
            Wrote::Gone => {
                member.apart = Some(apart);
                self.close(seat);
                false
            }
        }
    }

    /// Writes what a stream that is apart owes; whether it may be given more.
    pub(super) fn flush(&mut self, seat: Seat) -> bool {
        let Some(member) = self.member(seat) else { return false };
        let Some(mut apart) = member.apart.take() else { return false };
        let wrote = member.write(&apart.rest);
        if let Wrote::Part(written) = wrote {
            apart.rest.drain(..written);
            apart.stuck = apart.stuck.filter(|_| written == 0);
        } else {
            (apart.rest, apart.stuck) = (Vec::new(), None);
        }
        let ends = apart.ends;
        member.apart = Some(apart);
        match wrote {
            Wrote::All if !ends => true,
            Wrote::All | Wrote::Gone => {
                self.close(seat);
                false
            }
            Wrote::Part(_) => {
                self.stick(seat);
                false
            }
        }
    }

    /// A socket takes nothing: somebody looks again in time.
    fn stick(&mut self, seat: Seat) {
        let (now, stall) = (Instant::now(), self.shared.config.stall);
        let Some(member) = self.member(seat) else { return };
        let Some(apart) = &mut member.apart else { return };
        apart.stuck.get_or_insert(now);
        if !std::mem::replace(&mut member.watched, true) {
            self.agenda.set(now + stall, seat, Due::Stalled);
        }
    }

    /// There is nothing more for a stream now: it waits for a page, a rest or the log, or stands with its cohort again.
    fn come_back(&mut self, seat: Seat) {
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        let (Some(apart), Some(cohort)) = (&mut member.apart, self.cohorts.get(member.cohort)) else { return };
        if let Some(ticket) = apart.feed.ticket() {
            if !std::mem::replace(&mut apart.awaits_page, true) {
                let (mut ticket, bell) = (ticket.clone(), self.bell.clone());
                tokio::spawn(async move {
                    drop(ticket.ready().await);
                    bell.post(Mail::Page(seat));
                });
            }
        } else if let Some(until) = apart.feed.rests_until() {
            if apart.awaits_rest.is_none_or(|known| until < known) {
                apart.awaits_rest = Some(until);
                self.agenda.set(until, seat, Due::Rested);
            }
        } else if apart.feed.cursor().has_records() {
            // Mail comes, once what it stands before is recorded.
        } else if apart.feed.stands_beyond(&cohort.session) {
            if !std::mem::replace(&mut apart.awaits_future, true) {
                self.agenda.set(Instant::now() + FUTURE_WAITS, seat, Due::Future);
            }
        } else {
            self.stand_together(seat);
        }
    }

    /// A stream stands where its cohort stands, from now on with it.
    fn stand_together(&mut self, seat: Seat) {
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        let number = member.cohort;
        let (Some(apart), Some(cohort)) = (&mut member.apart, self.cohorts.get_mut(number)) else { return };
        if cohort.together.is_empty() {
            cohort.cursor.copy_from(apart.feed.cursor());
            cohort.moves += 1;
        } else if !cohort.cursor.reads_all_of(apart.feed.cursor().position()) {
            return; // one of the two has not yet left a generation that has ended: the next wake-up finds both beyond it
        } else if !cohort.cursor.stands_with(apart.feed.cursor()) {
            if !cohort.cursor.keeps_back() {
                self.queue_cohort(number); // one of the two has seen more of the windows: both look again
            }
            return;
        } else if cohort.cursor.has_records() {
            return; // what is recorded for those together is not for one more
        }
        let unsaid = apart.feed.cursor_mut().take_unsaid();
        member.told = if unsaid { cohort.moves.wrapping_sub(1) } else { cohort.moves };
        self.stand_in(seat);
    }

    /// Counts the events in so many bytes of a chunk: those that were written, or are written with what the stream keeps.
    fn count_part(&mut self, seat: Seat, chunk: &Chunk, bytes: usize) {
        let now = self.shared.clock.now();
        let Some(member) = self.member(seat) else { return };
        let began_at = member.access.began_at();
        member.access.wrote_part(chunk.tally(), bytes);
        self.shared.meters.wrote_since(chunk.tally(), bytes, now, began_at);
    }
}
