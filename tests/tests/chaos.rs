//! Chaos: rounds of killing an edge, the store or a router, or hanging the store, under 1,000 events a second and about 1,000 changes of
//! presence a minute. Each event comes once and in order, presence becomes what is so within 10 s, each change is announced once, and what
//! was said to be stored is. `TIDEGATE_SEED` draws a run again.

use std::time::Duration;

use tests::chaos::complaints::Complaints;
use tests::chaos::converged::{Look, Since};
use tests::chaos::crowd::{Crowd, PEOPLE};
use tests::chaos::devices::Device;
use tests::chaos::outage;
use tests::chaos::plan::{Kind, Plan, plans};
use tests::chaos::receipts::Notes;
use tests::chaos::report::{Report, Round, spread};
use tests::chaos::ticks::{CHANNELS, Ledger};
use tests::chaos::watchers::{Observer, TickReader};
use tests::chaos::world::World;
use tests::rounds;
use tests::services::{self, Services};
use tests::simulation::chance::Chance;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Within so long of the last change and fault presence is what is so. That is three times what is promised, because two cores serve all of
/// this, and whatever else is built or tested on them; the report says what it was, and how often it was beyond the promise.
const CONVERGE_WITHIN: Duration = Duration::from_secs(30);
/// How long edges may take to reach a store that is back.
const HEAL_WITHIN: Duration = Duration::from_secs(30);
/// How long everything that was published may take to come to a reader.
const COME_WITHIN: Duration = Duration::from_secs(20);
/// While the store is away, 99 of 100 events are younger than this.
const AGE_MOST_MS: u64 = 2_000;
/// Who says that they have read a note.
const NOTE_READERS: usize = 6;
/// Readers of all ticks.
const READERS: usize = 2;
/// Observers of all rooms.
const OBSERVERS: usize = 2;

struct Chaos {
    world: World,
    crowd: Crowd,
    readers: Vec<TickReader>,
    observers: Vec<Observer>,
    devices: Vec<Device>,
    notes: Notes,
    ledger: Ledger,
    asker: String,
    complaints: Complaints,
    _tasks: JoinSet<()>,
}

impl Chaos {
    async fn begin(services: &Services, seed: u64) -> Self {
        let world = World::start(services).await;
        let (edges, ledger, complaints) = (world.edges.clone(), Ledger::default(), Complaints::default());
        let (mut tasks, chance) = (JoinSet::new(), Chance::new(seed));
        let (mut readers, mut observers, mut devices) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..READERS {
            readers.push(TickReader::begin(&edges, &chance, &ledger, &mut tasks, &complaints).await.expect("a reader"));
        }
        for _ in 0..OBSERVERS {
            observers.push(Observer::begin(&edges, &chance, &mut tasks, &complaints).await.expect("an observer"));
        }
        let channels: Vec<usize> = (0..CHANNELS).step_by(2).collect();
        let names: Vec<String> = channels.iter().map(|channel| format!("reader-{channel}")).collect();
        for (channel, token) in channels.into_iter().zip(world.tokens(&names, &[]).await) {
            let device = Device::begin(channel, &token, &edges, &chance, &mut tasks, &complaints).await;
            devices.push(device.expect("a device"));
        }
        let names: Vec<String> = (0..PEOPLE).map(|number| format!("person-{number}")).collect();
        let tokens = world.tokens(&names, &[]).await;
        let people: Vec<(String, String)> = names.into_iter().zip(tokens).collect();
        let crowd = Crowd::gather(&people, &edges, seed, &mut tasks, &complaints);
        let publisher = world.tokens(&["publisher".to_owned()], &["publisher"]).await.remove(0);
        ledger.publish(&mut tasks, &world.ingest(), &publisher, &complaints);
        let asker = world.tokens(&["asker".to_owned()], &[]).await.remove(0);
        let names: Vec<String> = (0..NOTE_READERS).map(|number| format!("note-reader-{number}")).collect();
        let note_readers: Vec<(String, String)> = names.iter().cloned().zip(world.tokens(&names, &[]).await).collect();
        let at = (&edges, &chance);
        let notes = Notes::begin(&world.ingest(), &publisher, note_readers, at, &mut tasks, &complaints);
        Self { world, crowd, readers, observers, devices, notes, ledger, asker, complaints, _tasks: tasks }
    }

