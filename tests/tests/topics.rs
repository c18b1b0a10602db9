//! `tidegate topics apply|check` on Kafka: what is missing or differs is said, and then mended; another number of partitions is a generation
//! more.

use std::process::Output;
use std::time::Duration;

use tests::deployment::Deployment;
use tests::services::Services;

/// How long a verb may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Lanes, dlq, audit, claims, grants, and the source topics of the two catalogues.
const TOPICS: usize = 9;

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
async fn what_is_missing_or_differs_is_said_and_mended() {
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

    let more = [&shorter[..], &["--partitions", "20"]].concat();
    let (good, said) = topics.run("check", &more).await;
    assert!(!good && said.iter().all(|line| line.contains("12 partitions, not 20")), "{said:?}");
    let (good, grown) = topics.run("apply", &more).await;
    assert!(good && grown[0].starts_with("grown: generation 2 has 20 partitions a lane, after 12"), "{grown:?}");
    let (good, stands) = topics.run("check", &more).await;
    assert!(good && stands[..] == grown[1..], "{stands:?}");
    assert_eq!(stands[0], format!("{} topics are as they should be", TOPICS + 3));
    assert!(stands[1].starts_with("generation 2 takes deliveries: 20 partitions a lane; before it 12"), "{stands:?}");
}
