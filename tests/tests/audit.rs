//! The audit of the real binary: who published, was refused or administered what; whole after every kill -9, and broken where somebody has
//! written who may not.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::client::{self, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::kafka;
use tests::process::Process;
use tests::rounds;
use tests::services::Services;
use tests::socket::Socket;
use tests::stream::Stream;

/// How long a verb or a notice may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Publishers at one time.
const PUBLISHERS: usize = 4;
/// What a payload holds that no audit may say.
const PAYLOAD: &str = "nothing of a payload is in the audit";

async fn list(deployment: &Deployment, further: &[&str]) -> Vec<Value> {
    let said = deployment.verb(&[&["audit", "list"], further].concat(), b"").await;
    assert!(!said.contains(PAYLOAD) && !said.contains("eyJ"), "no payload, no token: {said}");
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Publishes until it is answered no more; the ids that were acknowledged.
async fn publish_until_dead(url: String, token: String, name: String) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for number in 0.. {
        let id = format!("{name}-{number}");
        let event = client::event(&id, &client::edit(PAYLOAD)).to_string();
        match client::try_send(client::post(&url, Some(&token), STRUCTURED, event)).await {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => acknowledged.insert(id),
            Ok(answer) => panic!("{}", answer.text),
            Err(_) => break,
        };
    }
    acknowledged
}

/// Kills a process while many publish; what was acknowledged.
async fn killed_under_load(process: &mut Process, token: &str, round: usize) -> BTreeSet<String> {
    let publishers = (0..PUBLISHERS)
        .map(|number| tokio::spawn(publish_until_dead(process.url(""), token.to_owned(), format!("{round}-{number}"))));
    let publishers: Vec<_> = publishers.collect();
    // Enough for chains to be begun; the kill falls where it falls.
    client::publish(&process.url(""), token, &client::event(&format!("{round}"), &client::edit(PAYLOAD))).await;
    process.kill().await;
    let mut acknowledged = BTreeSet::from([round.to_string()]);
    for publisher in publishers {
        acknowledged.extend(publisher.await.expect("it ends"));
    }
    acknowledged
}

