//! What a shard does when something is due for a stream, and how streams come, move between together and apart, and go.

use schemas::partition::DeliveryPartition;
use tokio::time::Instant;

use super::agenda::{Due, Seat};
use super::cohort::{at, small};
use super::member::{Apart, Wrote};
use super::{Mail, Shard};
use crate::edge::DRAIN_GRACE;
use crate::feed::{Feed, fresh_ends};
use crate::frame::{Chunk, Notice, json};
use crate::notice::{ByeReason, EXPIRING, Expiring, POSITION};
use crate::stream::bye;
use crate::timers::told_before;

impl Shard {
    pub(super) fn take_due(&mut self) {
        let now = Instant::now();
        while let Some(number) = self.agenda.looks(now) {
            self.queue_cohort(number);
        }
        while let Some((seat, due)) = self.agenda.due(now) {
            match due {
                Due::Heartbeat => self.heartbeat(seat, now),
                Due::Rested => {
                    self.apart(seat).into_iter().for_each(|apart| apart.awaits_rest = None);
                    self.queue(seat);
                }
                Due::Future => self.look_beyond(seat),
                Due::Stalled => self.look_whether_stuck(seat, now),
                Due::Expiring if self.tells_by(seat, now) => self.expiring(seat),
                Due::Expired if self.ends_by(seat, now) => self.bye(seat, ByeReason::Expired),
                Due::Expiring | Due::Expired => {} // of a token that another one has followed
                Due::Drain => self.bye(seat, ByeReason::Drain),
                Due::GivenUp => self.reset(seat),
            }
        }
    }

    /// When a token ends, and when its holder is told.
    pub(super) fn expect_end(&mut self, seat: Seat) {
        let (time, now) = (self.shared.clock.now(), Instant::now());
        let Some(member) = self.member(seat) else { return };
        let lives = member.expires_at.map(|at| at.since(time));
        member.ends_at = lives.and_then(|lives| now.checked_add(lives));
        member.tells_at = lives.and_then(|lives| now.checked_add(lives - told_before(lives)));
        let moments = [(member.tells_at, Due::Expiring), (member.ends_at, Due::Expired)];
        for (at, due) in moments {
            at.into_iter().for_each(|at| self.agenda.set(at, seat, due));
        }
    }

    /// Whether the holder of a stream's token is told of its end at a moment; once.
    fn tells_by(&mut self, seat: Seat, now: Instant) -> bool {
        self.member(seat).is_some_and(|member| member.tells_at.take_if(|at| *at <= now).is_some())
    }

    /// Whether a stream's token has ended by a moment.
    fn ends_by(&mut self, seat: Seat, by: Instant) -> bool {
        self.member(seat).and_then(|member| member.ends_at).is_some_and(|at| at <= by)
    }

    /// A sign of life, and the position where it moved past what the client may not see.
    fn heartbeat(&mut self, seat: Seat, now: Instant) {
        let Some(number) = self.member(seat).map(|member| member.cohort) else { return };
        self.agenda.beat(seat, now);
        self.step(number);
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        let Some(cohort) = self.cohorts.get(number) else { return };
        let mut chunk = Chunk::new(false);
        let moved = match &mut member.apart {
            Some(apart) if apart.rest.is_empty() && !apart.ends => {
                apart.feed.cursor_mut().take_unsaid().then(|| apart.feed.cursor().position().to_string())
            }
            Some(_) => return,
            None => (member.told != cohort.moves).then(|| cohort.cursor.position().to_string()),
        };
        if let Some(id) = moved {
            chunk.notice(Notice { name: POSITION, retry_ms: None, data: "{}", id: Some(&id) });
            member.told = cohort.moves;
        }
        chunk.heartbeat();
        self.say(seat, &chunk);
    }

    fn expiring(&mut self, seat: Seat) {
        let Some((id, expires_at)) = self.stands_at(seat).zip(self.member(seat).and_then(|member| member.expires_at))
        else {
            return;
        };
        let mut chunk = Chunk::new(false);
        let data = json(&Expiring::at(expires_at));
        chunk.notice(Notice { name: EXPIRING, retry_ms: None, data: &data, id: Some(&id) });
        self.say(seat, &chunk);
    }

    /// The last words of a stream.
    pub(super) fn bye(&mut self, seat: Seat, reason: ByeReason) {
        let Some(number) = self.member(seat).map(|member| member.cohort) else { return };
        self.step(number);
        let Some(id) = self.stands_at(seat) else { return };
        if self.apart(seat).is_some_and(|apart| apart.ends) {
            return;
        }
        let chunk = bye(&self.shared, reason, Some(&id));
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        member.access.ended_by(reason.as_str());
        let mut words = member.coded(chunk.as_bytes(), &mut self.coder).into_owned();
        if let Some(gzip) = &mut member.gzip {
            words.extend_from_slice(&gzip.end());
        }
        self.owe(seat, &words);
        if let Some(apart) = self.apart(seat) {
            apart.ends = true;
        }
        self.agenda.set(Instant::now() + DRAIN_GRACE, seat, Due::GivenUp);
        self.flush(seat);
    }

    /// Words that must not be lost, right behind what the stream owes already.
    pub(super) fn say(&mut self, seat: Seat, chunk: &Chunk) {
        let Some(member) = self.members.get_mut(at(seat.slot)).filter(|member| member.seat == seat) else { return };
        let words = member.coded(chunk.as_bytes(), &mut self.coder);
        let written = if member.apart.is_some() { Wrote::Part(0) } else { member.write(&words) };
        match written {
            Wrote::All => {}
            Wrote::Gone => self.close(seat),
            Wrote::Part(written) => {
                self.owe(seat, &words[written..]);
                if self.flush(seat) {
                    self.queue(seat);
                }
            }
        }
    }

