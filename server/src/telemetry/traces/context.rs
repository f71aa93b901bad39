//! Where a span is among others: the ids of its trace and its own, as W3C trace context has them.

use std::fmt;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Bytes of `tracestate` that are passed on: as many as the specification asks for. A longer one is left out, because a WebSocket
/// keeps it.
const TRACE_STATE_BYTES_MAX: usize = 512;

/// Identifies a span, to begin others below it.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceContext(pub(super) SpanContext);

impl TraceContext {
    /// The span that the headers `traceparent` and `tracestate` name, if they are valid.
    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Self> {
        // Most requests have none.
        headers.get("traceparent")?;
        let extracted = TraceContextPropagator::new()
            .extract_with_context(&opentelemetry::Context::new(), &Headers(headers));
        let context = extracted.span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }

    /// The span that other nodes identify by these bytes: the id of the trace, its own, the flags.
    pub fn from_bytes(bytes: &[u8; 25]) -> Option<Self> {
        let (trace, rest) = bytes.split_first_chunk::<16>()?;
        let (span, flags) = rest.split_first_chunk::<8>()?;
        let (trace, span) = (TraceId::from_bytes(*trace), SpanId::from_bytes(*span));
        let context = SpanContext::new(trace, span, TraceFlags::new(*flags.first()?), true, TraceState::NONE);
        context.is_valid().then_some(Self(context))
    }

    /// These bytes.
    pub fn to_bytes(&self) -> [u8; 25] {
        let mut bytes = [0; 25];
        bytes[..16].copy_from_slice(&self.0.trace_id().to_bytes());
        bytes[16..24].copy_from_slice(&self.0.span_id().to_bytes());
        bytes[24] = self.0.trace_flags().to_u8();
        bytes
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    /// The id of the trace, in hexadecimal digits.
    pub fn trace_id(&self) -> impl fmt::Display {
        self.0.trace_id()
    }

    /// The id of the span, in hexadecimal digits.
    pub fn span_id(&self) -> impl fmt::Display {
        self.0.span_id()
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.to_str().ok()?;
        (name != "tracestate" || value.len() <= TRACE_STATE_BYTES_MAX).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let pairs = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), value.parse().expect("a header's value"))
        });
        TraceContext::of_headers(&pairs.collect())
    }

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_ids_are_those_of_the_header() {
        let context = of(&[("traceparent", PARENT), ("tracestate", "a=b")]).expect("valid");
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert_eq!(context.0.trace_state().header(), "a=b");
        let again = TraceContext::from_bytes(&context.to_bytes()).expect("valid");
        assert_eq!(again.to_bytes(), context.to_bytes());
        assert_eq!(TraceContext::from_bytes(&[0; 25]), None);
    }

    #[test]
    fn a_long_tracestate_is_left_out_and_an_invalid_traceparent_is_none() {
        let long = format!("a={}", "b".repeat(512));
        let context = of(&[("traceparent", PARENT), ("tracestate", &long)]).expect("valid");
        assert_eq!(context.0.trace_state().header(), "");
        for invalid in ["", "00-0-0-0", &PARENT.replace("4bf9", "xxxx"), &PARENT.to_uppercase()] {
            assert_eq!(of(&[("traceparent", invalid)]), None, "{invalid}");
        }
    }
}
