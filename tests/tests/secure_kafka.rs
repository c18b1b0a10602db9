//! A cluster that lets in only who shows a certificate, or knows a password, over TLS: events pass, and strangers learn at the start why not.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tests::certificate::{Authority, Certificate};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Launch;
use tests::services::{OwnService, Services};
use tests::stream::Stream;

/// How long an event may take from the answer to the stream.
const WITHIN: Duration = Duration::from_secs(15);
/// How long a verb may look for a cluster that does not let it in.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);
const USER: &str = "tidegate";
const PASSWORD: &str = "a-word-that-no-log-shows";

/// Certificates as files, and the broker that wants them.
struct Cluster {
    directory: TempDir,
    kafka: OwnService,
    registry: String,
}

/// Properties of the Kafka client, as the environment gives them.
type Properties = Vec<(&'static str, String)>;

impl Cluster {
    async fn start(registry: String) -> Self {
        let directory = TempDir::with_prefix("tidegate-secure-").expect("a directory");
        let (authority, stranger) = (Authority::new(), Authority::new());
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
        let Certificate { cert, key } = authority.vouch();
        write("ca.pem", &authority.cert);
        write("broker.pem", &format!("{key}{cert}"));
        for (name, pair) in [("client", authority.vouch()), ("stranger", stranger.vouch())] {
            write(&format!("{name}.pem"), &pair.cert);
            write(&format!("{name}.key"), &pair.key);
        }
        let kafka = OwnService::secure_kafka(directory.path(), (USER, PASSWORD)).await;
        Self { directory, kafka, registry }
    }

    fn at(&self, listener: &str) -> Services {
        Services { kafka: self.kafka.listener(listener), registry: self.registry.clone() }
    }

    fn trusting(&self, protocol: &str) -> Properties {
        vec![("SECURITY_PROTOCOL", protocol.to_owned()), ("SSL_CA_LOCATION", self.file("ca.pem"))]
    }

    fn showing(&self, name: &str) -> Properties {
        let shown = [("SSL_CERTIFICATE_LOCATION", "pem"), ("SSL_KEY_LOCATION", "key")];
        let shown = shown.map(|(property, extension)| (property, self.file(&format!("{name}.{extension}"))));
        self.trusting("SSL").into_iter().chain(shown).collect()
    }

    fn saying(&self, password: &str) -> Properties {
        let said = [("SASL_MECHANISM", "SCRAM-SHA-512"), ("SASL_USERNAME", USER), ("SASL_PASSWORD", password)];
        self.trusting("SASL_SSL").into_iter().chain(said.map(|(name, value)| (name, value.to_owned()))).collect()
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

fn with(launch: Launch, properties: Properties) -> Launch {
    let env = properties.into_iter().map(|(name, value)| (format!("TIDEGATE_KAFKA_CLIENT__{name}"), value));
    Launch { env: env.collect(), ..launch }
}

async fn one_event_passes(services: &Services, properties: Properties) {
    let deployment = Deployment::on(services);
    let process = with(deployment.launch(Role::Up, "up"), properties).start().await;
    process.ready().await;
    let token = deployment.token("tests", &["publisher"]).await;
    let mut stream = Stream::open(&process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    let sent = client::event("one", &client::edit("Ada"));
    assert_eq!(client::publish(&process.url(""), &token, &sent).await, json!({"ids": ["one"], "known": []}));
    assert_eq!(stream.event(WITHIN).await["id"], "one");
    assert!(!process.log().contains(PASSWORD));
}

async fn is_refused(services: &Services, properties: Properties, why: &str) {
    let deployment = Deployment::on(services);
    let mut command = tests::process::command();
    let Launch { env, .. } = with(deployment.launch(Role::Up, "check"), properties);
    command.args(["topics", "check", "--kafka", &services.kafka, "--registry", &services.registry]).envs(env);
    let output = tokio::time::timeout(REFUSED_WITHIN, command.output()).await.expect("its end").expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(why), "{why:?} is not in\n{said}");
    assert!(!said.contains(PASSWORD) && !said.contains("PRIVATE KEY"), "{said}");
}

#[tokio::test]
async fn a_cluster_behind_tls_lets_in_who_shows_a_certificate_or_knows_the_password() {
    let Some(services) = Services::find("a secure cluster") else { return };
    let cluster = Cluster::start(services.registry).await;
    let (by_certificate, by_password) = (cluster.at("ssl"), cluster.at("sasl_ssl"));
    one_event_passes(&by_certificate, cluster.showing("client")).await;
    one_event_passes(&by_password, cluster.saying(PASSWORD)).await;
    is_refused(&by_certificate, cluster.showing("stranger"), "certificate").await;
    is_refused(&by_certificate, cluster.trusting("SSL"), "certificate").await;
    is_refused(&by_password, cluster.saying("wrong"), "uthentication").await;
}
