//! Laws of topics.

use super::scene::Scene;
use super::{Bench, soon};

/// Making a topic again changes nothing.
pub async fn a_topic_is_made_once(bench: &dyn Bench) {
    let scene = Scene::new(bench, 3).await;
    let before = scene.journal.topic(&scene.topic).await.unwrap().unwrap();
    scene.make(&scene.topic, 2, &[]).await;
    let after = scene.journal.topic(&scene.topic).await.unwrap().unwrap();
    assert_eq!((before.partitions, before.id), (3, after.id));
    assert_eq!(after.partitions, 3);
}

/// A topic that does not exist is none, and asking does not make it.
pub async fn an_unknown_topic_is_none(bench: &dyn Bench) {
    let name = format!("{}nowhere", bench.prefix());
    for _ in 0..2 {
        let found = soon("a description comes", bench.journal().topic(&name)).await.unwrap();
        assert_eq!(found, None);
    }
}

/// A topic that was deleted and made again has another identity, and none of the old records.
pub async fn a_topic_made_again_has_another_id(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append(scene.record(0, "old")).await.unwrap();
    let before = scene.journal.topic(&scene.topic).await.unwrap().unwrap();
    soon("a topic is deleted", bench.delete_topic(&scene.topic)).await.unwrap();
    scene.make(&scene.topic, 1, &[]).await;
    let after = scene.journal.topic(&scene.topic).await.unwrap().unwrap();
    assert_ne!(before.id, after.id);
    assert_eq!(scene.watermarks(0).await.high, 0);
}

/// What was configured is told; an entry that is set leaves the others.
pub async fn its_configuration_is_told_and_changed(bench: &dyn Bench) {
    let scene = Scene::configured(bench, 1, &[("retention.ms", "3600000"), ("segment.ms", "600000")]).await;
    let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let changed = [entry("retention.ms", "7200000")];
    soon("a topic is configured", scene.journal.configure_topic(&scene.topic, &changed)).await.unwrap();
    let told = async {
        while !scene.journal.topic(&scene.topic).await.unwrap().unwrap().config.contains(&changed[0]) {
            tokio::task::yield_now().await;
        }
    };
    soon("the change is told", told).await;
    let config = scene.journal.topic(&scene.topic).await.unwrap().unwrap().config;
    assert!(config.contains(&entry("segment.ms", "600000")), "{config:?}");
    assert!(config.contains(&entry("message.timestamp.type", "LogAppendTime")), "{config:?}");
}

/// The log is always the same log.
pub async fn the_cluster_id_stays(bench: &dyn Bench) {
    let first = bench.journal().cluster_id().await.unwrap();
    assert_eq!(first, bench.journal().cluster_id().await.unwrap());
    assert!(!first.is_empty());
}
