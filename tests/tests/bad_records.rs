//! Bad records in `events.wiki`, from any Kafka client: each goes to the DLQ as it was, with its reason, and stalls nobody.

use std::time::Duration;

use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::kafka::{self, Raw};
use tests::process::Process;
use tests::records::{self, NewRecord};
use tests::services::Services;
use tests::stream::Stream;
use tests::wait::until;

/// How long a record may take to the DLQ or to the stream, on a machine that runs everything else beside it.
const WITHIN: Duration = Duration::from_secs(20);
/// A rendered event over the hard limit.
const TOO_LARGE: usize = 600 * 1024;
/// Levels of a recursive value.
const LEVELS: usize = 100_000;
/// A schema that holds itself.
const RECURSIVE: &str = r#"{"type": "record", "name": "Edit", "namespace": "wiki", "fields": [
    {"name": "page", "type": "string"}, {"name": "within", "type": ["null", "wiki.Edit"], "default": null}]}"#;
/// A schema that cannot be read as an edit.
const OTHER: &str = r#"{"type": "record", "name": "Other", "namespace": "wiki", "fields": [{"name": "page", "type": "bytes"},
    {"name": "isRobot", "type": "string"}]}"#;

/// Everything on Kafka in one process, and a reader beside it.
struct Place {
    services: Services,
    deployment: Deployment,
    process: Process,
    neighbour: Stream,
    schema_id: u32,
}

