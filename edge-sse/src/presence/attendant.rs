//! What is done for one user or one channel in the store, in an order in which a crash between any two steps loses nothing.
//!
//! A connection's row stands first when it comes and goes last when it leaves, so that whoever sweeps a dead node finds all that was under
//! way. Presence and occupancy are read before what they follow from, and changed only if they still stand there: of two who fold at one time,
//! the one with the older view loses and looks again. Every change is announced before the next one is made.

use std::sync::Arc;

use futures::future::join_all;
use policy::{Catalogues, Matter, Telling};
use schemas::channel::Channel;
use schemas::cloudevent::PostedEvent;
use schemas::event::Attributes;
use schemas::grant::User;
use schemas::id::{EventId, NameError, Source};
use serde_json::{Value, json};
use store::limits::NODE_BUCKETS;
use store::{
    Connection, ConnectionRef, Member, NodeId, Occupancy, Outcome, Place, Presence, Status, Store, StoreError,
    Versioned,
};

use super::fold::{adopted_id, fold, is_present, is_statement, is_superseded};
use super::outbox::{self, Step};
use crate::grants::Grants;
use crate::publication::Publish;
use schemas::clock::Clock;

/// Steps until somebody is settled: each is somebody else's progress, too.
const STEPS_MOST: usize = 64;
/// Connections of a dead node that are swept at a time.
const SWEPT_AT_A_TIME: usize = 32;
/// A problem from this status on may pass by itself.
const SERVER_ERRORS: u16 = 500;
/// Where what is told says that it comes from.
const SOURCE: &str = "/v1/presence";

/// Does what one edge does for its users in the store.
#[derive(Debug, Clone)]
pub struct Attendant {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// Where changes are announced.
    pub publisher: Arc<dyn Publish>,
    /// From whom everything is revoked.
    pub grants: Arc<Grants>,
    /// Who this is.
    pub node: NodeId,
    /// The time of day, for «last seen».
    pub clock: Clock,
}

/// Why somebody is not settled yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not take an announcement.
    #[error("a change is not announced: {0}")]
    Log(String),
    /// Others changed the same all the while.
    #[error("others change it all the time")]
    Contended,
    /// This edge has not heard that everything is revoked from a user.
    #[error("the revocation is not heard here: the grants are not read, or somebody granted something since")]
    Unheard,
    /// An edge keeps something of a user from whom everything was revoked.
    #[error("{connections} connections are still kept by an edge that has not ended them")]
    Held {
        /// How many.
        connections: usize,
    },
}

impl Attendant {
    /// A connection is there: it is kept, or its row is as it is now. `before` are the channels that its row had, where it had one.
    ///
    /// # Errors
    /// It may be half done; do it again.
    pub async fn enter(
        &self,
        catalogues: &Catalogues,
        user: &User,
        row: &Connection,
        before: &[String],
    ) -> Result<(), Unsettled> {
        let left: Vec<&String> = before.iter().filter(|channel| !row.channels.contains(channel)).collect();
        if left.is_empty() {
            self.store.put_connection(user, row).await?;
        } else {
            // Until it has left them the row says that it has them.
            let channels = row.channels.iter().chain(left.iter().copied()).cloned().collect();
            self.store.put_connection(user, &Connection { channels, ..row.clone() }).await?;
        }
        self.settle(catalogues, user).await?;
        for place in places(user, &row.channels) {
            self.store.put_member(&place, &self.member(user, row)).await?;
            self.settle_place(catalogues, &place).await?;
        }
        for place in places(user, left.iter().copied()) {
            self.store.remove_member(&place, &user.sub, row.id).await?;
            self.settle_place(catalogues, &place).await?;
        }
        if !left.is_empty() {
            self.store.put_connection(user, row).await?;
        }
        if !left.is_empty() && row.channels.is_empty() {
            self.settle(catalogues, user).await?; // in no channel that tells of it they are not there
        }
        Ok(())
    }

    /// A connection is still there: its rows live on.
    ///
    /// # Errors
    /// It may be half done; do it again.
    pub async fn refresh(&self, user: &User, row: &Connection) -> Result<(), Unsettled> {
        let places: Vec<Place> = places(user, &row.channels).collect();
        Ok(self.store.keep_connection(user, row, &places).await?)
    }

    /// A connection has gone. Its row goes when everything that follows is done.
    ///
    /// # Errors
    /// It may be half done; do it again.
    pub async fn leave(&self, catalogues: &Catalogues, user: &User, row: &Connection) -> Result<(), Unsettled> {
        if is_statement(row) || !row.channels.is_empty() {
            let going = Connection { status: Some(Status::Offline), ..row.clone() };
            self.store.put_connection(user, &going).await?;
        }
        self.settle(catalogues, user).await?;
        for place in places(user, &row.channels) {
            self.store.remove_member(&place, &user.sub, row.id).await?;
            self.settle_place(catalogues, &place).await?;
        }
        Ok(self.store.remove_connection(user, row.id, row.node).await?)
    }