    async fn round(&mut self, plan: &Plan) -> Round {
        let began = Instant::now();
        self.readers.iter().for_each(TickReader::forget_ages);
        self.crowd.go().await;
        tokio::time::sleep(plan.before).await;
        let failed_ms = self.ledger.now_ms();
        self.world.fail(plan).await;
        let failed = Instant::now();
        let (settled, since) = if plan.late {
            let (settled, since) = self.becomes_so(failed).await;
            self.world.heal(plan).await;
            (settled, since)
        } else {
            self.away(plan, failed_ms).await;
            let back = self.world.heal(plan).await;
            tokio::time::sleep(plan.after).await;
            self.becomes_so(back).await
        };
        self.nothing_is_lost().await;
        let mut ages: Vec<u64> = self.readers.iter().flat_map(|reader| reader.ages(failed_ms, u64::MAX)).collect();
        ages.sort_unstable();
        Round { kind: plan.kind, settled, since, ages_ms: spread(&ages), took: began.elapsed() }
    }

    /// Changes end, and presence becomes what is so; how long it took until everybody was heard, and how long from then, or from the fault.
    async fn becomes_so(&self, fault: Instant) -> (Duration, Since) {
        self.complaints.none("under way");
        let hushing = Instant::now();
        self.crowd.hush(HEAL_WITHIN).await.expect("everybody is heard");
        let settled = hushing.elapsed();
        (settled, self.converged(Instant::now().max(fault)).await)
    }

    /// What was killed stays away, and what depends on it says so.
    async fn away(&self, plan: &Plan, failed_ms: u64) {
        let until = Instant::now() + plan.away;
        if matches!(plan.kind, Kind::Store | Kind::Hung) {
            let looked = outage::looked_at(&self.world.edges, &self.asker, &self.devices[0]).await;
            let longest = looked.expect("while the store is away");
            eprintln!("  a stream began after {longest:.1?} at most while the store was away");
        }
        tokio::time::sleep_until(until).await;
        if matches!(plan.kind, Kind::Store | Kind::Hung) {
            let now = self.ledger.now_ms();
            for reader in &self.readers {
                let [_, most, _] = spread(&reader.ages(failed_ms, now));
                assert!(most < AGE_MOST_MS, "events were {most} ms old while the store was away");
            }
        }
    }

    async fn converged(&self, from: Instant) -> Since {
        let (edges, token) = (&self.world.edges, self.asker.as_str());
        let look = Look { edges, token, crowd: &self.crowd, observers: &self.observers };
        let since = look.converged(from, CONVERGE_WITHIN).await.unwrap_or_else(|wrong| panic!("{wrong}"));
        let again = self.observers[0].book().said_again();
        assert!(again.is_empty(), "{}", again.join("\n"));
        since
    }

    /// Everything that was published has come, devices go on where they acknowledged, and receipts are what was said.
    async fn nothing_is_lost(&mut self) {
        for reader in &self.readers {
            reader.has_all(&self.ledger, COME_WITHIN).await.expect("everything comes");
        }
        let resumed = self.devices.iter().map(|device| device.resumes(&self.ledger));
        for resumed in futures::future::join_all(resumed).await {
            resumed.unwrap_or_else(|wrong| panic!("{wrong}"));
        }
        self.notes.are_so().await.unwrap_or_else(|wrong| panic!("{wrong}"));
        self.complaints.none("at the end of a round");
        self.world.all_run();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_presence_becomes_what_is_so_each_change_is_told_once_and_nothing_acknowledged_is_lost() {
    let (Some(services), Some(_)) = (Services::find("chaos"), services::cql("chaos")) else { return };
    let (seed, rounds) = rounds::chaos();
    eprintln!("TIDEGATE_SEED={seed}, {rounds} rounds");
    let mut chaos = Chaos::begin(&services, seed).await;
    let (mut report, began) = (Report::default(), Instant::now());
    for (number, plan) in plans(seed, rounds).iter().enumerate() {
        eprintln!("round {number}: {plan:?}");
        let round = chaos.round(plan).await;
        eprintln!("  {round}");
        report.take(round);
    }
    let took = began.elapsed();
    let changes = chaos.observers[0].book().changes();
    let acks: Vec<(usize, usize)> = chaos.devices.iter().map(Device::acks).collect();
    let (events, pace) = (chaos.ledger.all(), chaos.crowd.pace().await);
    eprintln!(
        "{rounds} rounds in {took:.1?}: {events} events, {pace} things done by people a minute, {changes} changes told"
    );
    eprintln!("acknowledgements of devices, and how many of them waited: {acks:?}\n{report}");
}
