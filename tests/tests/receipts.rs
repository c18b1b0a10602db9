//! Receipts of the real binary: what was answered with 200 is kept, over kills of the process and of the store; authors hear of it once, in the
//! low lane, and nobody else does; who hides is seen by nobody; and what somebody may not see is as if it had never been.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::client::{self, Answer};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::reader::Reader;
use tests::services::{self, OwnService, Services};
use tests::socket::Socket;
use tests::wait::until;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(120);
/// Events of which everybody says that they have them, while things are killed.
const EVENTS: usize = 24;
/// Who says so.
const READERS: [&str; 3] = ["ben", "eve", "joe"];
/// What is said before the next thing is killed.
const BEFORE_A_KILL: usize = 24;
/// Between two tries of one word.
const PACE: Duration = Duration::from_millis(100);

struct World {
    deployment: Deployment,
    process: Process,
}

impl World {
    async fn up(mut deployment: Deployment, flags: &[(&str, &str)]) -> Self {
        flags.iter().for_each(|(name, value)| deployment.flag(name, value));
        let env = [("TIDEGATE_EDGE__ACTIVITY_PER_SECOND", "1000")];
        let process = deployment.start_with(Role::Up, "up", &env).await;
        Self { deployment, process }
    }

    async fn token(&self, user: &str) -> String {
        self.deployment.token(user, &[]).await
    }

    /// Somebody says something in the lobby.
    async fn publish(&self, token: &str, id: &str) {
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/tests", "type": "wiki.said", "subject": "room:lobby",
            "datacontenttype": "application/json", "data": {"text": id},
        });
        client::publish(&self.process.url(""), token, &event).await;
    }

    async fn lobby(&self, token: &str) -> Reader {
        Reader::connect(&self.process.url("/v1/stream?channel=room:lobby"), Some(token)).await
    }

    async fn say(&self, token: &str, kind: &str, of: (&str, &str)) -> Answer {
        say(&self.process.url("/v1/receipts"), token, kind, of).await.expect("an answer")
    }

    async fn seen(&self, token: &str, event: &str) -> Value {
        let url = self.process.url(&format!("/v1/receipts?channel=room:lobby&event={event}"));
        let answered = until(WITHIN, || async {
            let answer = client::ask(Method::GET, &url, Some(token), None).await;
            if answer.status == StatusCode::OK { Ok(answer.json()) } else { Err(answer.text) }
        });
        answered.await.expect("who has it")
    }
}

async fn say(url: &str, token: &str, kind: &str, (what, text): (&str, &str)) -> Result<Answer, String> {
    let body = json!({"channel": "room:lobby", "kind": kind, what: text});
    client::try_send(reqwest::Client::new().post(url).bearer_auth(token).json(&body)).await
}

/// The next event of a reader that is not of presence or occupancy.
async fn next(reader: &mut Reader) -> Value {
    loop {
        let event = reader.event(WITHIN).await.expect("it comes");
        if event["type"] == "wiki.said" || event["type"] == "wiki.receipt" {
            return event;
        }
    }
}

