//! Several edges over one embedded store, with crashes between any two steps: presence and occupancy become what is so, and each change is
//! announced once, in order.

mod mortal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use policy::{CatalogueSource, Catalogues};
use proptest::prelude::*;
use schemas::channel::Channel;
use schemas::grant::User;
use schemas::id::Tenant;
use schemas::time::Timestamp;
use store::embedded::{EmbeddedConfig, EmbeddedStore};
use store::*;
use uuid::Uuid;

use super::attendant::{Attendant, Unsettled};
use super::fold::{fold, statement_id};
use mortal::{Log, Mortal, Steps};
use schemas::clock::Clock;

const ROOM: &str = "room:lobby";
/// What users say of themselves.
const SAID: [Status; 3] = [Status::Busy, Status::Away, Status::Invisible];

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// A user opens a stream on an edge.
    Opens { user: u8, edge: u8 },
    /// They open one that has a seat, and tells nothing of it.
    Sits { user: u8, edge: u8 },
    /// Their oldest stream that is in the room leaves it, and stays open.
    Leaves { user: u8 },
    /// Their oldest stream ends.
    Closes { user: u8 },
    /// Two users come and go at one time, on two edges.
    Race { user: u8, edge: u8 },
    /// A user says how they are; an edge hears it.
    Says { user: u8, edge: u8, status: Status },
    /// The words that an edge has heard, or taken over, live on.
    Refreshes { edge: u8 },
    /// An edge dies so many steps into whatever comes next.
    DiesAfter { edge: u8, steps: u32 },
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0u8..2, 0u8..3).prop_map(|(user, edge)| Happens::Opens { user, edge }),
        1 => (0u8..2, 0u8..3).prop_map(|(user, edge)| Happens::Sits { user, edge }),
        1 => (0u8..2).prop_map(|user| Happens::Leaves { user }),
        3 => (0u8..2).prop_map(|user| Happens::Closes { user }),
        2 => (0u8..2, 0u8..3).prop_map(|(user, edge)| Happens::Race { user, edge }),
        3 => (0u8..2, 0u8..3, prop::sample::select(SAID.to_vec()))
            .prop_map(|(user, edge, status)| Happens::Says { user, edge, status }),
        2 => (0u8..3).prop_map(|edge| Happens::Refreshes { edge }),
        2 => (0u8..3, 0u32..24).prop_map(|(edge, steps)| Happens::DiesAfter { edge, steps }),
    ]
}

struct World {
    store: EmbeddedStore,
    log: Arc<Log>,
    catalogues: Catalogues,
    edges: Vec<Attendant>,
    mortals: Vec<Arc<Mortal>>,
    open: Vec<(User, Connection)>,
    /// What edges heard, or took over: by node, as their desks have it.
    words: Vec<(User, Connection)>,
    /// What each user said last.
    said: BTreeMap<String, Status>,
    /// The time of day, one for each word.
    now: i64,
    /// Milliseconds that have gone by for the store.
    passed: Arc<AtomicI64>,
    _directory: tempfile::TempDir,
}

fn user(number: u8) -> User {
    User { tenant: Tenant::default_tenant(), sub: format!("user-{number}") }
}

