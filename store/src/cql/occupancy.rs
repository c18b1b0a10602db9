//! `members` and `occupancy` in CQL.

use async_trait::async_trait;
use futures::future::try_join_all;
use uuid::Uuid;

use super::statements::{
    FIRST_OCCUPANCY, MEMBERS, MEMBERS_BEHIND, NEXT_OCCUPANCY, OCCUPANCY, OCCUPANCY_ANNOUNCED, PUT_MEMBER, REMOVE_MEMBER,
};
use super::{CqlStore, bigint, count, limit, ttl};
use crate::bounds;
use crate::error::StoreError;
use crate::limits::{MEMBER_BUCKETS, PAGE_ROWS};
use crate::nodes::NodeId;
use crate::occupancy::{Behind, Member, MemberPage, Occupancies, Occupancy, Place, bucket_of};
use crate::versioned::{Outcome, Versioned};

#[async_trait]
impl Occupancies for CqlStore {
    async fn put_member(&self, place: &Place, member: &Member) -> Result<(), StoreError> {
        bounds::user(&member.user)?;
        self.link.write(&PUT_MEMBER, member_row(place, member, ttl(self.lifetimes.connection))).await
    }

    async fn remove_member(&self, place: &Place, user: &str, connection: Uuid) -> Result<(), StoreError> {
        let (tenant, channel) = names(place);
        self.link.write(&REMOVE_MEMBER, (tenant, channel, i16::from(bucket_of(user)), user, connection)).await
    }

    async fn members(&self, place: &Place, after: Option<&str>) -> Result<MemberPage, StoreError> {
        let mut behind = after.map(Behind::parse).transpose()?;
        let mut members = Vec::new();
        for bucket in behind.as_ref().map_or(0, |behind| behind.bucket)..MEMBER_BUCKETS {
            let room = PAGE_ROWS - members.len();
            members.extend(self.members_of(place, bucket, behind.take(), room).await?);
            if members.len() == PAGE_ROWS {
                break;
            }
        }
        let next = members.last().filter(|_| members.len() == PAGE_ROWS).map(|last| Behind::member(last).to_string());
        Ok(MemberPage { members, next })
    }

    async fn has_members(&self, place: &Place) -> Result<bool, StoreError> {
        let firsts = (0..MEMBER_BUCKETS).map(|bucket| self.members_of(place, bucket, None, 1));
        Ok(try_join_all(firsts).await?.iter().any(|first| !first.is_empty()))
    }

    async fn occupancy(&self, place: &Place) -> Result<Option<Versioned<Occupancy>>, StoreError> {
        let row: Option<(Option<bool>, Option<i64>, Option<i64>)> = self.link.row(&OCCUPANCY, names(place)).await?;
        let Some((occupied, Some(version), announced)) = row else { return Ok(None) };
        let value = Occupancy { occupied: occupied.unwrap_or_default() };
        Ok(Some(Versioned { value, version: count(Some(version)), announced: count(announced) }))
    }

    async fn change_occupancy(
        &self,
        place: &Place,
        from: u64,
        to: Occupancy,
    ) -> Result<Outcome<Occupancy>, StoreError> {
        let ((tenant, channel), lifetime) = (names(place), ttl(self.lifetimes.presence));
        let changed = if from == 0 {
            self.link.cas(&FIRST_OCCUPANCY, (tenant, channel, to.occupied, lifetime)).await?
        } else {
            let (from, next) = (bigint(from), bigint(from + 1));
            self.link.cas(&NEXT_OCCUPANCY, (lifetime, to.occupied, next, from, tenant, channel, from, from)).await?
        };
        match changed.applied {
            true => Ok(Outcome::Done),
            false => Ok(Outcome::Stands(self.occupancy(place).await?)),
        }
    }

    async fn occupancy_announced(&self, place: &Place, version: u64) -> Result<(), StoreError> {
        let ((tenant, channel), version) = (names(place), bigint(version));
        let row = (ttl(self.lifetimes.presence), version, version, tenant, channel, version);
        self.link.cas(&OCCUPANCY_ANNOUNCED, row).await.map(drop)
    }
}

impl CqlStore {
    /// Some members of one part of a channel.
    async fn members_of(
        &self,
        place: &Place,
        bucket: u8,
        behind: Option<Behind>,
        rows: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let ((tenant, channel), bucket) = (names(place), i16::from(bucket));
        let rows: Vec<(String, Uuid, Uuid)> = match behind {
            None => self.link.rows(&MEMBERS, (tenant, channel, bucket, limit(rows))).await?,
            Some(Behind { user, connection, .. }) => {
                self.link.rows(&MEMBERS_BEHIND, (tenant, channel, bucket, user, connection, limit(rows))).await?
            }
        };
        Ok(rows.into_iter().map(|(user, connection, node)| Member { user, connection, node: NodeId(node) }).collect())
    }
}

/// A row of `members`, as it is written.
pub(super) type MemberRow<'a> = (&'a str, &'a str, i16, &'a str, Uuid, Uuid, i32);

/// For `PUT_MEMBER`.
pub(super) fn member_row<'a>(place: &'a Place, member: &'a Member, lifetime: i32) -> MemberRow<'a> {
    let ((tenant, channel), bucket) = (names(place), i16::from(bucket_of(&member.user)));
    (tenant, channel, bucket, &member.user, member.connection, member.node.0, lifetime)
}

fn names(place: &Place) -> (&str, &str) {
    (place.tenant.as_str(), place.channel.as_str())
}