#[tokio::test]
async fn who_wrote_it_hears_once_in_the_low_lane_and_nobody_else_does() {
    let world = World::up(Deployment::embedded(), &[]).await;
    let (ada, ben, eve) = (world.token("ada").await, world.token("ben").await, world.token("eve").await);
    let (mut author, mut other) = (world.lobby(&ada).await, world.lobby(&eve).await);
    world.publish(&ada, "one").await;
    for reader in [&mut author, &mut other] {
        assert_eq!(next(reader).await["id"], "one");
    }
    let position = other.last_id().expect("a position").to_owned();
    for _ in 0..2 {
        assert_eq!(world.say(&ben, "delivered", ("event", "one")).await.json(), json!({"kept": true}));
    }
    let told = next(&mut author).await;
    assert_eq!((&told["type"], &told["lane"]), (&json!("wiki.receipt"), &json!("low")));
    let data = &told["data"];
    assert_eq!((&data["user_id"], &data["kind"], &data["event"]), (&json!("ben"), &json!("delivered"), &json!("one")));
    let mut socket = Socket::open(&world.process.url("/v1/ws"), Some(&ben)).await.expect("101");
    socket
        .say(&json!({"type": "receipt", "channel": "room:lobby", "kind": "read", "position": position, "id": 7}))
        .await;
    assert_eq!(socket.of("ok").await["id"], 7);
    let told = next(&mut author).await;
    assert_eq!((&told["data"]["kind"], &told["data"]["event"]), (&json!("read"), &json!("")), "{told}");
    assert!(told["data"]["position"].as_str().is_some_and(|position| !position.is_empty()), "{told}");
    socket.say(&json!({"type": "receipt", "channel": "room:lobby", "kind": "read", "event": "never", "id": 8})).await;
    assert_eq!(socket.of("error").await["problem"], "urn:tidegate:problem:not-found");

    world.publish(&ada, "two").await;
    assert_eq!(next(&mut author).await["id"], "two", "the repeat was told to nobody");
    assert_eq!(next(&mut other).await["id"], "two", "others hear nothing of it");
    let seen = world.seen(&eve, "one").await;
    assert_eq!(
        (&seen["delivered"], &seen["read"], &seen["receipts"][0]["user_id"]),
        (&json!(1), &json!(1), &json!("ben"))
    );
    let url = world.process.url("/v1/receipts?channel=room:lobby&user=ben");
    let standing = client::ask(Method::GET, &url, Some(&ben), None).await.json();
    let unseen: Vec<&Value> = standing["unseen"].as_array().expect("a list").iter().map(|event| &event["id"]).collect();
    assert_eq!(unseen, ["two"], "{standing}");
    let position = standing["read"].as_str().expect("a position");
    let url = world.process.url(&format!("/v1/events?channel=room:lobby&after={position}"));
    let page = client::ask(Method::GET, &url, Some(&ben), None).await.json();
    let said = page["events"].as_array().expect("events").iter().map(|one| &one["event"]);
    let said: Vec<&Value> = said.filter(|event| event["type"] == "wiki.said").map(|event| &event["id"]).collect();
    assert_eq!(said, ["two"], "the position is one of the channel: {page}");
}

#[tokio::test]
async fn who_hides_is_seen_by_nobody_and_what_they_said_is_theirs() {
    let world = World::up(Deployment::embedded(), &[]).await;
    let (ada, ben) = (world.token("ada").await, world.token("ben").await);
    let mut author = world.lobby(&ada).await;
    let hide = json!({"receipts": "hidden"});
    let hidden = client::ask(Method::PUT, &world.process.url("/v1/preferences"), Some(&ben), Some(&hide)).await;
    assert_eq!((hidden.status, hidden.json()), (StatusCode::OK, hide));
    for id in ["one", "two"] {
        world.publish(&ada, id).await;
        assert_eq!(next(&mut author).await["id"], id);
        assert_eq!(world.say(&ben, "read", ("event", id)).await.status, StatusCode::OK);
    }
    world.publish(&ada, "three").await;
    assert_eq!(next(&mut author).await["id"], "three", "nobody is told");
    assert_eq!(world.seen(&ada, "one").await["receipts"], json!([]));
    let own = world.seen(&ben, "one").await;
    assert_eq!((&own["read"], &own["receipts"][0]["user_id"]), (&json!(0), &json!("ben")));
}

