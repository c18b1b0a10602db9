//! One process that serves everything, with the catalogue `bench`: numbered events in, streams out.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client;
use crate::deployment::{Deployment, Role};
use crate::process::Process;
use crate::stream::Stream;
use crate::wait::until;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Events of one request.
const BATCH_EVENTS: usize = 20;

/// The process, and who may publish there.
#[derive(Debug)]
pub struct Place {
    /// The process.
    pub process: Process,
    /// Lets publish.
    pub token: String,
    _deployment: Deployment,
}

impl Place {
    /// Starts it with these settings.
    pub async fn open(env: &[(&str, &str)]) -> Self {
        let mut deployment = Deployment::embedded();
        deployment.flag("--catalogue", "bench");
        let mut launch = deployment.launch(Role::Up, "up");
        launch.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = launch.start().await;
        process.ready().await;
        let token = deployment.token("tests", &["publisher"]).await;
        Self { process, token, _deployment: deployment }
    }

    /// Publishes events to one channel, numbered from `first` on, each with so many zeros.
    ///
    /// # Panics
    /// They are not taken.
    pub async fn publish(&self, channel: &str, first: usize, count: usize, bytes: usize) {
        self.publish_texts(channel, first..first + count, |number| format!("{number:0bytes$}")).await;
    }

    /// Publishes numbered events to one channel, each with a text.
    ///
    /// # Panics
    /// They are not taken.
    pub async fn publish_texts(&self, channel: &str, numbers: Range<usize>, text: impl Fn(usize) -> String) {
        let numbers: Vec<_> = numbers.collect();
        for some in numbers.chunks(BATCH_EVENTS) {
            let events: Vec<_> = some.iter().map(|number| tick(channel, *number, &text(*number))).collect();
            let body = json!(events).to_string();
            let request = client::post(&self.process.url(""), Some(&self.token), client::BATCH, body);
            let answer = client::send(request).await;
            assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
        }
    }

    /// Where a channel's stream is.
    #[must_use]
    pub fn url(&self, channel: &str) -> String {
        self.process.url(&format!("/v1/stream?channel={channel}"))
    }

    /// Opens a stream.
    ///
    /// # Panics
    /// It does not begin.
    pub async fn stream(&self, channel: &str) -> Stream {
        let mut stream = Stream::open(&self.url(channel), None, None).await.expect("200");
        assert!(stream.block(WITHIN).await.is("tidegate.ready"));
        stream
    }

    /// Waits until the edge has so many streams.
    ///
    /// # Panics
    /// It does not come to that.
    pub async fn has_streams(&self, count: usize) {
        self.comes_to("tidegate_edge_connections", count).await;
    }

    /// Waits until a figure without labels is this.
    ///
    /// # Panics
    /// It does not come to that.
    pub async fn comes_to(&self, metric: &str, figure: usize) {
        let name = format!("{metric} ");
        let looked = until(WITHIN, || async {
            let text = client::get(&self.process.url("/metrics")).await.text;
            let found = text.lines().find_map(|line| line.strip_prefix(&name));
            if found == Some(&figure.to_string()) { Ok(()) } else { Err(format!("{found:?}")) }
        });
        looked.await.unwrap_or_else(|error| panic!("{metric} {figure}: {error}"));
    }
}

fn tick(channel: &str, number: usize, text: &str) -> Value {
    json!({
        "specversion": "1.0", "id": number.to_string(), "source": "/tests", "type": "bench.tick", "subject": channel,
        "time": "2026-01-02T03:04:05.678Z", "datacontenttype": "application/json", "data": {"d": text},
    })
}

/// The next events are these, and nothing is between them but notices.
///
/// # Panics
/// They are others, or do not come.
pub async fn gets(stream: &mut Stream, numbers: Range<usize>) {
    for number in numbers {
        let event = tokio::time::timeout(WITHIN, stream.event(WITHIN)).await;
        assert_eq!(event.unwrap_or_else(|_| panic!("event {number} does not come"))["id"], json!(number.to_string()));
    }
}
