//! One trace spans the producer's header, the router and the edge's write, as an OTLP collector sees it.

use std::time::Duration;

use serde_json::json;
use tests::client::{self, STRUCTURED};
use tests::collector::{Collector, Span};
use tests::deployment::{Deployment, Role};
use tests::kafka;
use tests::process::Process;
use tests::services::Services;
use tests::stream::Stream;
use tests::wait::until;

/// How long spans may take to the collector: exporters wait for a batch.
const EXPORTED_WITHIN: Duration = Duration::from_secs(60);
/// How long the event may take.
const WITHIN: Duration = Duration::from_secs(20);
/// The producer's trace and span.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

async fn start(deployment: &Deployment, role: Role, collector: &Collector) -> Process {
    let mut launch = deployment.launch(role, role.verb());
    launch.env.push(("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.endpoint.clone()));
    let process = launch.start().await;
    process.ready().await;
    process
}

/// From a span up to the producer's own: how many steps, where the chain holds.
fn steps_to_producer(spans: &[Span], from: &Span) -> Option<usize> {
    let mut parent = from.parent.as_str();
    for steps in 1..=spans.len() {
        if parent == SPAN {
            return Some(steps);
        }
        parent = &spans.iter().find(|span| span.id == parent)?.parent;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_the_producers_header_the_router_and_the_edges_write() {
    let Some(services) = Services::find("tracing") else { return };
    let collector = Collector::start().await;
    let deployment = Deployment::on(&services);
    let (ingest, _router, edge) = tokio::join!(
        start(&deployment, Role::Ingest, &collector),
        start(&deployment, Role::Router, &collector),
        start(&deployment, Role::Edge, &collector)
    );
    let token = deployment.token("tests", &["publisher"]).await;
    let mut stream = Stream::open(&edge.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    let body = client::event("traced", &client::edit("Ada")).to_string();
    let request = client::post(&ingest.url(""), Some(&token), STRUCTURED, body);
    let answer = client::send(request.header("traceparent", format!("00-{TRACE}-{SPAN}-01"))).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    assert_eq!(stream.event(WITHIN).await["id"], json!("traced"));

    for topic in ["events.wiki", "delivery.medium"] {
        let records = kafka::read_all(&services, &deployment.topic(topic)).await;
        let of_trace = |value: &String| value.starts_with(&format!("00-{TRACE}-"));
        assert!(records.iter().any(|record| record.headers.get("traceparent").is_some_and(of_trace)), "{topic}");
    }
    let complete = until(EXPORTED_WITHIN, || async {
        let spans = collector.trace(TRACE);
        let chained = |name: &str| {
            let named = spans.iter().filter(|span| span.name == name);
            named.filter_map(|span| steps_to_producer(&spans, span)).max()
        };
        match (chained("ingest"), chained("route"), chained("edge write")) {
            (Some(ingest), Some(router), Some(edge)) if ingest < router && router < edge => Ok(()),
            found => Err(format!("{found:?} in {spans:?}")),
        }
    });
    complete.await.unwrap_or_else(|error| panic!("the trace is not complete: {error}"));
}