    pub(super) fn owe(&mut self, seat: Seat, bytes: &[u8]) {
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        if let Some(apart) = &mut member.apart {
            apart.rest.extend_from_slice(bytes);
            return;
        }
        let Some(cohort) = self.cohorts.get(member.cohort) else { return };
        let mut cursor = cohort.cursor.clone();
        if member.told == cohort.moves {
            cursor.take_unsaid();
        }
        self.part(seat, Apart::new(Feed::new(cursor), bytes.to_vec()));
    }

    /// The id of where a stream stands.
    pub(super) fn stands_at(&mut self, seat: Seat) -> Option<String> {
        let member = self.members.get(at(seat.slot)).filter(|member| member.seat == seat)?;
        let cohort = self.cohorts.get(member.cohort)?;
        let cursor = member.apart.as_ref().map_or(&cohort.cursor, |apart| apart.feed.cursor());
        Some(cursor.position().to_string())
    }

    /// Asks the log for its ends, where a stream stands beyond the windows.
    fn look_beyond(&mut self, seat: Seat) {
        let Some(member) = self.members.get_mut(at(seat.slot)).filter(|member| member.seat == seat) else { return };
        let (Some(apart), Some(cohort)) = (&mut member.apart, self.cohorts.get(member.cohort)) else { return };
        let beyond = apart.feed.cursor().beyond(&cohort.session.windows);
        let (session, bell) = (cohort.session.clone(), self.bell.clone());
        tokio::spawn(async move {
            let ends = fresh_ends(&session, beyond).await;
            bell.post(Mail::Ends(seat, ends));
        });
    }

    /// Positions that are still beyond the ends are of the future and go on there; the others wait on.
    pub(super) fn skip_beyond(&mut self, seat: Seat, ends: &[(DeliveryPartition, u64)]) {
        let Some(apart) = self.apart(seat) else { return };
        apart.awaits_future = false;
        let mut chunk = Chunk::new(false);
        apart.feed.skip_beyond(ends, &mut chunk);
        if !chunk.is_empty() {
            self.shared.meters.wrote(&chunk, self.shared.clock.now(), 1);
            let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
            let words = member.coded(chunk.as_bytes(), &mut self.coder);
            self.owe(seat, &words);
        }
        self.queue(seat);
    }

    fn look_whether_stuck(&mut self, seat: Seat, now: Instant) {
        let stall = self.shared.config.stall;
        let Some(member) = self.member(seat) else { return };
        let stuck = member.apart.as_ref().and_then(|apart| apart.stuck);
        match stuck {
            None => member.watched = false,
            Some(since) if since + stall <= now => {
                member.let_go();
                self.reset(seat);
            }
            Some(since) => self.agenda.set(since + stall, seat, Due::Stalled),
        }
    }

    /// A stream that was with its cohort has a cursor of its own now.
    pub(super) fn part(&mut self, seat: Seat, apart: Apart) {
        self.leave_list(seat);
        if let Some(member) = self.member(seat) {
            member.apart = Some(Box::new(apart));
            self.stand_apart(seat);
        }
    }

    /// Puts a stream into its cohort's list of those apart.
    pub(super) fn stand_apart(&mut self, seat: Seat) {
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        if let Some(cohort) = self.cohorts.get_mut(member.cohort) {
            member.place = small(cohort.apart.len());
            cohort.apart.push(seat.slot);
        }
    }

    /// Takes a stream's own cursor away and puts it into its cohort's list of those together.
    pub(super) fn stand_in(&mut self, seat: Seat) {
        self.leave_list(seat);
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        member.apart = None;
        if let Some(cohort) = self.cohorts.get_mut(member.cohort) {
            member.place = small(cohort.together.len());
            cohort.together.push(seat.slot);
        }
    }

    /// Takes a stream out of the list that it stands in; the last of the list takes its place.
    pub(super) fn leave_list(&mut self, seat: Seat) {
        let Some(member) = self.members.get(at(seat.slot)) else { return };
        let (place, is_apart) = (at(member.place), member.apart.is_some());
        let Some(cohort) = self.cohorts.get_mut(member.cohort) else { return };
        let list = if is_apart { &mut cohort.apart } else { &mut cohort.together };
        if place < list.len() {
            list.swap_remove(place);
        }
        let moved = list.get(place).copied();
        let left_alone = !is_apart && list.is_empty() && cohort.cursor.keeps_back();
        let number = member.cohort;
        if let Some(moved) = moved.and_then(|slot| self.members.get_mut(at(slot))) {
            moved.place = small(place);
        }
        if left_alone {
            self.queue_cohort(number); // those apart wait for the others' place no more
        }
    }

    /// Lets a client go that takes nothing. It is reset: one that comes back to life then sees an error, never half a block that ends as
    /// if it were whole.
    pub(super) fn reset(&mut self, seat: Seat) {
        if let Some(member) = self.member(seat)
            && let Err(error) = socket2::SockRef::from(&member.socket).set_linger(Some(std::time::Duration::ZERO))
        {
            tracing::debug!(%error, "a socket cannot be reset and is closed");
        }
        self.close(seat);
    }

    /// A stream ends.
    pub(super) fn close(&mut self, seat: Seat) {
        if self.member(seat).is_none() {
            return;
        }
        self.leave_list(seat);
        let member = self.members.remove(at(seat.slot));
        self.cohorts.leave(member.cohort);
    }
}