#[tokio::test]
async fn what_somebody_may_not_see_is_as_if_it_had_never_been() {
    let deployment = Deployment::embedded();
    let files = deployment.path("notes");
    std::fs::create_dir(&files).expect("a directory");
    let record = |name: &str, fields: &[&str]| {
        let fields: Vec<Value> =
            fields.iter().map(|field| json!({"name": field, "type": "string", "default": ""})).collect();
        json!({"type": "record", "name": name, "namespace": "note", "fields": fields}).to_string()
    };
    let catalogue = "name: notes\nchannels:\n  note: {subscribe: \"claims.sub != null\", publish: \"claims.sub != null\", receipts: note.receipt}\n\
        types:\n  note.made: {schema: made.avsc, channel: note, only_users: \"payload.to\"}\n  \
        note.receipt: {schema: receipt.avsc, channel: note, lane: low, only_users: \"payload.author_id\"}\n";
    for (name, text) in [
        ("catalogue.yaml", catalogue.to_owned()),
        ("made.avsc", record("Made", &["to"])),
        ("receipt.avsc", record("Receipt", &["user_id", "kind", "event", "author_id"])),
    ] {
        std::fs::write(files.join(name), text).expect("written");
    }
    let flag = files.display().to_string();
    let world = World::up(deployment, &[("--catalogue", &flag)]).await;
    let (ada, ben, eve) = (world.token("ada").await, world.token("ben").await, world.token("eve").await);
    let made = json!({
        "specversion": "1.0", "id": "n1", "source": "/tests", "type": "note.made", "subject": "note:1",
        "datacontenttype": "application/json", "data": {"to": "ben"},
    });
    client::publish(&world.process.url(""), &ada, &made).await;
    let url = world.process.url("/v1/receipts");
    let body = |event: &str| json!({"channel": "note:1", "kind": "read", "event": event});
    let kept = until(WITHIN, || async {
        let answer = client::ask(Method::POST, &url, Some(&ben), Some(&body("n1"))).await;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(answer.text) }
    });
    kept.await.expect("who may see it has it");
    let never = client::ask(Method::POST, &url, Some(&eve), Some(&body("never"))).await;
    let withheld = client::ask(Method::POST, &url, Some(&eve), Some(&body("n1"))).await;
    assert_eq!((withheld.status, &withheld.text), (StatusCode::NOT_FOUND, &never.text));
    let asked = client::ask(Method::GET, &format!("{url}?channel=note:1&event=n1"), Some(&eve), None).await;
    assert_eq!((asked.status, &asked.text), (StatusCode::NOT_FOUND, &never.text));
}

