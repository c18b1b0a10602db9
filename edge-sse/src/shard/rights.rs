//! What a shard does when the rights of one of its streams change: the stream leaves its cohort before anything else is pulled for that, and
//! goes on in another one, or ends.
//!
//! What a stream owes at that moment is the rest of a block that was begun, and notices; it never owes an event that was not begun. The rest of a
//! fragment in gzip may hold such events, and nothing can be left out of it: that stream is reset, and comes back with its new rights.

use std::sync::Arc;

use policy::Claims;

use super::Shard;
use super::agenda::Seat;
use super::cohort::{Cast, at};
use crate::frame::Chunk;
use crate::notice::ByeReason;
use crate::rights::Rights;
use crate::subscription::pattern_of;

impl Shard {
    /// Applies the change that waits for a stream.
    pub(super) fn change_rights(&mut self, seat: Seat) {
        if let Some(rights) = self.member(seat).and_then(|member| member.access.take_change()) {
            self.apply_rights(seat, &rights);
        }
    }

    /// Decides anew what streams of nobody in particular may have: the same for all of a cohort.
    pub(super) fn reconsider_anonymous(&mut self) {
        for number in self.cohorts.numbers() {
            let Some(rights) = self.anonymous_rights(number) else { continue };
            for seat in self.anonymous_seats(number) {
                self.apply_rights(seat, &rights);
            }
        }
    }

    /// What anonymous streams of a cohort may have; none where that is what they have.
    fn anonymous_rights(&self, number: u32) -> Option<Rights> {
        let cast = &self.cohorts.get(number)?.cast;
        if cast.reader.sub.is_some() {
            return None;
        }
        let held: Vec<_> = cast.keys.iter().filter_map(|key| pattern_of(key)).collect();
        let rights = self.shared.rights(&Arc::new(Claims::anonymous()), &held);
        let reader = rights.reader.clone().filtered(cast.reader.filter.clone());
        (reader != cast.reader || !rights.subscription.refused.is_empty()).then_some(rights)
    }

    fn anonymous_seats(&self, number: u32) -> Vec<Seat> {
        let Some(cohort) = self.cohorts.get(number) else { return Vec::new() };
        let members = cohort.together.iter().chain(&cohort.apart).filter_map(|slot| self.members.get(at(*slot)));
        members.filter(|member| member.access.connection().is_none()).map(|member| member.seat).collect()
    }

    fn apply_rights(&mut self, seat: Seat, rights: &Rights) {
        if self.apart(seat).is_some_and(|apart| apart.ends) {
            return;
        }
        let ends = rights.ends();
        if ends == Some(ByeReason::Revoked) && self.owes_fragment(seat) {
            return self.reset(seat);
        }
        if ends != Some(ByeReason::Revoked) {
            self.recast(seat, rights);
        }
        if let Some(reason) = ends {
            self.owe(seat, &[]); // apart from its cohort, which is about to be given what comes
            return self.bye(seat, reason);
        }
        if let Some(member) = self.member(seat).filter(|member| member.expires_at != rights.expires_at()) {
            member.expires_at = rights.expires_at();
            self.expect_end(seat);
        }
        self.pause(seat, rights.paused);
        let mut chunk = Chunk::new(false);
        if let Some(id) = self.stands_at(seat) {
            rights.say_lost(&id, &mut chunk);
        }
        if !chunk.is_empty() {
            self.say(seat, &chunk);
        }
        self.queue(seat);
    }

    fn pause(&mut self, seat: Seat, paused: bool) {
        if paused {
            self.owe(seat, &[]);
        }
        if let Some(apart) = self.apart(seat) {
            apart.paused = paused;
        }
    }

    /// Moves a stream to the cohort of its new rights, apart and at its own place, in the partitions that it still reads.
    fn recast(&mut self, seat: Seat, rights: &Rights) {
        let Some(number) = self.member(seat).map(|member| member.cohort) else { return };
        let Some(cohort) = self.cohorts.get(number) else { return };
        let reader = rights.reader.clone().filtered(cohort.cast.reader.filter.clone());
        let cast = Cast::of(reader, cohort.cast.named, &rights.subscription);
        if *cohort.cast == cast {
            return;
        }
        let session = cohort.session.clone();
        if self.owes_fragment(seat) {
            return self.reset(seat);
        }
        let places = rights.subscription.places(&cast.reader.tenant, &session.windows.topics().generations);
        self.owe(seat, &[]);
        self.leave_list(seat);
        let Some(member) = self.members.get_mut(at(seat.slot)) else { return };
        let Some(apart) = &mut member.apart else { return };
        apart.feed.narrow(&places);
        member.held = session.windows.hold(places.into_keys());
        member.cohort = self.cohorts.join(cast, &session, apart.feed.cursor());
        self.stand_apart(seat);
        self.cohorts.leave(number);
    }

    /// Whether nothing can be taken from what a stream owes.
    fn owes_fragment(&mut self, seat: Seat) -> bool {
        self.member(seat).is_some_and(|member| member.owes_fragment())
    }
}