    /// Whether a user has a stream open anywhere that tells of it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_stream(&self, user: &User) -> Result<bool, Unsettled> {
        Ok(self.store.connections(user).await?.iter().any(is_present))
    }

    /// Takes out a word of a user on whose kind of device another was said since, maybe at another edge; whether it was so. Nothing follows
    /// from it: that word counts no more.
    ///
    /// # Errors
    /// It may be half done; do it again.
    pub async fn lets_go(&self, user: &User, word: &Connection) -> Result<bool, Unsettled> {
        let superseded = is_superseded(word, &self.store.connections(user).await?);
        if superseded {
            self.store.remove_connection(user, word.id, word.node).await?;
        }
        Ok(superseded)
    }

    /// Takes a dead node's streams offline, and takes over what its users said of themselves: that was not said by the node, and an invisible
    /// user stays so. What is `adopted` is this node's to keep now, also where the rest fails. Whether nothing is left of the node; where
    /// another sweeps, the rest is left to that one.
    ///
    /// # Errors
    /// It may be half done; do it again.
    pub async fn sweep(
        &self,
        catalogues: &Catalogues,
        dead: NodeId,
        adopted: &mut Vec<(User, Connection)>,
    ) -> Result<bool, Unsettled> {
        for bucket in 0..NODE_BUCKETS {
            loop {
                if !self.store.claim_sweep(dead, self.node).await? {
                    return Ok(false);
                }
                let found = self.store.connections_of_node(dead, bucket).await?;
                if found.is_empty() {
                    break;
                }
                for some in found.chunks(SWEPT_AT_A_TIME) {
                    let sweeps = some.iter().map(|one| self.sweep_one(catalogues, dead, one));
                    let swept = join_all(sweeps).await;
                    adopted.extend(swept.iter().flatten().flatten().cloned());
                    swept.into_iter().collect::<Result<Vec<_>, _>>()?;
                }
            }
        }
        self.store.remove_node(dead).await?;
        Ok(true)
    }

    async fn sweep_one(
        &self,
        catalogues: &Catalogues,
        dead: NodeId,
        one: &ConnectionRef,
    ) -> Result<Option<(User, Connection)>, Unsettled> {
        let rows = self.store.connections(&one.user).await?;
        let Some(row) = rows.iter().find(|row| row.id == one.id) else {
            self.sweep_lapsed(catalogues, dead, one).await?;
            return Ok(None);
        };
        if !is_statement(row) {
            self.leave(catalogues, &one.user, row).await?;
            return Ok(None);
        }
        // Under an id of its own, so that it stands there at every moment; and the node may have died before others were told.
        let own = Connection { id: adopted_id(row.id, self.node), node: self.node, ..row.clone() };
        let counts = !is_superseded(row, &rows);
        if counts {
            self.store.put_connection(&one.user, &own).await?;
            self.settle(catalogues, &one.user).await?;
        }
        self.store.remove_connection(&one.user, one.id, dead).await?;
        Ok(counts.then(|| (one.user.clone(), own)))
    }

    /// Of a connection whose row ended by itself, because no edge was left to sweep it in time, its channels are those that were told of its user.
    async fn sweep_lapsed(&self, catalogues: &Catalogues, dead: NodeId, one: &ConnectionRef) -> Result<(), Unsettled> {
        let told = self.store.presence(&one.user).await?.map(|row| row.value.audience).unwrap_or_default();
        self.settle(catalogues, &one.user).await?;
        for place in places(&one.user, &told) {
            self.store.remove_member(&place, &one.user.sub, one.id).await?;
            self.settle_place(catalogues, &place).await?;
        }
        Ok(self.store.remove_connection(&one.user, one.id, dead).await?)
    }

    /// Makes a user's presence what their connections are, and announces it. From whom everything is revoked is offline, whatever still stands:
    /// each edge lets go of what it has in its own time, and others hear once that they have gone.
    ///
    /// # Errors
    /// It is not all announced; do it again.
    pub async fn settle(&self, catalogues: &Catalogues, user: &User) -> Result<(), Unsettled> {
        for _ in 0..STEPS_MOST {
            let stands = self.store.presence(user).await?;
            let folded = fold(&self.counting(user).await?);
            match outbox::presence(stands, &folded, self.clock.now()) {
                Step::Settled => return Ok(()),
                Step::Announce(stands) => self.announce_presence(catalogues, user, &stands).await?,
                Step::Change { from, to } => match self.store.change_presence(user, from, &to).await? {
                    Outcome::Done => {
                        let made = Versioned { value: to, version: from + 1, announced: from };
                        self.announce_presence(catalogues, user, &made).await?;
                    }
                    Outcome::Stands(_) => {}
                },
            }
        }
        Err(Unsettled::Contended)
    }

    async fn counting(&self, user: &User) -> Result<Vec<Connection>, StoreError> {
        match self.grants.shuts_out(user) {
            true => Ok(Vec::new()),
            false => self.store.connections(user).await,
        }
    }

    /// Makes a channel's occupancy what its members are, and announces it.
    ///
    /// # Errors
    /// As [`Attendant::settle`].
    pub async fn settle_place(&self, catalogues: &Catalogues, place: &Place) -> Result<(), Unsettled> {
        if catalogues.telling(place.channel.kind(), Matter::Occupancy).is_none() {
            return Ok(());
        }
        for _ in 0..STEPS_MOST {
            let stands = self.store.occupancy(place).await?;
            let occupied = self.store.has_members(place).await?;
            match outbox::occupancy(stands, occupied) {
                Step::Settled => return Ok(()),
                Step::Announce(stands) => self.announce_occupancy(catalogues, place, &stands).await?,
                Step::Change { from, to } => match self.store.change_occupancy(place, from, to).await? {
                    Outcome::Done => {
                        let made = Versioned { value: to, version: from + 1, announced: from };
                        self.announce_occupancy(catalogues, place, &made).await?;
                    }
                    Outcome::Stands(_) => {}
                },
            }
        }
        Err(Unsettled::Contended)
    }

    async fn announce_presence(
        &self,
        catalogues: &Catalogues,
        user: &User,
        stands: &Versioned<Presence>,
    ) -> Result<(), Unsettled> {
        let said = said(user, &stands.value);
        // The time tells this version from one of the same number in a store that was made anew.
        let id = format!("presence/{}/{}-{}", user.sub, stands.version, stands.value.last_seen.millis());
        let events = places(user, &stands.value.audience).filter_map(|place| {
            let telling = catalogues.telling(place.channel.kind(), Matter::Presence)?;
            Some(event(telling, &id, place, Some(&user.sub), said.clone()))
        });
        self.announce(events.collect()).await?;
        Ok(self.store.presence_announced(user, stands.version).await?)
    }

    async fn announce_occupancy(
        &self,
        catalogues: &Catalogues,
        place: &Place,
        stands: &Versioned<Occupancy>,
    ) -> Result<(), Unsettled> {
        let status = if stands.value.occupied { "occupied" } else { "vacated" };
        let id = format!("occupancy/{}", stands.version);
        let telling = catalogues.telling(place.channel.kind(), Matter::Occupancy);
        let event = telling.map(|telling| event(telling, &id, place.clone(), None, json!({"status": status})));
        self.announce(event.into_iter().collect()).await?;
        Ok(self.store.occupancy_announced(place, stands.version).await?)
    }

    /// What can never be published is given up, aloud: what follows must not wait for it.
    async fn announce(&self, events: Vec<Result<PostedEvent, NameError>>) -> Result<(), Unsettled> {
        let mut on_their_way = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Ok(event) => on_their_way.push(self.publisher.announce(event)),
                Err(error) => tracing::warn!(%error, "a presence cannot be told"),
            }
        }
        for told in join_all(on_their_way).await {
            match told {
                Ok(()) => {}
                Err(problem) if problem.status >= SERVER_ERRORS => return Err(Unsettled::Log(problem.detail)),
                Err(problem) => tracing::warn!(problem = problem.kind, "a presence cannot be told"),
            }
        }
        Ok(())
    }

    fn member(&self, user: &User, row: &Connection) -> Member {
        Member { user: user.sub.clone(), connection: row.id, node: row.node }
    }
}