impl Place {
    async fn open(services: Services) -> Self {
        let deployment = Deployment::on(&services);
        let process = deployment.start(Role::Up).await;
        let mut neighbour = Stream::open(&process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
        assert!(neighbour.block(WITHIN).await.is("tidegate.ready"));
        let schema_id = records::register(&services, "wiki.Edit", &records::edit_schema()).await;
        Self { services, deployment, process, neighbour, schema_id }
    }

    fn good(&self, id: &str) -> NewRecord {
        NewRecord::edit(id, self.schema_id, &client::edit(id))
    }

    async fn produce(&self, record: &NewRecord) -> String {
        let topic = self.deployment.topic("events.wiki");
        let (partition, offset) = record.produce(&self.services, &topic).await;
        format!("{topic}:{partition}:{offset}")
    }

    /// A right record goes to the same partition behind the wrong one, and arrives.
    async fn goes_on(&mut self, what: &str) {
        let id = format!("after {what}");
        self.produce(&self.good(&id)).await;
        assert_eq!(self.neighbour.event(WITHIN).await["id"], json!(id));
    }

    /// The dead letter of an address, as soon as it is there.
    async fn dead_letter(&self, address: &str) -> Raw {
        let topic = self.deployment.topic("dlq");
        until(WITHIN, || async {
            let letters = kafka::read_all(&self.services, &topic).await;
            let found = letters.into_iter().find(|letter| address_of(letter) == address);
            found.ok_or_else(|| format!("{address} is not in the DLQ"))
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn dies(&mut self, what: &str, record: NewRecord, reason: &str) -> String {
        let address = self.produce(&record).await;
        self.goes_on(what).await;
        let letter = self.dead_letter(&address).await;
        assert_eq!(letter.headers.get("tg_reason").map(String::as_str), Some(reason), "{what}: {:?}", letter.headers);
        assert_eq!((letter.key, letter.value), (Some(record.key.into_bytes()), record.value), "{what}");
        for name in ["tg_detail", "tg_attempts"] {
            assert!(letter.headers.contains_key(name), "{what}: {:?}", letter.headers);
        }
        for (name, value) in &record.headers {
            let kept = letter.headers.get(name).map(String::as_str);
            assert_eq!(kept, Some(&*String::from_utf8_lossy(value)), "{what}: {name} is unchanged");
        }
        address
    }
}

fn address_of(letter: &Raw) -> String {
    let header = |name: &str| letter.headers.get(name).cloned().unwrap_or_default();
    format!("{}:{}:{}", header("tg_topic"), header("tg_partition"), header("tg_offset"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_poison_goes_to_the_dlq_with_its_reason_and_stalls_nobody() {
    let Some(services) = Services::find("poison") else { return };
    let mut place = Place::open(services).await;
    let unique = place.deployment.prefix().to_owned();
    let recursive = records::register(&place.services, &format!("{unique}recursive"), RECURSIVE).await;
    let other = records::register(&place.services, &format!("{unique}other"), OTHER).await;
    let good = place.good("bad");
    let framed = |id: u32, body: &[u8]| Some(schemas::framing::frame(id, body).to_vec());
    let deep: Vec<u8> = [0, 2].repeat(LEVELS).into_iter().chain([0, 0]).collect();
    let large = NewRecord::edit("large", place.schema_id, &client::edit(&"x".repeat(TOO_LARGE)));
    let poison = [
        ("no headers", NewRecord { headers: Vec::new(), ..good.clone() }, "no_headers"),
        ("a null value", good.clone().value(None), "null_value"),
        ("an empty value", good.clone().value(Some(Vec::new())), "bad_framing"),
        ("another magic byte", good.clone().value(Some(vec![9, 0, 0, 0, 1, 0])), "bad_framing"),
        ("a malformed schema header", good.clone().header("__value_schema_id", &[7, 7]), "bad_framing"),
        ("an unknown schema id", good.clone().value(framed(4_000_000_000, &[0])), "unknown_schema"),
        ("bytes that are no edit", good.clone().value(framed(place.schema_id, &[0xff; 64])), "undecodable"),
        ("a string of 2^62 bytes", good.clone().value(framed(place.schema_id, &huge_string())), "undecodable"),
        ("a recursive schema", good.clone().value(framed(recursive, &deep)), "undecodable"),
        ("a schema of another shape", good.clone().value(framed(other, &[0, 0])), "type_mismatch"),
        ("an unknown type", good.clone().header("ce_type", b"wiki.unknown"), "unknown_type"),
        ("an undeclared kind", good.clone().header("ce_subject", b"nobody:x"), "unknown_kind"),
        ("an event of 600 KiB", large, "too_large"),
    ];
    let mut addresses = Vec::new();
    for (what, record, reason) in poison {
        addresses.push(place.dies(what, record, reason).await);
    }
    let listed = place.verb(&["dlq", "list"]).await;
    for address in &addresses {
        assert!(listed.contains(address.as_str()), "{address} is not in\n{listed}");
    }
    let shown = place.verb(&["dlq", "show", &addresses[0]]).await;
    assert!(shown.contains("no_headers"), "{shown}");
}

/// The first field absent, then a string whose length is 2^62.
fn huge_string() -> Vec<u8> {
    [&[0][..], &[0x80; 8], &[0x80, 0x01]].concat()
}

impl Place {
    async fn verb(&self, args: &[&str]) -> String {
        let (kafka, registry) = (&self.services.kafka, &self.services.registry);
        let common = ["--kafka", kafka, "--registry", registry, "--prefix", self.deployment.prefix()];
        self.deployment.verb(&[args, &common].concat(), b"").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_are_no_utf_8_or_missing_go_to_the_dlq() {
    let Some(services) = Services::find("bad attributes") else { return };
    let mut place = Place::open(services).await;
    let good = place.good("bad");
    let without = |name: &str| {
        let mut record = good.clone();
        record.headers.retain(|(other, _)| other != name);
        record
    };
    let wrong = [
        ("a subject that is no UTF-8", good.clone().header("ce_subject", &[b'w', 0xff])),
        ("a subject that is no channel", good.clone().header("ce_subject", b"no channel")),
        ("a time that is none", good.clone().header("ce_time", b"yesterday")),
        ("a priority that is none", good.clone().header("ce_priority", b"urgent")),
        ("no id", without("ce_id")),
        ("no type", without("ce_type")),
    ];
    for (what, record) in wrong {
        let address = place.produce(&record).await;
        place.goes_on(what).await;
        let letter = place.dead_letter(&address).await;
        assert!(letter.headers.contains_key("tg_reason"), "{what}: {:?}", letter.headers);
        assert_eq!(letter.value, record.value, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_delivered_when_its_cause_is_mended_and_it_is_replayed() {
    let Some(services) = Services::find("dlq replay") else { return };
    let mut place = Place::open(services).await;
    let note = place.good("mended").header("ce_type", b"wiki.note");
    let address = place.dies("a type that is not yet known", note, "unknown_type").await;

    let catalogue = place.deployment.path("notes");
    std::fs::create_dir(&catalogue).expect("a directory");
    std::fs::write(catalogue.join("note.avsc"), records::edit_schema()).expect("written");
    let text =
        "name: notes\nchannels: {}\ntypes:\n  wiki.note:\n    schema: note.avsc\n    channel: wiki\n    lane: high\n";
    std::fs::write(catalogue.join("catalogue.yaml"), text).expect("written");
    let mut launch = place.process.launch().clone();
    for name in ["wikipedia", &catalogue.display().to_string()] {
        launch.args.extend(["--catalogue".into(), name.into()]);
    }
    assert!(place.process.stop().await.success());
    place.process = launch.start().await;
    place.process.ready().await;
    let mut stream = Stream::open(&place.process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    // Twice: it keeps its id, so the second is a repeat.
    for _ in 0..2 {
        place.verb(&["dlq", "replay", &address]).await;
    }
    let event: Value = stream.event(WITHIN).await;
    assert_eq!((&event["id"], &event["type"], &event["lane"]), (&json!("mended"), &json!("wiki.note"), &json!("high")));
    place.produce(&place.good("last")).await;
    assert_eq!(stream.event(WITHIN).await["id"], json!("last"));
}
