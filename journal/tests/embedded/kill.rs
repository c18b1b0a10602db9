//! kill -9 of a process that appends and commits: what it was told stands.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::{Appender, Committed, GroupEvent, GroupMember, GroupSettings, Journal, NewRecord, TopicSpec};
use schemas::partition::TopicPartition;

use super::world::{TOPIC, read_all, record, settings};

const DIRECTORY: &str = "TIDEGATE_TEST_LOG";
const PARTITIONS: u32 = 4;
/// Acknowledgements that the parent waits for before it kills.
const ACKED: usize = 2_000;
const KILLS: usize = 3;

fn open(directory: &Path) -> Arc<EmbeddedJournal> {
    EmbeddedJournal::open(EmbeddedConfig::new(directory)).unwrap()
}

async fn join(journal: &EmbeddedJournal) -> (Box<dyn GroupMember>, Vec<journal::Owned>) {
    let mut member = journal
        .join(GroupSettings {
            group: "group".to_owned(),
            topics: vec![TOPIC.to_owned()],
            instance: None,
            session: Duration::from_secs(10),
            revoke_wait: Duration::from_secs(10),
            queue_records: 1,
            queue_bytes: 1,
        })
        .unwrap();
    match member.next().await {
        GroupEvent::Assigned(owned) => (member, owned),
        other => panic!("{other:?}"),
    }
}

/// Appends for ever, and says what was acknowledged only when it was.
async fn append_for_ever(directory: &Path) {
    let journal = open(directory);
    let config = vec![("segment.bytes".to_owned(), "65536".to_owned())];
    let spec = TopicSpec { name: TOPIC.to_owned(), partitions: PARTITIONS, replication: 1, config };
    journal.create_topic(&spec).await.unwrap();
    let appender = journal.appender(settings()).unwrap();
    let (member, owned) = join(&journal).await;
    for round in 0_u64.. {
        let waiting: Vec<_> = (0..40).map(|number| append(&*appender, round * 40 + number)).collect();
        for (value, ack) in waiting {
            let place = ack.await.unwrap();
            say(&format!("acked {} {} {value}", place.partition, place.offset));
        }
        let commit = Committed { offset: round, metadata: format!("round {round}") };
        member.committer().commit(&owned[0], commit).await.unwrap();
        say(&format!("committed {round}"));
    }
}

fn append(appender: &dyn Appender, number: u64) -> (String, journal::Ack) {
    let value = format!("{number} of {} {}", std::process::id(), "x".repeat(300));
    let partition = u32::try_from(number).unwrap() % PARTITIONS;
    let given: NewRecord = record(partition, None, Some(&value));
    (value.clone(), appender.append(given).unwrap())
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// What the killed process had said.
#[derive(Default)]
struct Said {
    acked: BTreeMap<(u32, u64), String>,
    committed: Option<u64>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        if let Some(acked) = line.strip_prefix("acked ") {
            let mut words = acked.splitn(3, ' ');
            let place = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
            self.acked.insert(place, words.next().unwrap().to_owned());
        } else if let Some(round) = line.strip_prefix("committed ") {
            self.committed = Some(round.parse().unwrap());
        }
    }
}

/// Starts this test once more as a process that appends for ever, kills it by its id in the middle of its work, and returns
/// what it had said by then.
fn kill_one(directory: &Path, said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::what_was_acknowledged_survives_kill_9", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = said.acked.len() + ACKED;
    while said.acked.len() < wanted {
        said.hear(&lines.next().expect("the process ended by itself").unwrap());
    }
    child.kill().unwrap();
    // A last line that was cut in the middle says nothing.
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    rest.iter().take(rest.len().saturating_sub(1)).for_each(|line| said.hear(line));
    child.wait().unwrap();
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return tokio::runtime::Runtime::new().unwrap().block_on(append_for_ever(Path::new(&directory)));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for _ in 0..KILLS {
        kill_one(directory.path(), &mut said);
        tokio::runtime::Runtime::new().unwrap().block_on(compare(directory.path(), &said));
    }
}

async fn compare(directory: &Path, said: &Said) {
    let journal = open(directory);
    let mut found = BTreeMap::new();
    for number in 0..PARTITIONS {
        let records = read_all(&*journal, &TopicPartition::new(TOPIC, number)).await;
        let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..offsets.len() as u64).collect::<Vec<_>>(), "offsets are dense");
        found.extend(records.into_iter().map(|record| {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            ((number, record.offset), value)
        }));
    }
    for (place, value) in &said.acked {
        assert_eq!(found.get(place), Some(value), "{place:?} was acknowledged");
    }
    let (member, owned) = join(&journal).await;
    let committed = member.committer().committed(&owned[0].partition).await.unwrap();
    assert!(committed.map(|committed| committed.offset) >= said.committed);
}