/// What is told of a user. Who is not there was seen; who is, is being seen.
#[must_use]
pub fn said(user: &User, presence: &Presence) -> Value {
    let devices: Vec<&str> = presence.devices.iter().map(|device| device.as_str()).collect();
    json!({
        "user_id": user.sub,
        "status": presence.status.as_str(),
        "custom": presence.custom,
        "devices": devices,
        "last_seen": presence.last_seen.to_string(),
    })
}

pub fn places<'a>(user: &User, channels: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = Place> {
    let tenant = user.tenant.clone();
    // What is no channel was never written here.
    let channels: Vec<Channel> = channels.into_iter().filter_map(|text| Channel::parse(text).ok()).collect();
    channels.into_iter().map(move |channel| Place { tenant: tenant.clone(), channel })
}

fn event(telling: &Telling, id: &str, place: Place, user: Option<&str>, said: Value) -> Result<PostedEvent, NameError> {
    let attributes = Attributes {
        id: EventId::parse(id)?,
        source: Source::parse(SOURCE)?,
        event_type: telling.event_type().clone(),
        channel: place.channel,
        tenant: place.tenant,
        time: None,
        priority: None,
        expires: None,
        conflation_key: None,
        author: user.map(str::to_owned),
        traceparent: None,
        principal: user.map(str::to_owned),
    };
    Ok(PostedEvent { attributes, data: telling.data(said) })
}
