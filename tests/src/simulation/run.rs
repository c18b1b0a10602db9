//! One run: a rough time by chance, then calm, then the verdict.

use std::sync::Arc;
use std::time::Duration;

use journal::embedded::{Clock, EmbeddedConfig, EmbeddedJournal, TellSeized};
use journal::{Appender, AppenderSettings, Committed, GroupEvent, Journal, NewRecord, Registry, TopicNames, TopicSpec};
use schemas::avro::AvroSchema;
use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::framing::frame;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tokio::time::Instant;

use super::chance::Chance;
use super::network::{FaultyJournal, Held, Weather};
use super::oracle::{Oracle, records};
use super::policy::{DOMAIN, EVENT_TYPE, FLAKY_SCHEMA, SCHEMA};
use super::registry::{Mood, MoodyRegistry};
use super::routers::{Blueprint, Routers};
use super::scenario::{Planned, Scenario};

/// How long the calm may take until everything is committed, in the run's own time.
const CALM_MAX: Duration = Duration::from_secs(600);
/// The delivery topics grow at most up to this generation.
const GENERATIONS_MAX: u32 = 3;
/// The run's own time begins here.
const EPOCH_MILLIS: i64 = 1_800_000_000_000;

type Failure = Box<dyn std::error::Error>;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is broken; nothing, if all is well.
    pub broken: Vec<String>,
    /// Every record of every topic, as text.
    pub log: String,
    /// Deliveries that readers keep.
    pub kept: usize,
    /// Records in the DLQ.
    pub dead: usize,
}

struct Run {
    scenario: Scenario,
    chance: Chance,
    journal: Arc<EmbeddedJournal>,
    names: TopicNames,
    registry: Arc<MoodyRegistry>,
    producer: Arc<dyn Appender>,
    schema_ids: [u32; 2],
    events: std::vec::IntoIter<Planned>,
    oracle: Oracle,
    weather: Weather,
    held: Held,
    blueprint: Blueprint,
    routers: Routers,
    version: usize,
}

/// Runs a scenario from a seed. To be called on a runtime of one thread whose time is paused.
///
/// # Errors
/// The run could not be set up.
pub async fn run(scenario: Scenario, seed: u64) -> Result<Report, Failure> {
    let directory = directory_in_memory()?;
    let mut run = Run::new(scenario, seed, directory.path()).await?;
    run.rough_time().await?;
    let mut broken = run.calm_time().await?;
    broken.extend(run.oracle.conclude().await);
    broken.extend_from_slice(run.routers.failures());
    let (kept, dead) = run.oracle.counts().await;
    Ok(Report { broken, log: run.log_text().await, kept, dead })
}