fn ids(records: &[Value]) -> BTreeSet<String> {
    let items = records.iter().flat_map(|record| record["items"].as_array().cloned().unwrap_or_default());
    items.filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_and_who_is_refused_is_recorded_and_stays_whole_when_the_writer_is_killed() {
    let deployment = Deployment::embedded();
    let mut process = deployment.start(Role::Up).await;
    let (ada, bob) = (deployment.token("ada", &["publisher"]).await, deployment.token("bob", &[]).await);
    client::publish(&process.url(""), &ada, &client::event("one", &client::edit(PAYLOAD))).await;
    let event = client::event("two", &client::edit(PAYLOAD)).to_string();
    let forbidden = client::send(client::post(&process.url(""), Some(&bob), STRUCTURED, event)).await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    assert_eq!(client::get(&process.url("/v1/stream?channel=nope:1")).await.status, StatusCode::FORBIDDEN);
    let nobody = Stream::open(&process.url("/v1/stream?channel=wiki:en"), Some("eyJ.forged.token"), None).await;
    assert_eq!(nobody.err().expect("no stream").status, Some(StatusCode::UNAUTHORIZED));
    let stream = Stream::open(&process.url("/v1/stream?channel=wiki:en&channel=nope:2"), Some(&bob), None).await;
    assert!(stream.expect("a part of it").block(WITHIN).await.is("tidegate.ready"));
    for verb in ["grant", "revoke"] {
        deployment.verb(&[verb, "bob", "wiki:en", "--to", &process.url("")], b"").await;
    }
    assert!(process.stop().await.success());

    let refused = list(&deployment, &["--act", "refusal"]).await;
    let said = |record: &Value| {
        let item = |name: &str| record["items"][0][name].as_str().unwrap_or_default().to_owned();
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        (text("door"), text("subject"), text("outcome"), item("channel"))
    };
    let expected = [
        ("POST /v1/events", "bob", "forbidden", "wiki:en"),
        ("GET /v1/stream", "", "forbidden", "nope:1"),
        ("token", "", "malformed", ""),
        ("GET /v1/stream", "bob", "forbidden", "nope:2"),
    ];
    let expected =
        expected.map(|(door, who, how, what)| (door.to_owned(), who.to_owned(), how.to_owned(), what.to_owned()));
    assert_eq!(refused.iter().map(said).collect::<Vec<_>>(), expected);
    for act in ["grant", "revocation"] {
        let changed = list(&deployment, &["--act", act]).await;
        assert_eq!(changed[0]["items"], json!([{"channel": "wiki:en", "id": "default/bob"}]));
    }
    let published = list(&deployment, &["--act", "publish", "--subject", "ada"]).await;
    assert_eq!(published[0]["items"], json!([{"channel": "wiki:en", "type": "wiki.edit", "id": "one"}]));

    let heads = deployment.path("heads").display().to_string();
    deployment.verb(&["audit", "verify", "--heads", &heads], b"").await;
    let mut process = deployment.start(Role::Up).await;
    let acknowledged = killed_under_load(&mut process, &ada, 1).await;
    let whole = deployment.verb(&["audit", "verify", "--since", &heads], b"").await;
    assert!(whole.ends_with("chains are whole"), "{whole}");
    let recorded = ids(&list(&deployment, &["--act", "publish"]).await);
    assert!(acknowledged.is_subset(&recorded), "{:?}", acknowledged.difference(&recorded).collect::<Vec<_>>());

    deployment.verb(&["dlq", "purge", "--before", "2000-01-01T00:00:00Z"], b"").await;
    assert_eq!(list(&deployment, &["--act", "dlq_purge"]).await.len(), 1);
    let other = deployment.path("other.key");
    std::fs::write(&other, "another secret of more than thirty-two bytes").expect("written");
    let verify = ["audit", "verify", "--audit-key", &other.display().to_string()].map(str::to_owned);
    let verify: Vec<&str> = verify.iter().map(String::as_str).collect();
    assert_eq!(deployment.try_verb(&verify, b"", WITHIN).await.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka_killed_writers_leave_whole_chains_and_a_forged_record_is_named() {
    let Some(services) = Services::find("audit") else { return };
    let mut deployment = Deployment::on(&services);
    let key = deployment.path("audit.key");
    std::fs::write(&key, "the secret of this deployment's chains, 32 bytes").expect("written");
    let key = key.display().to_string();
    deployment.flag("--audit-key", &key);
    let prefix = deployment.prefix().to_owned();
    let log = ["--kafka", &services.kafka, "--registry", &services.registry, "--prefix", &prefix, "--audit-key", &key];
    let token = deployment.token("ada", &["publisher"]).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds::writer_kills() {
        let mut process = deployment.start(Role::Ingest).await;
        acknowledged.extend(killed_under_load(&mut process, &token, round).await);
    }
    let verify = [&["audit", "verify"], &log[..]].concat();
    let whole = deployment.verb(&verify, b"").await;
    assert!(whole.ends_with("chains are whole"), "{whole}");
    let recorded = ids(&list(&deployment, &log).await);
    assert!(acknowledged.is_subset(&recorded), "{:?}", acknowledged.difference(&recorded).collect::<Vec<_>>());

    let topic = deployment.topic("audit");
    let copied = kafka::read_all(&services, &topic).await.swap_remove(0);
    let (writer, hash) = (copied.key.expect("a writer"), copied.headers["tg_hash"].clone());
    let mut forged = copied.value.expect("a body");
    let last = forged.len() - 2;
    forged[last] ^= 1;
    let writer = String::from_utf8(writer).expect("text");
    let (partition, offset) =
        kafka::produce(&services, &topic, &writer, &[("tg_hash", hash.as_bytes())], Some(&forged)).await;
    let broken = deployment.try_verb(&verify, b"", WITHIN).await;
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert_eq!(broken.status.code(), Some(1));
    assert!(said.contains(&format!("{topic}:{partition}:{offset}: its hash")) && said.contains("1 faults"), "{said}");
}

/// A type whose deliveries are recorded, and one whose are not; `staff` see the cause.
fn notes(deployment: &mut Deployment) {
    let catalogue = deployment.path("notes");
    let fields = json!([{"name": "text", "type": "string"}, {"name": "cause", "type": "string", "labels": ["staff"]}]);
    let schema = json!({"type": "record", "name": "note.Kept", "fields": fields});
    let yaml = "name: notes\nchannels: {note: {subscribe: 'true', publish: 'true'}}\nroles: {clerk: [staff]}\ntypes:\n  \
                note.kept: {schema: kept.avsc, channel: note, audit: deliveries}\n  note.open: {schema: kept.avsc, channel: note}\n";
    std::fs::create_dir_all(&catalogue).expect("a directory");
    std::fs::write(catalogue.join("kept.avsc"), schema.to_string()).expect("written");
    std::fs::write(catalogue.join("catalogue.yaml"), yaml).expect("written");
    deployment.flag("--catalogue", &catalogue.display().to_string());
}

async fn reads_both(process: &Process, token: &str) -> Stream {
    let stream = Stream::open(&process.url("/v1/stream?channel=note:a"), Some(token), None).await;
    let mut stream = stream.unwrap_or_else(|refused| panic!("{refused:?}"));
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_given_which_view_is_recorded_where_the_catalogue_asks_for_it() {
    let mut deployment = Deployment::embedded();
    notes(&mut deployment);
    let mut process = deployment.start(Role::Up).await;
    let [ada, bob] = [deployment.token("ada", &["clerk"]).await, deployment.token("bob", &[]).await];
    let mut streams = [reads_both(&process, &ada).await, reads_both(&process, &bob).await];
    let mut socket = Socket::open(&process.url("/v1/ws?channel=note:a"), Some(&ada)).await.expect("101");
    socket.of("tidegate.ready").await;
    for (id, event_type) in [("1", "note.open"), ("2", "note.kept")] {
        let data = json!({"text": PAYLOAD, "cause": PAYLOAD});
        let event = json!({"specversion": "1.0", "id": id, "source": "/tests", "type": event_type, "subject": "note:a", "data": data});
        client::publish(&process.url(""), &ada, &event).await;
    }
    for stream in &mut streams {
        assert_eq!([stream.event(WITHIN).await["id"].clone(), stream.event(WITHIN).await["id"].clone()], ["1", "2"]);
    }
    assert_eq!(
        [socket.of("event").await["event"].clone(), socket.of("event").await["event"].clone()],
        ["note.open", "note.kept"]
    );
    drop((streams, socket));
    assert!(process.stop().await.success());

    let records = list(&deployment, &["--act", "delivery"]).await;
    let said = |record: &Value| ["subject", "door"].map(|name| record[name].as_str().unwrap_or_default().to_owned());
    let mut given: Vec<_> = records.iter().map(|record| (said(record), record["items"].to_string())).collect();
    given.sort();
    let item = json!({"channel": "note:a", "type": "note.kept", "id": "2"});
    let mut whole = item.clone();
    whole["view"] = json!("staff");
    let expected = [
        (["ada", "GET /v1/stream"], json!([whole])),
        (["ada", "GET /v1/ws"], json!([whole])),
        (["bob", "GET /v1/stream"], json!([item])),
    ];
    assert_eq!(given, expected.map(|(who, items)| (who.map(str::to_owned), items.to_string())));
    assert!(deployment.verb(&["audit", "verify"], b"").await.ends_with("chains are whole"));
}
