//! Two tenants on one deployment never see each other: the same channels, ids, users, keys and positions, in two tenants, are two of each; and
//! nothing that is said to one tells of the other.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::client::{self, Answer, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::stream::Stream;

const WITHIN: Duration = Duration::from_secs(30);
const TENANTS: [&str; 2] = ["acme", "globex"];
const CATALOGUE: &str = r#"
name: notes
channels:
  note: {subscribe: "true", publish: "claims.sub != null"}
  safe: {subscribe: "claims.tenant == 'acme'", publish: "claims.tenant == 'acme'"}
types:
  note.written: {schema: written.avsc, channel: note, lane: medium, conflate: "payload.key", only_users: "payload.user == '' ? null : payload.user"}
  note.locked: {schema: written.avsc, channel: safe}
"#;

struct Place {
    process: Process,
    deployment: Deployment,
    tokens: [String; 2],
}

impl Place {
    /// One process; the user ada of each tenant may have one stream.
    async fn start(connections_per_user: usize) -> Self {
        let mut deployment = Deployment::embedded();
        let catalogue = deployment.path("notes");
        let fields = ["text", "key", "user"].map(|name| json!({"name": name, "type": "string", "default": ""}));
        let schema = json!({"type": "record", "name": "note.Written", "fields": fields});
        std::fs::create_dir_all(&catalogue).expect("a directory");
        std::fs::write(catalogue.join("written.avsc"), schema.to_string()).expect("written");
        std::fs::write(catalogue.join("catalogue.yaml"), CATALOGUE).expect("written");
        deployment.flag("--catalogue", &catalogue.display().to_string());
        let mut launch = deployment.launch(Role::Up, "up");
        let limit = connections_per_user.to_string();
        launch.env.push(("TIDEGATE_EDGE__CONNECTIONS_PER_USER".to_owned(), limit));
        let process = launch.start().await;
        process.ready().await;
        let mut tokens = TENANTS.map(str::to_owned);
        for token in &mut tokens {
            *token = deployment.verb(&["token", "--sub", "ada", "--tenant", token], b"").await;
        }
        Self { process, deployment, tokens }
    }

    async fn publish(&self, tenant: usize, id: &str, data: &Value) -> Value {
        client::publish(&self.process.url(""), &self.tokens[tenant], &event(id, "note:a", data)).await
    }

    async fn try_publish(&self, tenant: usize, event: &Value) -> Answer {
        let request = client::post(&self.process.url(""), Some(&self.tokens[tenant]), STRUCTURED, event.to_string());
        client::send(request).await
    }

    async fn open(&self, tenant: usize, query: &str, last_event_id: Option<&str>) -> Stream {
        let url = self.process.url(&format!("/v1/stream?{query}"));
        let mut stream = Stream::open(&url, Some(&self.tokens[tenant]), last_event_id).await.expect("200");
        assert!(stream.block(WITHIN).await.is("tidegate.ready"));
        stream
    }

    async fn history(&self, tenant: usize, query: &str) -> Value {
        let request = reqwest::Client::new().get(self.process.url(&format!("/v1/events?{query}")));
        client::send(request.bearer_auth(&self.tokens[tenant])).await.json()
    }
}