impl Run {
    async fn new(scenario: Scenario, seed: u64, directory: &std::path::Path) -> Result<Self, Failure> {
        let chance = Chance::new(seed);
        let begin = Instant::now();
        let now = move || {
            let elapsed = i64::try_from(begin.elapsed().as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(EPOCH_MILLIS.saturating_add(elapsed))
        };
        let config = EmbeddedConfig::simulated(directory, Clock::new(now), u128::from(seed));
        let journal = EmbeddedJournal::open(config)?;
        let names = TopicNames::new("");
        let partitions_per_lane = 1 + u32::from(chance.one_in(2));
        let sources = create_topics(&journal, &names, scenario, partitions_per_lane).await?;
        let inner: Arc<dyn Registry> = journal.registry();
        let registry = Arc::new(MoodyRegistry::new(inner));
        let schema_ids =
            [register(&*registry, "sim.Event", SCHEMA).await?, register(&*registry, "sim.More", FLAKY_SCHEMA).await?];
        registry.set_flaky(schema_ids[1]);
        let config = scenario.config(&chance);
        let oracle = Oracle::new(journal.clone(), names.clone(), partitions_per_lane, config.dedupe_window, &sources);
        let (weather, held) = (Weather::default(), Held::default());
        let network = FaultyJournal {
            inner: journal.clone(),
            chance: chance.clone(),
            weather: weather.clone(),
            held: held.clone(),
            oracle: oracle.clone(),
        };
        let blueprint = Blueprint {
            journal: network,
            registry: registry.clone(),
            names: names.clone(),
            clock: router::Clock::new(now),
            scratch: directory.join("scratch"),
            config,
        };
        let settings = AppenderSettings {
            give_up_after: None,
            queue_records: 10_000,
            queue_bytes: 1 << 24,
            linger: Duration::ZERO,
        };
        Ok(Self {
            producer: journal.appender(settings)?,
            events: scenario.events(&chance).into_iter(),
            scenario,
            chance,
            journal,
            names,
            registry,
            schema_ids,
            oracle,
            weather,
            held,
            blueprint,
            routers: Routers::default(),
            version: 0,
        })
    }

    async fn rough_time(&mut self) -> Result<(), Failure> {
        self.weather.set_rough(true);
        for _ in 0..(30 + self.chance.number(0..90)) {
            self.step().await?;
            self.routers.reap().await;
            tokio::time::sleep(self.chance.delay(Duration::from_millis(150), Duration::from_secs(3))).await;
        }
        while self.produce().await? {}
        self.weather.set_rough(false);
        self.registry.set_mood(Mood::Knows);
        Ok(())
    }

    /// One thing happens.
    async fn step(&mut self) -> Result<(), Failure> {
        match self.chance.number(0..20) {
            0..5 => {
                for _ in 0..=self.chance.number(0..6) {
                    self.produce().await?;
                }
            }
            5..9 if self.routers.count() < 3 => {
                let newer = self.scenario.has_versions() && self.chance.one_in(3);
                self.version = self.version.max(usize::from(newer));
                self.routers.start(&self.blueprint, self.version);
            }
            5..10 => self.routers.kill(&self.chance),
            10 => self.routers.stop(&self.chance),
            11 => self.routers.freeze(&self.chance),
            12..14 => self.routers.thaw_all(),
            14..16 => self.seize(),
            16 => self.change_mood(),
            17 if self.scenario == Scenario::Retention => self.oracle.trim(&self.chance).await,
            17..19 if self.scenario == Scenario::Growth => self.grow().await?,
            17..19 if self.scenario == Scenario::LiveVersions => {
                self.routers.hand_over(&self.chance, self.chance.index(2));
            }
            17 if self.scenario == Scenario::CommitForgotten => self.set_back().await,
            _ => self.oracle.start_reader(&self.chance).await,
        }
        Ok(())
    }

    /// The last router, left alone, commits everything; what was frozen wakes, and what is held lands.
    async fn calm_time(&mut self) -> Result<Vec<String>, Failure> {
        if self.chance.one_in(2) {
            self.routers.kill_all();
        }
        self.routers.thaw_all();
        self.routers.start(&self.blueprint, self.version);
        let begin = Instant::now();
        while !self.oracle.is_all_committed().await || !self.oracle.has_all_moved().await {
            if begin.elapsed() > CALM_MAX {
                return Ok(vec![
                    "I1, I7: left alone, the last owner does not commit everything, or does not move".to_owned(),
                ]);
            }
            self.routers.reap().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.routers.stop_all().await;
        while !self.held.is_nothing() && begin.elapsed() < CALM_MAX {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(Vec::new())
    }

    async fn produce(&mut self) -> Result<bool, Failure> {
        let Some(event) = self.events.next() else { return Ok(false) };
        let attributes = Attributes {
            id: EventId::parse(&event.id.to_string())?,
            source: Source::parse("/simulation")?,
            event_type: EventType::parse(EVENT_TYPE)?,
            channel: Channel::parse(&format!("sim:{}", event.channel))?,
            tenant: Tenant::default_tenant(),
            time: None,
            priority: None,
            expires: None,
            conflation_key: None,
            author: None,
            traceparent: None,
            principal: None,
        };
        let which = usize::from(event.flaky);
        let schema = AvroSchema::parse([SCHEMA, FLAKY_SCHEMA][which])?;
        let payload = serde_json::json!({ "lane": event.lane, "nth": event.id });
        let value = schema.from_json(&payload).map_err(|mismatches| format!("{mismatches:?}"))?;
        let headers = attributes.to_kafka_headers().into_iter().map(|(name, value)| (name, Some(value)));
        let ack = self.producer.append(NewRecord {
            topic: self.names.events(DOMAIN).into(),
            partition: Some(event.partition),
            key: Some(attributes.channel.to_string().into()),
            value: Some(frame(self.schema_ids[which], &schema.encode(&value)?)),
            headers: headers.collect(),
        })?;
        ack.await?;
        Ok(true)
    }

    fn seize(&self) {
        let partition =
            self.source(u32::try_from(self.chance.index(2)).unwrap_or(0) % self.scenario.source_partitions());
        let tell = if self.chance.one_in(2) { TellSeized::AtNextCall } else { TellSeized::AtNextCommit };
        self.journal.seize(&self.names.router_group(), &partition, tell);
    }

    fn change_mood(&self) {
        self.registry.set_mood([Mood::Knows, Mood::Denies, Mood::Silent][self.chance.index(3)]);
    }

    /// The delivery topics get a newer generation, with one partition more, or fewer; not all at once.
    async fn grow(&mut self) -> Result<(), Failure> {
        let generation = self.oracle.generation().await + 1;
        if generation > GENERATIONS_MAX {
            return Ok(());
        }
        let partitions = 1 + u32::try_from(self.chance.number(0..3))?;
        for lane in Lane::ALL {
            let name = self.names.delivery_of(lane, generation).to_string();
            let spec = TopicSpec { name, partitions, replication: 1, config: Vec::new() };
            self.journal.create_topic(&spec).await?;
            tokio::time::sleep(self.chance.delay(Duration::from_millis(20), Duration::from_secs(1))).await;
        }
        self.oracle.saw_growth().await;
        Ok(())
    }

    /// Somebody sets the offsets back to the start while no router is there.
    async fn set_back(&mut self) {
        self.routers.kill_all();
        tokio::time::sleep(self.blueprint.config.session * 3).await;
        let topics = vec![self.names.events(DOMAIN)];
        let settings = journal::GroupSettings {
            group: self.names.router_group(),
            topics,
            instance: None,
            session: self.blueprint.config.session,
            revoke_wait: Duration::ZERO,
            queue_records: 1,
            queue_bytes: 1,
        };
        let Ok(mut member) = self.journal.join(settings) else { return };
        let committer = member.committer();
        if let GroupEvent::Assigned(all) = member.next().await {
            for owned in all {
                // Only what was committed once is set back: otherwise there is nothing that could be forgotten.
                let stands = committer.committed(&owned.partition).await.ok().flatten().is_some();
                let back = Committed { offset: 0, metadata: String::new() };
                if stands && committer.commit(&owned, back).await.is_ok() {
                    self.oracle.saw_set_back(&owned.partition).await;
                }
            }
        }
        member.leave().await;
    }

    fn source(&self, partition: u32) -> TopicPartition {
        TopicPartition::new(self.names.events(DOMAIN), partition)
    }

    async fn log_text(&self) -> String {
        let mut text = String::new();
        let generations = 1..=GENERATIONS_MAX;
        let lanes = generations.flat_map(|generation| Lane::ALL.map(|lane| self.names.delivery_of(lane, generation)));
        let others = [self.names.events(DOMAIN), self.names.dlq(), self.names.claims()];
        for topic in lanes.map(|topic| topic.to_string()).chain(others) {
            for partition in 0..3 {
                let partition = TopicPartition::new(topic.clone(), partition);
                let Ok(marks) = self.journal.watermarks(&partition).await else { continue };
                for record in records(&self.journal, &partition, marks.low).await {
                    text.push_str(&format!("{record:?}\n"));
                }
            }
        }
        text
    }
}

/// Nothing has to survive a run, so it need not reach a disk.
fn directory_in_memory() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

async fn create_topics(
    journal: &EmbeddedJournal,
    names: &TopicNames,
    scenario: Scenario,
    partitions_per_lane: u32,
) -> Result<Vec<TopicPartition>, Failure> {
    let mut specs = vec![(names.events(DOMAIN), scenario.source_partitions()), (names.dlq(), 1), (names.claims(), 1)];
    specs.extend(Lane::ALL.map(|lane| (names.delivery(lane).to_string(), partitions_per_lane)));
    for (name, partitions) in specs {
        journal.create_topic(&TopicSpec { name, partitions, replication: 1, config: Vec::new() }).await?;
    }
    Ok((0..scenario.source_partitions()).map(|number| TopicPartition::new(names.events(DOMAIN), number)).collect())
}

async fn register(registry: &dyn Registry, subject: &str, schema: &str) -> Result<u32, Failure> {
    Ok(registry.register(subject, &AvroSchema::parse(schema)?).await?)
}
