//! `tidegate topics apply|check` on Kafka: what is missing or differs is said, and then mended; a number of partitions is never changed.

use std::process::Output;
use std::time::Duration;

use tests::deployment::Deployment;
use tests::services::Services;

/// How long a verb may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Lanes, dlq, claims, and the source topics of the two catalogues.
const TOPICS: usize = 7;

struct Topics {
    services: Services,
    deployment: Deployment,
}

impl Topics {
    async fn run(&self, verb: &str, further: &[&str]) -> (bool, Vec<String>) {
        let Services { kafka, registry } = &self.services;
        let args = ["topics", verb, "--kafka", kafka, "--registry", registry, "--prefix", self.deployment.prefix()];
        let Output { status, stdout, stderr } =
            self.deployment.try_verb(&[&args[..], further].concat(), b"", WITHIN).await;
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        (status.success(), said.lines().map(str::to_owned).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_differs_is_said_and_mended_but_for_partitions() {
    let Some(services) = Services::find("topics") else { return };
    let topics = Topics { deployment: Deployment::on(&services), services };
    let all_well = vec![format!("{TOPICS} topics are as they should be")];
    let (good, said) = topics.run("check", &[]).await;
    assert_eq!((good, said.len()), (false, TOPICS), "{said:?}");
    assert!(topics.run("apply", &[]).await.0);
    assert_eq!(topics.run("check", &[]).await, (true, all_well.clone()));

    let file = topics.deployment.path("shorter.toml");
    std::fs::write(&file, "[topics]\ndelivery_retention_ms = 3600000\n").expect("written");
    let shorter = ["--config", &file.display().to_string()].map(str::to_owned);
    let shorter: Vec<&str> = shorter.iter().map(String::as_str).collect();
    let (good, said) = topics.run("check", &shorter).await;
    assert!(!good && said[0].contains("delivery.high has retention.ms="), "{said:?}");
    assert!(topics.run("apply", &shorter).await.0);
    assert_eq!(topics.run("check", &shorter).await, (true, all_well));

    let fewer = [&shorter[..], &["--partitions", "6"]].concat();
    let (good, said) = topics.run("apply", &fewer).await;
    assert!(!good || said.iter().any(|line| line.contains("12 partitions, not 6")), "{said:?}");
    let (good, said) = topics.run("check", &fewer).await;
    assert!(!good && said.iter().all(|line| line.contains("12 partitions, not 6")), "{said:?}");
}