#[tokio::test]
async fn what_a_users_devices_have_seen_together_is_asked_for() {
    let world = World::up(Deployment::embedded(), &[]).await;
    let (ada, ben) = (world.token("ada").await, world.token("ben").await);
    let mut reader = world.lobby(&ben).await;
    let mut ids = Vec::new();
    for id in ["one", "two", "three"] {
        world.publish(&ada, id).await;
        assert_eq!(next(&mut reader).await["id"], id);
        ids.push(reader.last_id().expect("a position").to_owned());
    }
    let acks = world.process.url("/v1/acks");
    for (device, id) in [("phone", &ids[1]), ("desk", &ids[0])] {
        let body = json!({"id": id, "device": device, "channels": ["room:lobby"]});
        let answer = client::ask(Method::POST, &acks, Some(&ben), Some(&body)).await;
        assert_eq!(answer.json(), json!({"stored": true}));
    }
    let ask = async |token: &str, query: &str| {
        client::ask(Method::GET, &format!("{acks}?channel=room:lobby{query}"), Some(token), None).await
    };
    let own = ask(&ben, "").await.json();
    assert_eq!(own["cursors"].as_array().map(Vec::len), Some(2));
    let seen = own["seen"].as_str().expect("a position");
    let url = world.process.url(&format!("/v1/events?channel=room:lobby&after={seen}"));
    let page = client::ask(Method::GET, &url, Some(&ben), None).await.json();
    let left = page["events"].as_array().expect("events").iter().map(|one| &one["event"]);
    let left: Vec<&Value> = left.filter(|event| event["type"] == "wiki.said").map(|event| &event["id"]).collect();
    assert_eq!(left, ["three"]);
    let refused = ask(&ada, "&user=ben").await;
    assert_eq!((refused.status, refused.slug().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    let admin = world.deployment.token("root", &["tidegate-admin"]).await;
    assert_eq!(ask(&admin, "&user=ben").await.json()["seen"], own["seen"]);
    assert_eq!(ask(&admin, "&user=nobody").await.json(), json!({"cursors": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_process_loses_no_receipt_that_was_answered() {
    let mut world = World::up(Deployment::embedded(), &[]).await;
    let said = Saying::begin(&world).await;
    for round in 1..=2 {
        said.so_many(round * BEFORE_A_KILL).await;
        world.process.kill_and_restart().await;
        world.process.ready().await;
    }
    said.all_is_there(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_process_and_of_the_store_lose_no_receipt_that_was_answered() {
    let (Some(services), Some(_)) = (Services::find("receipts"), services::cql("receipts")) else { return };
    let cassandra = OwnService::cassandra().await;
    let mut world = World::up(Deployment::on(&services), &[("--cql", &cassandra.address)]).await;
    let said = Saying::begin(&world).await;
    said.so_many(BEFORE_A_KILL).await;
    world.process.kill_and_restart().await;
    world.process.ready().await;
    said.so_many(2 * BEFORE_A_KILL).await;
    cassandra.kill().await;
    cassandra.start().await;
    said.so_many(3 * BEFORE_A_KILL).await;
    world.process.kill_and_restart().await;
    world.process.ready().await;
    said.all_is_there(&world).await;
}

/// (who, what, of which event).
type Words = BTreeSet<(String, &'static str, String)>;

/// Everybody says of every event first that it came, and then that it was read, each word until it is answered, and never again.
struct Saying {
    answered: Arc<Mutex<Words>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    author: String,
}

impl Saying {
    async fn begin(world: &World) -> Self {
        let author = world.token("ada").await;
        for event in 0..EVENTS {
            world.publish(&author, &event.to_string()).await;
        }
        let (answered, url) = (Arc::new(Mutex::new(Words::new())), world.process.url("/v1/receipts"));
        let mut tasks = Vec::new();
        for user in READERS {
            let (token, answered, url) = (world.token(user).await, answered.clone(), url.clone());
            tasks.push(tokio::spawn(async move {
                for (event, kind) in (0..EVENTS).flat_map(|event| ["delivered", "read"].map(|kind| (event, kind))) {
                    let event = event.to_string();
                    insist(&url, &token, kind, &event).await;
                    answered.lock().expect("no panic").insert((user.to_owned(), kind, event));
                }
            }));
        }
        Self { answered, tasks, author }
    }

    /// Returns once so many words were answered.
    async fn so_many(&self, words: usize) {
        let said = until(WITHIN, || async {
            let answered = self.answered.lock().expect("no panic").len();
            if answered >= words { Ok(()) } else { Err(format!("{answered} of {words}")) }
        });
        said.await.expect("they are answered");
    }

    /// What was answered is what is there, and was told to the author, each word once.
    async fn all_is_there(self, world: &World) {
        for task in self.tasks {
            task.await.expect("everything was said");
        }
        let answered = self.answered.lock().expect("no panic").clone();
        assert_eq!(answered.len(), READERS.len() * EVENTS * 2);
        let mut kept = Words::new();
        for event in (0..EVENTS).map(|event| event.to_string()) {
            let seen = world.seen(&self.author, &event).await;
            assert_eq!((&seen["delivered"], &seen["read"]), (&json!(READERS.len()), &json!(READERS.len())), "{seen}");
            for receipt in seen["receipts"].as_array().expect("a list") {
                let user = receipt["user_id"].as_str().expect("a name");
                let said = [("delivered", "delivered_at"), ("read", "read_at")].into_iter();
                let said = said.filter(|(_, at)| receipt[at].is_string());
                kept.extend(said.map(|(kind, _)| (user.to_owned(), kind, event.clone())));
            }
        }
        assert_eq!(kept, answered);
        let url = world.process.url("/v1/events?channel=room:lobby&after=earliest&limit=1000");
        let told = until(WITHIN, || async {
            let page = client::ask(Method::GET, &url, Some(&self.author), None).await.json();
            let told = told(&page);
            if told == answered { Ok(()) } else { Err(format!("{} of {}", told.len(), answered.len())) }
        });
        told.await.expect("the author heard every word");
    }
}

/// Says it until it is answered with 200.
async fn insist(url: &str, token: &str, kind: &str, event: &str) {
    let until = Instant::now() + WITHIN;
    loop {
        let answer = say(url, token, kind, ("event", event)).await;
        match &answer {
            Ok(answer) if answer.status == StatusCode::OK => return,
            Ok(_) | Err(_) if Instant::now() < until => tokio::time::sleep(PACE).await,
            Ok(answer) => panic!("{kind} {event}: {} {}", answer.status, answer.text),
            Err(error) => panic!("{kind} {event}: {error}"),
        }
    }
}

/// What a page says of receipts; a word that was told twice fails.
fn told(page: &Value) -> Words {
    let mut words = Words::new();
    for event in page["events"].as_array().expect("events").iter().map(|one| &one["event"]) {
        let text = |name: &str| event["data"][name].as_str().expect("a text").to_owned();
        if event["type"] == "wiki.receipt" {
            let kind = if event["data"]["kind"] == "read" { "read" } else { "delivered" };
            let word = (text("user_id"), kind, text("event"));
            assert!(words.insert(word.clone()), "{word:?} was told twice");
        }
    }
    words
}
