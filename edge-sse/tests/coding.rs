//! Streams and pages in the coding that was asked for: every piece is readable as soon as it is there.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::io::{Read, Write};

use axum::body::{Body, to_bytes};
use edge_sse::Config;
use futures::StreamExt;
use http::{Request, header};
use support::{World, ask, get};

/// Takes more coded bytes, and says all of the text so far.
type Reader = Box<dyn FnMut(&[u8]) -> String>;

#[tokio::test(start_paused = true)]
async fn a_coded_stream_gives_each_event_when_it_comes() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 1).await;
    let served = world.serve(Config::default()).await;
    for coding in ["gzip", "zstd"] {
        let answer = served.ask(get("channel=wiki:en&rewind=1", &[("accept-encoding", coding)])).await;
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], coding);
        let vary = answer.headers().get_all(header::VARY).iter().any(|value| value == "accept-encoding");
        assert!(vary, "{:?}", answer.headers());
        let mut body = answer.into_body().into_data_stream();
        let mut reader: Reader = match coding {
            "gzip" => {
                let mut gzip = flate2::write::GzDecoder::new(Vec::new());
                Box::new(move |bytes| {
                    gzip.write_all(bytes).unwrap();
                    gzip.flush().unwrap();
                    String::from_utf8(gzip.get_ref().clone()).unwrap()
                })
            }
            _ => {
                let mut zstd = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
                Box::new(move |bytes| {
                    zstd.write_all(bytes).unwrap();
                    zstd.flush().unwrap();
                    String::from_utf8(zstd.get_ref().clone()).unwrap()
                })
            }
        };
        let first = reader(&body.next().await.unwrap().unwrap());
        assert!(first.starts_with("event: tidegate.ready\n") && first.ends_with("\n\n"), "{first}");
        let second = reader(&body.next().await.unwrap().unwrap());
        assert!(second.contains(r#""id":"0""#) && second.ends_with("\n\n"), "{second}");
    }
    let plain = served.ask(get("channel=wiki:en", &[("accept-encoding", "br")])).await;
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
}

#[tokio::test(start_paused = true)]
async fn a_coded_page_is_the_same_page() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 3).await;
    let served = world.serve(Config::default()).await;
    let page = async |coding: &str| {
        let request = Request::get("/v1/events?channel=wiki:en&rewind=3").header("accept-encoding", coding);
        let answer = ask(served.edge.history(), request.body(Body::empty()).unwrap()).await;
        let coded = answer.headers().contains_key(header::CONTENT_ENCODING);
        (coded, to_bytes(answer.into_body(), usize::MAX).await.unwrap())
    };
    let ((coded, gzip), (_, plain)) = (page("gzip").await, page("identity").await);
    assert!(coded);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzip[..]).read_to_string(&mut text).unwrap();
    let events = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["events"].clone();
    assert_eq!(events(&text), events(std::str::from_utf8(&plain).unwrap()));
}
