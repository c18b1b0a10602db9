//! What the Confluent client does beyond the laws: GUIDs, one request for many, short memory for what is missing, and no hanging.
//!
//! The registries that run here know no GUIDs, so a small one stands in, over a real socket.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use journal::registry::confluent::ConfluentRegistry;
use journal::{LookupError, RegisterError, Registry};
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const GUID: [u8; 16] = [0xcc, 0x0e, 0x0e, 0x0e, 0x53, 0xc1, 0x4a, 0x1a, 0x8f, 0x1a, 0, 0, 0, 0, 0, 1];
const EDIT: &str = r#"{"schema":"{\"type\":\"record\",\"name\":\"Edit\",\"namespace\":\"wiki\",\"fields\":[]}"}"#;

/// A registry that counts what it is asked, and holds its answers back until it may give them.
struct Small {
    url: String,
    asked: AtomicUsize,
    gate: Notify,
}

impl Small {
    async fn start(holds_back: bool) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let small = Arc::new(Self { url, asked: AtomicUsize::new(0), gate: Notify::new() });
        let serving = small.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(socket, holds_back).await });
            }
        });
        small
    }

    async fn serve(&self, socket: TcpStream, holds_back: bool) {
        let mut socket = BufReader::new(socket);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let start = head.len();
                if socket.read_line(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
                if let Some(said) = head[start..].to_ascii_lowercase().strip_prefix("content-length:") {
                    length = said.trim().parse().unwrap();
                }
            }
            socket.read_exact(&mut vec![0; length]).await.unwrap();
            self.asked.fetch_add(1, Ordering::SeqCst);
            if holds_back {
                self.gate.notified().await;
            }
            let path = head.split_whitespace().nth(1).unwrap();
            let (status, body) = answer(path);
            let text = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            socket.write_all(text.as_bytes()).await.unwrap();
        }
    }

    fn registry(&self) -> ConfluentRegistry {
        ConfluentRegistry::open(&self.url).unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(path: &str) -> (u16, &'static str) {
    match path.split('?').next().unwrap() {
        "/schemas/guids/cc0e0e0e-53c1-4a1a-8f1a-000000000001" | "/schemas/ids/1" => (200, EDIT),
        "/schemas/ids/2" => (200, r#"{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}"#),
        "/schemas/ids/3" => (200, r#"{"schema":"{\"type\":\"recordx\"}"}"#),
        "/schemas/ids/4" => {
            (200, r#"{"schema":"\"string\"","references":[{"name":"wiki.Page","subject":"pages","version":1}]}"#)
        }
        "/schemas/ids/5" => (500, r#"{"error_code":50001,"message":"the store is away"}"#),
        "/schemas/ids/6" => (200, "<html>a proxy's page</html>"),
        "/subjects/denied/versions" => (403, r#"{"error_code":40301,"message":"denied"}"#),
        "/config/denied" => (200, r#"{"compatibility":"BACKWARD"}"#),
        _ => (404, r#"{"error_code":40403,"message":"Schema not found"}"#),
    }
}

#[tokio::test]
async fn finds_a_schema_by_its_guid() {
    let small = Small::start(false).await;
    let found = small.registry().schema(SchemaRef::Guid(GUID)).await.unwrap();
    assert_eq!(found.full_name().as_deref(), Some("wiki.Edit"));
    let unknown = small.registry().schema(SchemaRef::Guid([7; 16])).await;
    assert_eq!(unknown.err(), Some(LookupError::NotFound));
}

#[tokio::test]
async fn many_who_ask_for_one_schema_share_one_request_for_good() {
    let small = Small::start(true).await;
    let registry = Arc::new(small.registry());
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { registry.schema(SchemaRef::Id(1)).await })
        })
        .collect();
    while small.asked() == 0 {
        tokio::task::yield_now().await;
    }
    small.gate.notify_one();
    for one in asking {
        one.await.unwrap().unwrap();
    }
    registry.schema(SchemaRef::Id(1)).await.unwrap();
    assert_eq!(small.asked(), 1);
}

#[tokio::test]
async fn what_is_missing_is_asked_for_again_soon_but_not_at_once() {
    let small = Small::start(false).await;
    let registry = small.registry();
    for _ in 0..100 {
        assert_eq!(registry.schema(SchemaRef::Id(404)).await.err(), Some(LookupError::NotFound));
    }
    assert!(small.asked() < 5, "asked {} times", small.asked());
    let before = small.asked();
    let again = async {
        while small.asked() == before {
            assert_eq!(registry.schema(SchemaRef::Id(404)).await.err(), Some(LookupError::NotFound));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_millis(700), again).await.expect("within the 800 ms of a retry");
}

#[tokio::test]
async fn tells_what_is_no_avro_schema_from_what_may_come_later() {
    let small = Small::start(false).await;
    let registry = small.registry();
    for id in [2, 3, 4] {
        let answer = registry.schema(SchemaRef::Id(id)).await;
        assert!(matches!(answer, Err(LookupError::Malformed { .. })), "{id}: {answer:?}");
    }
    for id in [5, 6] {
        let answer = registry.schema(SchemaRef::Id(id)).await;
        assert!(matches!(answer, Err(LookupError::Unavailable { .. })), "{id}: {answer:?}");
    }
    let asked = small.asked();
    assert!(registry.schema(SchemaRef::Id(3)).await.is_err());
    assert_eq!(small.asked(), asked, "what can never become a schema is not asked for again");
    let denied = registry.register("denied", &AvroSchema::parse("\"string\"").unwrap()).await;
    assert!(matches!(denied, Err(RegisterError::Unavailable { .. })), "{denied:?}");
}

#[tokio::test]
async fn a_registry_that_is_away_or_hangs_is_unavailable_soon() {
    let hanging = Small::start(true).await;
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [hanging.url.clone(), format!("http://{away}")] {
        let registry = ConfluentRegistry::open(&url).unwrap();
        let (schema, ping) = tokio::join!(registry.schema(SchemaRef::Id(1)), registry.ping());
        assert!(matches!(schema, Err(LookupError::Unavailable { .. })), "{schema:?}");
        assert!(matches!(ping, Err(LookupError::Unavailable { .. })), "{ping:?}");
    }
    // The second of two registries answers for the first.
    let small = Small::start(false).await;
    let both = ConfluentRegistry::open(&format!("http://{away},{}", small.url)).unwrap();
    both.schema(SchemaRef::Id(1)).await.unwrap();
}

#[test]
fn a_url_with_a_password_is_never_shown() {
    let registry = ConfluentRegistry::open("http://user:secret@127.0.0.1:1/path/").unwrap();
    assert!(!format!("{registry:?}").contains("secret"));
    for wrong in ["registry:8081", "http://registry:8081, ", ""] {
        assert!(ConfluentRegistry::open(wrong).is_err(), "{wrong}");
    }
}
