//! W3C trace context of an event: a span only where its producer samples, and the context that goes on with the record.
//! Source: W3C Trace Context, section 3.2 (version 00).

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, trace};
use schemas::event::Attributes;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of an event whose producer samples, else none. The event's `traceparent` becomes the span's, where a tracer
/// is there to make one; a malformed one is dropped.
pub(crate) fn event_span(event: &mut Attributes) -> Span {
    let Some(parent) = event
        .traceparent
        .take_if(|text| remote(text).is_none())
        .map_or_else(|| event.traceparent.as_deref().and_then(remote), |_malformed| None)
    else {
        return Span::none();
    };
    if !parent.is_sampled() {
        return Span::none();
    }
    let span = tracing::info_span!(
        "ingest",
        otel.kind = "producer",
        messaging.destination.name = event.channel.as_str(),
        cloudevents.event_id = event.id.as_str(),
        cloudevents.event_type = event.event_type.as_str(),
    );
    if span.set_parent(Context::new().with_remote_span_context(parent)).is_ok() {
        let own = trace::TraceContextExt::span(&span.context()).span_context().clone();
        event.traceparent = own.is_valid().then(|| text_of(&own)).or_else(|| event.traceparent.take());
    }
    span
}

fn remote(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let shape = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    if !shape || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags & TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

fn text_of(context: &SpanContext) -> String {
    let sampled = u8::from(context.is_sampled());
    format!("00-{}-{}-{sampled:02x}", context.trace_id(), context.span_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_its_own_text() {
        let context = remote(SAMPLED).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(text_of(&context), SAMPLED);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for text in ["", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", zero, "00-x-y-01"] {
            assert_eq!(remote(text), None, "{text}");
        }
        assert_eq!(remote(&format!("{SAMPLED}-more")), None);
    }
}
