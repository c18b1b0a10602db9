//! What is planned, how it differs from what is, and which generations are begun.

use schemas::time::Timestamp;

use super::*;
use crate::embedded::{Clock, EmbeddedConfig, EmbeddedJournal};
use crate::topics::TopicId;

fn plan(settings: &TopicSettings) -> TopicPlan {
    TopicPlan::new(&TopicNames::new("p-"), &BTreeSet::from(["wiki".to_owned(), "machine".to_owned()]), settings)
}

fn entry<'a>(spec: &'a TopicSpec, name: &str) -> Option<&'a str> {
    spec.config.iter().find(|(entry, _)| entry == name).map(|(_, value)| value.as_str())
}

fn described(spec: &TopicSpec) -> TopicDescription {
    TopicDescription { id: TopicId("id".to_owned()), partitions: spec.partitions, config: spec.config.clone() }
}

#[test]
fn plans_every_topic_of_a_deployment_with_append_time() {
    let plan = plan(&TopicSettings::default());
    let names: Vec<&str> = plan.specs().map(|spec| spec.name.as_str()).collect();
    let wanted = [
        "p-events.machine",
        "p-events.wiki",
        "p-delivery.high",
        "p-delivery.medium",
        "p-delivery.low",
        "p-dlq",
        "p-audit",
        "p-claims",
        "p-grants",
    ];
    assert_eq!(names, wanted);
    assert!(plan.specs().all(|spec| entry(spec, "message.timestamp.type") == Some("LogAppendTime")));
}

#[test]
fn references_are_compacted() {
    let settings = TopicSettings::default();
    let plan = plan(&settings).with_references(["people".to_owned()], &settings);
    let reference = plan.specs().last().unwrap();
    assert_eq!((reference.name.as_str(), entry(reference, "cleanup.policy")), ("p-reference.people", Some("compact")));
}

#[test]
fn three_copies_need_two_to_write() {
    let one = plan(&TopicSettings::default());
    assert!(one.specs().all(|spec| entry(spec, "min.insync.replicas") == Some("1")));
    let three = plan(&TopicSettings { replication: 3, ..TopicSettings::default() });
    assert!(three.specs().all(|spec| entry(spec, "min.insync.replicas") == Some("2")));
}

#[test]
fn says_in_words_how_a_topic_differs() {
    let plan = plan(&TopicSettings::default());
    let lane = plan.topics.iter().find(|planned| planned.spec.name == "p-delivery.low").unwrap();
    let mut found = described(&lane.spec);
    assert_eq!(lane.compare(Some(&found)), vec![]);
    found.partitions = 3;
    found.config.retain(|(entry, _)| entry != "segment.ms");
    found.config.push(("segment.ms".to_owned(), "604800000".to_owned()));
    let words: Vec<String> = lane.compare(Some(&found)).iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "p-delivery.low has 3 partitions, not 12; this cannot be changed in place",
            "p-delivery.low has segment.ms=604800000, not 25920000",
        ]
    );
    assert_eq!(lane.compare(None)[0].to_string(), "p-delivery.low does not exist");
}

#[test]
fn a_source_may_have_its_own_number_of_partitions() {
    let plan = plan(&TopicSettings::default());
    let source = plan.topics.iter().find(|planned| planned.spec.name == "p-events.wiki").unwrap();
    let found = TopicDescription { partitions: 48, ..described(&source.spec) };
    assert_eq!(source.compare(Some(&found)), vec![]);
}

struct Log {
    journal: std::sync::Arc<EmbeddedJournal>,
    _directory: tempfile::TempDir,
}

fn log() -> Log {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::new(|| Timestamp::from_millis(1));
    let journal = EmbeddedJournal::open(EmbeddedConfig::simulated(directory.path(), clock, 1)).unwrap();
    Log { journal, _directory: directory }
}

fn of(partitions: u32) -> TopicPlan {
    plan(&TopicSettings { delivery_partitions: partitions, ..TopicSettings::default() })
}

#[tokio::test]
async fn another_number_of_delivery_partitions_is_a_generation_more_and_only_where_it_is_asked_for() {
    let Log { journal, _directory } = &log();
    let journal = &**journal;
    of(3).make_missing(journal).await.unwrap();
    let words = ["p-delivery.* have 3 partitions, not 5, in each lane; `tidegate topics apply` begins generation 2"];
    let said = |differences: Vec<Difference>| differences.iter().map(ToString::to_string).collect::<Vec<_>>();
    for differences in [of(5).check(journal).await, of(5).make_missing(journal).await, of(5).mend(journal).await] {
        assert_eq!(said(differences.unwrap()), words);
        assert_eq!(of(5).standing(journal).await.unwrap(), [3]);
    }
    assert_eq!(said(of(5).apply(journal).await.unwrap()), words);
    assert_eq!(of(5).standing(journal).await.unwrap(), [3, 5]);
    assert_eq!(of(5).apply(journal).await.unwrap(), [], "it stands");
    assert_eq!(said(of(3).check(journal).await.unwrap()).len(), 1, "fewer is another generation, too");
    let topic = journal.topic("p-delivery.low.g2").await.unwrap().unwrap();
    assert_eq!(topic.partitions, 5);
}

#[tokio::test]
async fn a_generation_that_was_half_made_is_completed_before_there_is_another() {
    let Log { journal, _directory } = &log();
    let journal = &**journal;
    of(3).make_missing(journal).await.unwrap();
    let half = of(5).lanes(2).next().unwrap();
    journal.create_topic(&half.spec).await.unwrap();
    assert_eq!(of(3).standing(journal).await.unwrap(), [3]);
    assert!(of(3).make_missing(journal).await.unwrap().iter().all(|one| one.mismatch == Mismatch::Missing));
    assert_eq!(of(3).standing(journal).await.unwrap(), [3, 5]);
}

#[tokio::test]
async fn more_partitions_than_positions_may_name_are_refused() {
    let Log { journal, _directory } = &log();
    let journal = &**journal;
    for partitions in [20, 19, 20] {
        of(partitions).apply(journal).await.unwrap();
    }
    assert_eq!(of(20).standing(journal).await.unwrap(), [20, 19, 20]);
    let refused = of(2).apply(journal).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Refused { detail } if detail.contains("60")), "{refused}");
    assert_eq!(of(1).apply(journal).await.unwrap().len(), 1);
}