fn place() -> Place {
    Place { tenant: Tenant::default_tenant(), channel: Channel::parse(ROOM).unwrap() }
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lifetimes = Lifetimes { sweep: std::time::Duration::from_secs(1), ..Lifetimes::default() };
        let passed = Arc::new(AtomicI64::new(0));
        let clock = {
            let passed = passed.clone();
            Clock::new(move || Timestamp::from_millis(Timestamp::now().millis() + passed.load(Ordering::Relaxed)))
        };
        let config = EmbeddedConfig { lifetimes, clock, ..EmbeddedConfig::new(directory.path()) };
        let store = EmbeddedStore::open(config).unwrap();
        let catalogues = Catalogues::load(&[CatalogueSource::Shipped("wikipedia".to_owned())]).unwrap();
        let mut world = Self {
            store,
            log: Arc::default(),
            catalogues,
            edges: Vec::new(),
            mortals: Vec::new(),
            open: Vec::new(),
            words: Vec::new(),
            said: BTreeMap::new(),
            now: 1,
            passed,
            _directory: directory,
        };
        (0..3).for_each(|_| world.begin());
        world
    }

    fn begin(&mut self) {
        let (edge, mortal) = self.edge();
        self.edges.push(edge);
        self.mortals.push(mortal);
    }

    fn edge(&self) -> (Attendant, Arc<Mortal>) {
        let steps = Steps(Mutex::new(u32::MAX));
        let mortal = Arc::new(Mortal { store: self.store.clone(), log: self.log.clone(), steps });
        let node = NodeId(Uuid::now_v7());
        let clock = Clock::new(|| Timestamp::from_millis(7));
        (Attendant { store: mortal.clone(), publisher: mortal.clone(), grants: Arc::default(), node, clock }, mortal)
    }

    async fn leave(&mut self, number: u8) {
        let in_room = |(of, row): &&mut (User, Connection)| *of == user(number) && !row.channels.is_empty();
        let Some((of, row)) = self.open.iter_mut().find(in_room) else { return };
        let before = std::mem::take(&mut row.channels);
        let (of, row) = (of.clone(), row.clone());
        let edge = self.edges.iter().position(|edge| edge.node == row.node).unwrap();
        if self.edges[edge].enter(&self.catalogues, &of, &row, &before).await.is_err() {
            self.bury(edge).await;
        }
    }

    /// In the room, or in a channel that tells nothing of it.
    async fn open(&mut self, number: u8, edge: usize, channels: &[&str]) {
        let row = Connection {
            id: Uuid::now_v7(),
            node: self.edges[edge].node,
            device: DeviceKind::Web,
            status: None,
            custom: None,
            channels: channels.iter().map(ToString::to_string).collect(),
            opened_at: Timestamp::from_millis(1),
        };
        let entered = match channels.is_empty() {
            true => self.edges[edge].store.put_connection(&user(number), &row).await.map_err(Unsettled::from),
            false => self.edges[edge].enter(&self.catalogues, &user(number), &row, &[]).await,
        };
        self.open.push((user(number), row));
        if entered.is_err() {
            self.bury(edge).await;
        }
    }

    async fn close(&mut self, number: u8) {
        let Some(at) = self.open.iter().position(|(of, _)| *of == user(number)) else { return };
        let (of, row) = self.open.remove(at);
        let edge = self.edges.iter().position(|edge| edge.node == row.node).unwrap();
        let left = match row.channels.is_empty() {
            true => self.edges[edge].store.remove_connection(&of, row.id, row.node).await.map_err(Unsettled::from),
            false => self.edges[edge].leave(&self.catalogues, &of, &row).await,
        };
        if left.is_err() {
            self.bury(edge).await;
        }
    }

    /// One opens and another's stream ends, both at once.
    async fn race(&mut self, number: u8, edge: usize) {
        let elsewhere = |row: &Connection| row.node != self.edges[edge].node && !row.channels.is_empty();
        let Some(at) = self.open.iter().position(|(_, row)| elsewhere(row)) else { return };
        let (of, gone) = self.open.remove(at);
        let other = self.edges.iter().position(|edge| edge.node == gone.node).unwrap();
        let come = Connection { id: Uuid::now_v7(), node: self.edges[edge].node, ..gone.clone() };
        let name = user(number);
        let (entered, left) = tokio::join!(
            self.edges[edge].enter(&self.catalogues, &name, &come, &[]),
            self.edges[other].leave(&self.catalogues, &of, &gone)
        );
        self.open.push((user(number), come));
        for (edge, done) in [(edge, entered), (other, left)] {
            if done.is_err() {
                self.bury(edge).await;
            }
        }
    }

    /// While everybody lives and all is done, a user who has said nothing of themselves is there exactly where they have a stream in the room.
    async fn is_told(&self) {
        for of in [user(0), user(1)].into_iter().filter(|of| !self.said.contains_key(&of.sub)) {
            let there = self.open.iter().any(|(user, row)| *user == of && !row.channels.is_empty());
            let online = self.store.presence(&of).await.unwrap().is_some_and(|row| row.value.status == Status::Online);
            assert_eq!(online, there, "{of:?} of {:?}", self.open);
        }
    }

    /// Says it until it is kept, as the door does; others are told then, or the edge dies before.
    async fn say(&mut self, number: u8, edge: usize, status: Status) {
        self.now += 1;
        let of = user(number);
        loop {
            let node = self.edges[edge].node;
            let row = Connection {
                id: statement_id(DeviceKind::Web, node),
                node,
                device: DeviceKind::Web,
                status: Some(status),
                custom: None,
                channels: Vec::new(),
                opened_at: Timestamp::from_millis(self.now),
            };
            let kept = self.edges[edge].store.put_connection(&of, &row).await.is_ok();
            if kept {
                self.said.insert(of.sub.clone(), status);
                self.words.retain(|(_, word)| word.id != row.id || word.node != node);
                self.words.push((of.clone(), row.clone()));
            }
            if !kept || self.edges[edge].enter(&self.catalogues, &of, &row, &[]).await.is_err() {
                self.bury(edge).await;
            }
            if kept {
                return;
            }
        }
    }

    async fn refresh(&mut self, edge: usize) {
        let node = self.edges[edge].node;
        let own: Vec<(User, Connection)> = self.words.iter().filter(|(_, word)| word.node == node).cloned().collect();
        for (of, word) in own {
            let done = async {
                let gone = self.edges[edge].lets_go(&of, &word).await?;
                if !gone {
                    self.edges[edge].refresh(&of, &word).await?;
                }
                Ok::<_, Unsettled>(gone)
            };
            match done.await {
                Ok(true) => self.words.retain(|(_, other)| other.id != word.id),
                Ok(false) => {}
                Err(_) => return self.bury(edge).await,
            }
        }
    }

    /// An edge is dead: two survivors sweep it at one time, and another takes its place.
    async fn bury(&mut self, edge: usize) {
        let (next, mortal) = self.edge();
        let dead = std::mem::replace(&mut self.edges[edge], next).node;
        self.mortals[edge] = mortal;
        self.open.retain(|(_, row)| row.node != dead);
        self.words.retain(|(_, word)| word.node != dead);
        let survivors: Vec<usize> = (0..self.edges.len()).filter(|at| *at != edge).collect();
        loop {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let (one, two) = tokio::join!(
                self.edges[survivors[0]].sweep(&self.catalogues, dead, &mut first),
                self.edges[survivors[1]].sweep(&self.catalogues, dead, &mut second)
            );
            self.words.extend(first.into_iter().chain(second));
            if [one, two].contains(&Ok(true)) {
                return;
            }
            // A sweeper died, too; its claim has not ended yet, and whoever takes its place has another name.
            self.mortals.iter().for_each(|mortal| *mortal.steps.0.lock().unwrap() = u32::MAX);
            self.store.remove_node(dead).await.unwrap();
            tokio::time::sleep(CLAIM_LOOK).await;
        }
    }
}

