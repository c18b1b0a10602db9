//! A member whose process is frozen past its session, and woken: it is told of its loss, and its commits are refused.
//!
//! The frozen member lives in a second process of this test binary, which says on stdout what happens to it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::{Committed, GroupEvent, Journal};
use schemas::partition::TopicPartition;

use crate::group::settings;
use crate::world::{World, within};

const CHILD: &str = "TIDEGATE_TEST_MEMBER";

/// The second process: joins, says `owned`, waits for a line, commits and says how that went, then says `lost` when it is told.
#[tokio::test]
async fn member_process() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (brokers, group, topic) = place
        .split_once(' ')
        .map(|(b, r)| {
            let (group, topic) = r.split_once(' ').unwrap();
            (b.to_owned(), group.to_owned(), topic.to_owned())
        })
        .unwrap();
    let journal = KafkaJournal::open(KafkaConfig::new(&brokers, "frozen")).unwrap();
    let mut member = journal.join(settings(&group, &topic)).unwrap();
    let owned = loop {
        if let GroupEvent::Assigned(owned) = within(member.next()).await
            && let Some(owned) = owned.into_iter().next()
        {
            break owned;
        }
    };
    say("owned");
    let committer = member.committer();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let answer = committer.commit(&owned, Committed { offset: 1, metadata: "woken".to_owned() }).await;
    say(&format!("commit {answer:?}"));
    loop {
        if let GroupEvent::Lost(lost) = within(member.next()).await {
            assert_eq!(lost, vec![owned.clone()]);
            break;
        }
    }
    let answer = committer.commit(&owned, Committed { offset: 2, metadata: "after".to_owned() }).await;
    say(&format!("lost {answer:?}"));
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "member: {word}").unwrap();
    out.flush().unwrap();
}

struct Process(Child);

impl Process {
    fn start(place: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "frozen::member_process", "--nocapture"]).env(CHILD, place);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next thing that the second process says.
fn heard(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    lines.find_map(|line| line.unwrap().split_once("member: ").map(|(_, word)| word.to_owned())).unwrap()
}

#[tokio::test]
async fn a_frozen_member_is_told_of_its_loss_and_cannot_commit() {
    let Some(world) = World::new("a_frozen_member_is_told_of_its_loss_and_cannot_commit") else { return };
    let topic = world.topic("frozen", 1).await;
    let group = world.name("frozen");
    let mut process = Process::start(&format!("{} {group} {topic}", world.brokers));
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    assert_eq!(heard(&mut lines), "owned");
    process.signal("-STOP");
    let mut heir = world.journal.join(settings(&group, &topic)).unwrap();
    let owned = loop {
        if let GroupEvent::Assigned(owned) = within(heir.next()).await
            && let Some(owned) = owned.into_iter().next()
        {
            break owned;
        }
    };
    let mine = Committed { offset: 7, metadata: "heir".to_owned() };
    heir.committer().commit(&owned, mine.clone()).await.unwrap();
    process.0.stdin.take().unwrap().write_all(b"commit\n").unwrap();
    process.signal("-CONT");
    let heard = tokio::task::spawn_blocking(move || (heard(&mut lines), heard(&mut lines)));
    let (commit, lost) = tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap().unwrap();
    assert_eq!(commit, "commit Err(NotOwned)");
    assert_eq!(lost, "lost Err(NotOwned)");
    let partition = TopicPartition::new(topic, 0);
    assert_eq!(heir.committer().committed(&partition).await.unwrap(), Some(mine));
}
