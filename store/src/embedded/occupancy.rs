//! `members`: (tenant, channel, bucket, user, connection) → node. `occupancy`: ((tenant, channel)) → whether somebody is there, with its
//! versions.

use async_trait::async_trait;
use uuid::Uuid;

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::presence::{announced, change, versioned};
use super::tables::Durability;
use crate::bounds;
use crate::error::StoreError;
use crate::limits::PAGE_ROWS;
use crate::nodes::NodeId;
use crate::occupancy::{Behind, Member, MemberPage, Occupancies, Occupancy, Place, bucket_of};
use crate::versioned::{Outcome, Versioned};

#[async_trait]
impl Occupancies for EmbeddedStore {
    async fn put_member(&self, place: &Place, member: &Member) -> Result<(), StoreError> {
        bounds::user(&member.user)?;
        let (key, node) = (key_of(place, &Behind::member(member)), member.node);
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            writing.put(&key, &node, lifetimes.connection)?;
            writing.commit(Durability::Process)
        })
        .await
    }

    async fn remove_member(&self, place: &Place, user: &str, connection: Uuid) -> Result<(), StoreError> {
        let key = key_of(place, &Behind { bucket: bucket_of(user), user: user.to_owned(), connection });
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            writing.remove(&key);
            writing.commit(Durability::Process)
        })
        .await
    }

    async fn members(&self, place: &Place, after: Option<&str>) -> Result<MemberPage, StoreError> {
        let beginning = of_place(Table::Members, place);
        let after = after.map(Behind::parse).transpose()?.map(|behind| key_of(place, &behind));
        let members: Vec<Member> = self
            .ask(move |tables, _| {
                let rows: Vec<(Key, NodeId)> = tables.list(&beginning, after.as_ref(), PAGE_ROWS)?;
                let member = |(key, node): (Key, NodeId)| {
                    let mut parts = key.behind(&beginning);
                    parts.byte()?;
                    Some(Member { user: parts.text()?, connection: parts.id()?, node })
                };
                Ok(rows.into_iter().filter_map(member).collect())
            })
            .await?;
        let next = members.last().filter(|_| members.len() == PAGE_ROWS).map(|last| Behind::member(last).to_string());
        Ok(MemberPage { members, next })
    }

    async fn has_members(&self, place: &Place) -> Result<bool, StoreError> {
        let beginning = of_place(Table::Members, place);
        let first: Vec<(Key, NodeId)> = self.ask(move |tables, _| tables.list(&beginning, None, 1)).await?;
        Ok(!first.is_empty())
    }

    async fn occupancy(&self, place: &Place) -> Result<Option<Versioned<Occupancy>>, StoreError> {
        let key = of_place(Table::Occupancy, place);
        self.ask(move |tables, _| versioned(tables, &key)).await
    }

    async fn change_occupancy(
        &self,
        place: &Place,
        from: u64,
        to: Occupancy,
    ) -> Result<Outcome<Occupancy>, StoreError> {
        let key = of_place(Table::Occupancy, place);
        self.ask(move |tables, lifetimes| change(tables, &key, from, to, lifetimes.presence)).await
    }

    async fn occupancy_announced(&self, place: &Place, version: u64) -> Result<(), StoreError> {
        let key = of_place(Table::Occupancy, place);
        self.ask(move |tables, lifetimes| announced::<Occupancy>(tables, &key, version, lifetimes.presence)).await
    }
}

fn of_place(table: Table, place: &Place) -> Key {
    Key::of(table).text(place.tenant.as_str()).text(place.channel.as_str())
}

fn key_of(place: &Place, behind: &Behind) -> Key {
    of_place(Table::Members, place).byte(behind.bucket).text(&behind.user).id(behind.connection)
}
