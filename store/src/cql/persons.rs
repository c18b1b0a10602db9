//! What [`Persons`] asks of CQL. Deletes give the time of what they read, or of the erasure, so that what is written later stays and what comes
//! late from before does not.

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use uuid::Uuid;

use super::statements::{
    CONNECTIONS_OF_NODE_AND_USER, ERASE_CURSORS, ERASE_PRESENCE, ERASE_SUBSCRIPTION, MEMBERS_OF_USER,
    REMOVE_SUBSCRIPTION, SUBSCRIPTIONS, SUBSCRIPTIONS_OF_USER,
};
use super::subscriptions::READ;
use super::{CqlStore, bigint, limit};
use crate::cursors::{AckTime, Cursors};
use crate::device::Device;
use crate::error::StoreError;
use crate::limits::{CONNECTIONS_PER_USER, NODE_BUCKETS};
use crate::nodes::NodeId;
use crate::occupancy::{Member, Place, bucket_of};
use crate::persons::Persons;
use crate::subscriptions::KeptSubscription;

/// Parts of a node that are read at a time.
const IN_FLIGHT: usize = 16;

#[async_trait]
impl Persons for CqlStore {
    async fn subscriptions(&self, user: &User) -> Result<Vec<KeptSubscription>, StoreError> {
        let of = (user.tenant.as_str(), &user.sub, limit(READ));
        let rows: Vec<(String, Option<Vec<String>>)> = self.link.rows(&SUBSCRIPTIONS_OF_USER, of).await?;
        let kept = rows.into_iter().map(|(device, channels)| {
            let device = Device::parse(&device).map_err(StoreError::invalid)?;
            let channels = channels.unwrap_or_default();
            let channels = channels.iter().map(|text| ChannelPattern::parse(text).map_err(StoreError::invalid));
            Ok(KeptSubscription { device, channels: channels.collect::<Result<_, _>>()? })
        });
        kept.collect()
    }

    async fn memberships(&self, place: &Place, user: &str) -> Result<Vec<Member>, StoreError> {
        let bucket = i16::from(bucket_of(user));
        let of = (place.tenant.as_str(), place.channel.as_str(), bucket, user, limit(CONNECTIONS_PER_USER));
        let rows: Vec<(Uuid, Uuid)> = self.link.rows(&MEMBERS_OF_USER, of).await?;
        let member = |(connection, node)| Member { user: user.to_owned(), connection, node: NodeId(node) };
        Ok(rows.into_iter().map(member).collect())
    }

    async fn connections_at(&self, node: NodeId, user: &User) -> Result<Vec<Uuid>, StoreError> {
        let parts = (0..NODE_BUCKETS).map(|bucket| async move {
            let bucket = i16::from(bucket);
            let of = (node.0, bucket, user.tenant.as_str(), &user.sub, limit(CONNECTIONS_PER_USER));
            self.link.rows::<(Uuid,)>(&CONNECTIONS_OF_NODE_AND_USER, of).await
        });
        let parts: Vec<Vec<(Uuid,)>> = stream::iter(parts).buffered(IN_FLIGHT).try_collect().await?;
        Ok(parts.into_iter().flatten().map(|(id,)| id).collect())
    }

    async fn erase_cursors(&self, user: &User, until: AckTime) -> Result<(), StoreError> {
        // A cursor's write has the time of its acknowledgement.
        let last = self.cursors(user).await?.into_iter().map(|(_, cursor)| cursor.acknowledged).max();
        let AckTime(until) = last.map_or(until, |last| last.max(until));
        self.link.write(&ERASE_CURSORS, (until, user.tenant.as_str(), &user.sub)).await
    }

    async fn erase_subscriptions(&self, user: &User) -> Result<(), StoreError> {
        let of = (user.tenant.as_str(), &user.sub, limit(READ));
        let rows: Vec<(String, Option<i64>)> = self.link.rows(&SUBSCRIPTIONS, of).await?;
        for (device, written) in rows {
            let (tenant, sub) = (user.tenant.as_str(), &user.sub);
            match written {
                Some(written) => self.link.write(&ERASE_SUBSCRIPTION, (written, tenant, sub, &device)).await?,
                None => self.link.write(&REMOVE_SUBSCRIPTION, (tenant, sub, &device)).await?,
            }
        }
        Ok(())
    }

    async fn erase_presence(&self, user: &User, version: u64) -> Result<bool, StoreError> {
        let version = bigint(version);
        Ok(self.link.cas(&ERASE_PRESENCE, (user.tenant.as_str(), &user.sub, version, version)).await?.applied)
    }
}
