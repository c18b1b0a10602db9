//! A store and a log of an edge that dies: each step that it does may be its last.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use policy::Claims;
use schemas::cloudevent::PostedEvent;
use schemas::grant::User;
use schemas::id::EventId;
use schemas::problem::{Problem, Slug};
use store::embedded::EmbeddedStore;
use store::*;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::publication::Publish;

/// What an edge may still do: at nought it is dead, in the middle of whatever it does.
#[derive(Debug, Default)]
pub struct Steps(pub Mutex<u32>);

impl Steps {
    fn take(&self) -> bool {
        let mut left = self.0.lock().unwrap();
        let alive = *left > 0;
        *left = left.saturating_sub(1);
        alive
    }
}

/// A store and a log, until its edge dies.
pub struct Mortal {
    pub store: EmbeddedStore,
    pub log: Arc<Log>,
    pub steps: Steps,
}

/// What was published, as a router has it: a repeat of an id on a channel is dropped.
#[derive(Debug, Default)]
pub struct Log {
    seen: Mutex<HashSet<(String, String)>>,
    /// (channel, id, what was said of it).
    pub told: Mutex<Vec<(String, String, String)>>,
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mortal")
    }
}

impl Publish for Mortal {
    fn publish<'a>(&'a self, _claims: &'a Claims, _event: String) -> BoxFuture<'a, Result<(), Problem>> {
        async { Ok(()) }.boxed()
    }

    fn announce(&self, event: PostedEvent) -> BoxFuture<'static, Result<(), Problem>> {
        if !self.steps.take() {
            return async { Err(Slug::Unavailable.problem("dead")) }.boxed();
        }
        let (id, channel) = (event.attributes.id.to_string(), event.attributes.channel.to_string());
        if self.log.seen.lock().unwrap().insert((id.clone(), channel.clone())) {
            let said = event.data["status"].as_str().unwrap_or_default().to_owned();
            self.log.told.lock().unwrap().push((channel, id, said));
        }
        // The log has it, and yet the edge may not live to hear of that.
        let heard = self.steps.take();
        async move { if heard { Ok(()) } else { Err(Slug::Unavailable.problem("dead")) } }.boxed()
    }
}

macro_rules! mortal {
    ($name:ident { $(fn $method:ident(&self $(, $argument:ident: $kind:ty)*) -> $result:ty;)* }) => {
        #[async_trait]
        impl $name for Mortal {
            $(async fn $method(&self $(, $argument: $kind)*) -> Result<$result, StoreError> {
                if !self.steps.take() {
                    return Err(StoreError::Timeout);
                }
                self.store.$method($($argument),*).await
            })*
        }
    };
}

mortal!(Cursors {
    fn put_cursors(&self, writes: &[CursorWrite]) -> ();
    fn cursor(&self, key: &CursorKey) -> Option<Cursor>;
    fn cursors(&self, user: &User) -> Vec<(CursorKey, Cursor)>;
    fn bound_cursors(&self, user: &User) -> usize;
});
mortal!(Subscriptions {
    fn put_subscription(&self, user: &User, kept: &KeptSubscription) -> ();
    fn subscription(&self, user: &User, device: &Device) -> Option<KeptSubscription>;
    fn remove_subscription(&self, user: &User, device: &Device) -> ();
});
mortal!(Connections {
    fn put_connection(&self, user: &User, connection: &Connection) -> ();
    fn remove_connection(&self, user: &User, id: Uuid, node: NodeId) -> ();
    fn connections(&self, user: &User) -> Vec<Connection>;
    fn connections_of_node(&self, node: NodeId, bucket: u8) -> Vec<ConnectionRef>;
    fn displace(&self, node: NodeId, id: Uuid) -> ();
    fn displaced(&self, node: NodeId) -> Vec<Uuid>;
});
mortal!(Nodes {
    fn beat(&self, row: NodeRow) -> ();
    fn nodes(&self) -> Vec<NodeRow>;
    fn claim_sweep(&self, dead: NodeId, sweeper: NodeId) -> bool;
    fn remove_node(&self, node: NodeId) -> ();
});
mortal!(Presences {
    fn presence(&self, user: &User) -> Option<Versioned<Presence>>;
    fn presences(&self, users: &[User]) -> Vec<Option<Versioned<Presence>>>;
    fn change_presence(&self, user: &User, from: u64, to: &Presence) -> Outcome<Presence>;
    fn presence_announced(&self, user: &User, version: u64) -> ();
});
mortal!(Occupancies {
    fn put_member(&self, place: &Place, member: &Member) -> ();
    fn remove_member(&self, place: &Place, user: &str, connection: Uuid) -> ();
    fn members(&self, place: &Place, after: Option<&str>) -> MemberPage;
    fn has_members(&self, place: &Place) -> bool;
    fn occupancy(&self, place: &Place) -> Option<Versioned<Occupancy>>;
    fn change_occupancy(&self, place: &Place, from: u64, to: Occupancy) -> Outcome<Occupancy>;
    fn occupancy_announced(&self, place: &Place, version: u64) -> ();
});
mortal!(Receipts {
    fn put_receipt(&self, place: &Place, event: &EventId, said: &Said) -> ();
    fn put_receipt_position(&self, place: &Place, up_to: &[UpTo], said: &Said) -> ();
    fn receipt(&self, place: &Place, event: &EventId, user: &str, visibility: Visibility) -> Option<Receipt>;
    fn receipt_positions_of(&self, place: &Place, user: &str, visibility: Visibility) -> Vec<ReceiptPosition>;
    fn receipts(&self, place: &Place, event: &EventId, after: Option<&str>) -> ReceiptPage;
    fn receipt_positions(&self, place: &Place, after: Option<&str>) -> ReceiptPositionPage;
    fn receipts_of_user(&self, user: &User, after: Option<&str>) -> ReceiptRefPage;
    fn erase_receipts(&self, user: &User) -> usize;
});
mortal!(Preferences {
    fn put_preference(&self, user: &User, preference: &Preference) -> ();
    fn preference(&self, user: &User) -> Option<Preference>;
    fn remove_preference(&self, user: &User) -> ();
});

mortal!(Persons {
    fn subscriptions(&self, user: &User) -> Vec<KeptSubscription>;
    fn memberships(&self, place: &Place, user: &str) -> Vec<Member>;
    fn connections_at(&self, node: NodeId, user: &User) -> Vec<Uuid>;
    fn erase_cursors(&self, user: &User, until: AckTime) -> ();
    fn erase_subscriptions(&self, user: &User) -> ();
    fn erase_presence(&self, user: &User, version: u64) -> bool;
});

#[async_trait]
impl Store for Mortal {
    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn run(&self, shutdown: CancellationToken) {
        self.store.run(shutdown).await;
    }
}