/// A claim that a dying sweeper left ends after a second here; it is looked for so often.
const CLAIM_LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// Everything told of one channel's matter, in order: no status twice in a row, and versions one by one; of who may be in no channel, and
/// is told of nowhere then, in order.
fn in_order(told: &[(String, String)], everywhere: bool) {
    for (before, after) in told.iter().zip(told.iter().skip(1)) {
        assert_ne!(before.1, after.1, "told twice: {told:?}");
        let (before, after) = (version(&before.0), version(&after.0));
        assert!(before + 1 == after || (!everywhere && before < after), "out of order: {told:?}");
    }
}

fn version(id: &str) -> u64 {
    let last = id.rsplit('/').next().unwrap();
    last.split('-').next().unwrap().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_dies_presence_becomes_what_is_so_and_each_change_is_told_once(
        story in prop::collection::vec(happens(), 1..24)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for happens in story {
                match happens {
                    Happens::Opens { user, edge } => world.open(user, edge.into(), &[ROOM]).await,
                    Happens::Sits { user, edge } => world.open(user, edge.into(), &[]).await,
                    Happens::Leaves { user } => world.leave(user).await,
                    Happens::Closes { user } => world.close(user).await,
                    Happens::Race { user, edge } => world.race(user, edge.into()).await,
                    Happens::Says { user, edge, status } => world.say(user, edge.into(), status).await,
                    Happens::Refreshes { edge } => world.refresh(edge.into()).await,
                    Happens::DiesAfter { edge, steps } => {
                        *world.mortals[usize::from(edge)].steps.0.lock().unwrap() = steps;
                    }
                }
            }
            world.is_told().await;
            // Who is dying dies, and is swept; what was said lives on.
            for edge in 0..world.edges.len() {
                world.bury(edge).await;
                world.refresh(edge).await;
            }
            let mut told: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
            for (_, id, said) in world.log.told.lock().unwrap().clone() {
                let of = id.rsplit_once('/').unwrap().0.to_owned();
                told.entry(of).or_default().push((id, said));
            }
            for number in 0..2 {
                let of = user(number);
                let shown = match world.said.get(&of.sub).copied() {
                    None | Some(Status::Offline | Status::Invisible) => Status::Offline,
                    Some(said @ (Status::Away | Status::Busy | Status::Online)) => said,
                };
                assert_eq!(fold(&world.store.connections(&of).await.unwrap()).status, shown);
                let row = world.store.presence(&of).await.unwrap();
                let told = told.remove(&format!("presence/{}", of.sub)).unwrap_or_default();
                let everywhere = !world.said.contains_key(&of.sub);
                in_order(&told, everywhere);
                if let Some(row) = row {
                    assert_eq!((row.value.status, row.is_unannounced()), (shown, false));
                    assert!(!everywhere || told.len() == usize::try_from(row.version).unwrap());
                    let last = told.last().filter(|_| !row.value.audience.is_empty());
                    assert!(last.is_none_or(|(id, said)| (version(id), said.as_str()) == (row.version, shown.as_str())));
                } else {
                    assert!(told.is_empty() && shown == Status::Offline);
                }
            }
            let occupied = world.store.occupancy(&place()).await.unwrap();
            let told = told.remove("occupancy").unwrap_or_default();
            in_order(&told, true);
            assert!(!world.store.has_members(&place()).await.unwrap());
            assert!(occupied.is_none_or(|row| !row.value.occupied && !row.is_unannounced()));
        });
    }
}