fn event(id: &str, channel: &str, data: &Value) -> Value {
    let event_type = if channel.starts_with("safe") { "note.locked" } else { "note.written" };
    json!({"specversion": "1.0", "id": id, "source": "/notes", "type": event_type, "subject": channel, "data": data})
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

/// Texts of events, and the last id.
async fn read(stream: &mut Stream, count: usize) -> (Vec<String>, String) {
    let (mut texts, mut last) = (Vec::new(), String::new());
    while texts.len() < count {
        let block = stream.block(WITHIN).await;
        if block.is_event() {
            texts.push(block.json()["data"]["text"].as_str().expect("a text").to_owned());
            last = block.id.expect("a position");
        }
    }
    (texts, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_channel_id_user_and_key_in_two_tenants_are_two_and_so_is_every_position() {
    let place = Place::start(5).await;
    let mut streams = [place.open(0, "channel=note:a", None).await, place.open(1, "channel=note:*", None).await];
    for (tenant, name) in TENANTS.iter().enumerate() {
        // The same source, id, user and channel: no repeat of the other's.
        let answer = place.publish(tenant, "1", &text(name)).await;
        assert_eq!(answer["known"], json!([]), "{answer}");
    }
    let mut ids = Vec::new();
    for (stream, name) in streams.iter_mut().zip(TENANTS) {
        let (texts, id) = read(stream, 1).await;
        assert_eq!(texts, [name]);
        ids.push(id);
    }
    for (tenant, name) in TENANTS.iter().enumerate() {
        place.publish(tenant, "2", &json!({"text": format!("{name} 2"), "key": "k"})).await;
        place.publish(tenant, "3", &json!({"text": format!("{name} for ada"), "user": "ada"})).await;
    }
    for (tenant, name) in TENANTS.iter().enumerate() {
        let expected = [format!("{name} 2"), format!("{name} for ada")];
        assert_eq!(read(&mut streams[tenant], 2).await.0, expected);
        // The other's position is a place in the log, and no right.
        let other = &ids[1 - tenant];
        let mut resumed = place.open(tenant, "channel=note:a", Some(other)).await;
        let mut texts = read(&mut resumed, 2).await.0;
        if texts[0] == *name {
            texts.extend(read(&mut resumed, 1).await.0);
            texts.remove(0);
        }
        assert_eq!(texts, expected);
        let page = place.history(tenant, &format!("channel=note:a&after={other}")).await;
        let events = page["events"].as_array().expect("events").clone();
        let foreign = events.iter().filter(|event| !event.to_string().contains(name)).count();
        assert!(foreign == 0 && events.len() >= 2 && page["gaps"] == json!([]), "{page}");
        let all = place.history(tenant, "channel=note:*&since=0").await;
        assert!(!all.to_string().contains(TENANTS[1 - tenant]), "{all}");
        // A pull of all at once: the last of a key is the tenant's own.
        let (texts, _) = read(&mut place.open(tenant, "channel=note:a&since=0", None).await, 3).await;
        assert_eq!(texts, [name.to_string(), format!("{name} 2"), format!("{name} for ada")]);
    }
    let repeat = place.publish(0, "1", &text("again")).await;
    assert_eq!(repeat["known"], json!(["1"]), "its own it does know");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_limits_do_not_count_for_the_other() {
    let place = Place::start(1).await;
    let _first = place.open(0, "channel=note:a", None).await;
    let mut second =
        Stream::open(&place.process.url("/v1/stream?channel=note:a"), Some(&place.tokens[0]), None).await.expect("200");
    let bye = second.block(WITHIN).await;
    assert!(bye.is("tidegate.bye") && bye.json()["reason"] == "limit", "{bye:?}");
    let mut other = place.open(1, "channel=note:a", None).await;
    place.publish(1, "1", &text("mine")).await;
    assert_eq!(read(&mut other, 1).await.0, ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_log_or_metric_tells_one_tenant_of_the_other() {
    let place = Place::start(5).await;
    place.publish(0, "1", &text("hello")).await;
    assert_eq!(place.try_publish(0, &event("2", "safe:known", &text("x"))).await.status, StatusCode::ACCEPTED);
    let mut stream = place.open(0, "channel=note:a", None).await;
    place.publish(0, "3", &text("more")).await;
    assert_eq!(read(&mut stream, 1).await.0, ["more"]);

    // A channel that the other tenant uses, and one that nobody does, are refused in the same words.
    let mut said = Vec::new();
    for channel in ["safe:known", "safe:never"] {
        let url = place.process.url(&format!("/v1/stream?channel={channel}"));
        let refused = Stream::open(&url, Some(&place.tokens[1]), None).await.err().expect("no stream");
        let published = place.try_publish(1, &event("4", channel, &text("x"))).await;
        assert_eq!((refused.status, published.status), (Some(StatusCode::FORBIDDEN), StatusCode::FORBIDDEN));
        said.push((refused.text.replace(channel, ""), published.text.replace(channel, "")));
    }
    assert_eq!(said[0], said[1]);
    // Nor are ids of events or connections, whoever has them.
    let mut foreign = event("1", "note:a", &text("x"));
    foreign["tenant"] = json!("acme");
    let answer = place.try_publish(1, &foreign).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!answer.text.contains("acme"), "{}", answer.text);
    let empty = place.history(1, "channel=note:a&since=0").await;
    assert_eq!(empty["events"], json!([]));

    let metrics = client::get(&place.process.url("/metrics")).await.text;
    let log = place.process.log();
    for word in ["acme", "globex", "ada\"", "note:a", "safe:"] {
        assert!(!metrics.contains(word), "a label says {word}: {metrics}");
        assert!(!log.contains(word), "the log says {word}: {log}");
    }
    drop(stream);
    let Place { mut process, deployment, .. } = place;
    assert!(process.stop().await.success());
    let recorded = deployment.verb(&["audit", "list", "--tenant", "globex"], b"").await;
    assert!(!recorded.is_empty() && !recorded.contains("acme"), "{recorded}");
}
