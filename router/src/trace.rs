//! Trace context from a producer's header to a delivery's (W3C Trace Context).
//!
//! A span is made only where the producer's `traceparent` is sampled; otherwise the header is passed on as it is.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of one routed event, open until the lane has it, and the header of its delivery.
#[derive(Debug)]
pub(crate) struct Traced {
    /// Ends when dropped; none where the producer does not sample.
    pub span: Option<Span>,
    /// The header's value.
    pub traceparent: Option<String>,
}

impl Traced {
    /// Continues a producer's trace.
    pub(crate) fn follow(traceparent: Option<&str>) -> Self {
        let Some(text) = traceparent else { return Self { span: None, traceparent: None } };
        let sampled = parse(text).filter(SpanContext::is_sampled);
        let Some(parent) = sampled else { return Self { span: None, traceparent: Some(text.to_owned()) } };
        let span = tracing::info_span!("route", otel.kind = "producer");
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        let own = span.context().span().span_context().clone();
        let own = own.is_valid().then(|| render(&own));
        Self { span: Some(span), traceparent: Some(own.unwrap_or_else(|| text.to_owned())) }
    }
}

fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}

fn render(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

#[cfg(test)]
mod tests {
    use super::{Traced, parse, render};

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_survives() {
        assert_eq!(parse(SAMPLED).map(|context| render(&context)).as_deref(), Some(SAMPLED));
        for bad in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "nonsense"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_not_sampled_is_passed_on_without_a_span() {
        let unsampled = SAMPLED.replace("-01", "-00");
        let traced = Traced::follow(Some(&unsampled));
        assert!(traced.span.is_none());
        assert_eq!(traced.traceparent, Some(unsampled));
        assert!(Traced::follow(None).traceparent.is_none());
    }
}