#[tokio::test]
async fn what_a_user_said_is_taken_back_when_its_time_is_over() {
    let mut world = World::new();
    world.open(0, 0, &[ROOM]).await;
    world.say(0, 0, Status::Busy).await;
    world.close(0).await;
    let stands = async |world: &World| world.store.presence(&user(0)).await.unwrap().unwrap().value.status;
    assert_eq!(stands(&world).await, Status::Busy, "what was said stands for a while without a stream");
    let (of, word) = world.words.remove(0);
    world.edges[0].leave(&world.catalogues, &of, &word).await.unwrap();
    assert_eq!(stands(&world).await, Status::Offline);
    assert_eq!(world.store.connections(&of).await.unwrap(), []);
}

#[tokio::test]
async fn whom_no_edge_was_left_to_sweep_is_offline_when_the_next_one_comes() {
    let mut world = World::new();
    world.open(0, 0, &[ROOM]).await;
    let dead = world.edges[0].node;
    world.passed.store(24 * 60 * 60 * 1000, Ordering::Relaxed);
    assert_eq!(world.store.connections(&user(0)).await.unwrap(), []);
    let next = &world.edges[1];
    assert_eq!(next.sweep(&world.catalogues, dead, &mut Vec::new()).await, Ok(true));
    let told = world.log.told.lock().unwrap().clone();
    let told: Vec<&str> = told.iter().map(|(_, _, said)| said.as_str()).collect();
    assert_eq!(told, ["online", "occupied", "offline", "vacated"]);
}
