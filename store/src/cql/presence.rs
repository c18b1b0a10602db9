//! `presence` in CQL: compare-and-set by version, in one row.

use async_trait::async_trait;
use futures::future::try_join_all;
use schemas::grant::User;
use schemas::time::Timestamp;

use super::statements::{FIRST_PRESENCE, NEXT_PRESENCE, PRESENCE, PRESENCE_ANNOUNCED, PRESENCE_SHOWN, Statement};
use super::{CqlStore, bigint, count, ttl};
use crate::bounds;
use crate::error::StoreError;
use crate::presence::{DeviceKind, Presence, Presences, Status};
use crate::versioned::{Outcome, Versioned};

type Row =
    (Option<String>, Option<String>, Option<Vec<String>>, Option<i64>, Option<Vec<String>>, Option<i64>, Option<i64>);

#[async_trait]
impl Presences for CqlStore {
    async fn presence(&self, user: &User) -> Result<Option<Versioned<Presence>>, StoreError> {
        self.presence_by(&PRESENCE, user).await
    }

    async fn presences(&self, users: &[User]) -> Result<Vec<Option<Versioned<Presence>>>, StoreError> {
        bounds::users_asked(users.len())?;
        try_join_all(users.iter().map(|user| self.presence_by(&PRESENCE_SHOWN, user))).await
    }

    async fn change_presence(&self, user: &User, from: u64, to: &Presence) -> Result<Outcome<Presence>, StoreError> {
        bounds::presence(&user.sub, to)?;
        let Presence { status, custom, devices, last_seen, audience } = to;
        let devices: Vec<&str> = devices.iter().map(|device| device.as_str()).collect();
        let (tenant, sub, lifetime) = (user.tenant.as_str(), &user.sub, ttl(self.lifetimes.presence));
        let (status, last_seen) = (status.as_str(), last_seen.millis());
        let changed = if from == 0 {
            let row = (tenant, sub, status, custom, devices, last_seen, audience, lifetime);
            self.link.cas(&FIRST_PRESENCE, row).await?
        } else {
            let (from, to) = (bigint(from), bigint(from + 1));
            let row = (lifetime, status, custom, devices, last_seen, audience, to, from, tenant, sub, from, from);
            self.link.cas(&NEXT_PRESENCE, row).await?
        };
        match changed.applied {
            true => Ok(Outcome::Done),
            false => Ok(Outcome::Stands(self.presence(user).await?)),
        }
    }

    async fn presence_announced(&self, user: &User, version: u64) -> Result<(), StoreError> {
        let (version, lifetime) = (bigint(version), ttl(self.lifetimes.presence));
        let row = (lifetime, version, version, user.tenant.as_str(), &user.sub, version);
        self.link.cas(&PRESENCE_ANNOUNCED, row).await.map(drop)
    }
}

impl CqlStore {
    async fn presence_by(&self, statement: &Statement, user: &User) -> Result<Option<Versioned<Presence>>, StoreError> {
        let row: Option<Row> = self.link.row(statement, (user.tenant.as_str(), &user.sub)).await?;
        row.and_then(versioned).transpose()
    }
}

/// The versions end a moment later than what they are of, which is nothing any more then.
fn versioned(row: Row) -> Option<Result<Versioned<Presence>, StoreError>> {
    let (status, custom, devices, last_seen, audience, version, announced) = row;
    let parse = |status: Option<String>| {
        let unknown = || StoreError::invalid("a row has a status or a device that is not known");
        let devices = devices.unwrap_or_default();
        let devices = devices.iter().map(|device| DeviceKind::parse(device).ok_or_else(unknown));
        let value = Presence {
            status: status.map_or(Some(Status::Offline), |status| Status::parse(&status)).ok_or_else(unknown)?,
            custom,
            devices: devices.collect::<Result<_, _>>()?,
            last_seen: Timestamp::from_millis(last_seen.unwrap_or_default()),
            audience: audience.unwrap_or_default(),
        };
        Ok(Versioned { value, version: count(version), announced: count(announced) })
    };
    version.map(|_| parse(status))
}
