//! Logs to stderr, metrics for `/metrics`, traces to an OTLP collector where one is configured.
//!
//! Traces are parent-based: a span is exported only where the producer's `traceparent` is sampled, so nothing is traced that
//! nobody asked for. W3C trace context is the propagator.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Config, LogFormat};
use crate::failure::Failure;

/// What the OTLP exporters of every language read.
const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OTLP_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Where the collector takes traces, behind the endpoint's base (OTLP specification).
const OTLP_PATH: &str = "/v1/traces";
/// Histograms of seconds: from half a millisecond to the gap that a dead broker leaves.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// How often histograms are drained; what is recorded between is held in memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The embedded log's store talks much at info; what is configured behind this wins.
const LIBRARIES: &str = "fjall=warn,lsm_tree=warn";

/// Ends what telemetry holds.
#[derive(Debug)]
pub(crate) struct Telemetry {
    tracer: Option<SdkTracerProvider>,
}

/// Logs of a verb that serves nothing: warnings, or what `$RUST_LOG` says.
pub(crate) fn quiet() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::registry().with(stderr(LogFormat::Text).with_filter(filter)).init();
}

impl Telemetry {
    /// Starts logs and traces of a serving process.
    ///
    /// # Errors
    /// The exporter cannot be made.
    pub(crate) fn start(config: &Config) -> Result<Self, Failure> {
        let filter = EnvFilter::try_new(format!("{LIBRARIES},{}", config.log)).map_err(Failure::of)?;
        let tracer = traces_endpoint(config).map(|endpoint| tracer_provider(&endpoint)).transpose()?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let spans = tracer.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer("tidegate")).with_filter(EnvFilter::new("info"))
        });
        let logs = stderr(config.log_format).with_filter(filter);
        tracing_subscriber::registry().with(spans).with(logs).init();
        Ok(Self { tracer })
    }

    /// Hands the last spans over. Blocks until the collector has them or the exporter gives up.
    pub(crate) fn shut_down(self) {
        if let Some(Err(error)) = self.tracer.map(|tracer| tracer.shutdown()) {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

/// Installs the recorder of metrics.
///
/// # Errors
/// One is installed already.
pub(crate) fn metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()
}

/// Drains histograms until `shutdown`, so that an unscraped process does not grow.
pub(crate) async fn metrics_upkeep(metrics: PrometheusHandle, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    // Shutdown first: nothing else ends this.
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => metrics.run_upkeep(),
        }
    }
}

fn stderr<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

fn traces_endpoint(config: &Config) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let base = |url: String| format!("{}{OTLP_PATH}", url.trim_end_matches('/'));
    config
        .otlp_endpoint
        .clone()
        .map(base)
        .or_else(|| set(OTLP_TRACES_ENDPOINT))
        .or_else(|| set(OTLP_ENDPOINT).map(base))
}

fn tracer_provider(endpoint: &str) -> Result<SdkTracerProvider, Failure> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_http().with_endpoint(endpoint).build().map_err(Failure::of)?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
        .with_resource(Resource::builder().with_service_name("tidegate").build())
        .build())
}
