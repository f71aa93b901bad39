//! The request that a log line belongs to: its id, the address of its client, and its trace.
//!
//! A WebSocket keeps the context of its handshake, so that its lines are found by the id its client was given.
//! The context is not made the current span: entering a span at every wake-up would cost each delivery more than
//! its write does. A line about a connection names it instead: `debug!(parent: &context.span(), …)`, which costs
//! nothing unless the line is written.

use std::net::IpAddr;

use tracing::field::Empty;
use tracing::{Span, error_span};

use super::traces::TraceContext;

/// The field of a request's span that holds why it was refused.
pub const ERROR_CODE: &str = "error_code";

/// A request's id, its client's address, and its span if there are traces.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestContext {
    request_id: Box<str>,
    client_address: IpAddr,
    /// Boxed, because each WebSocket has one.
    trace: Option<Box<TraceContext>>,
}

impl RequestContext {
    /// The context of the request with this id, from this address.
    pub fn new(request_id: &str, client_address: IpAddr) -> Self {
        Self { request_id: request_id.into(), client_address, trace: None }
    }

    /// The same, in a trace.
    #[must_use]
    pub fn in_trace(self, trace: Option<TraceContext>) -> Self {
        Self { trace: trace.map(Box::new), ..self }
    }

    /// The address of the client.
    pub fn client_address(&self) -> IpAddr {
        self.client_address
    }

    /// The span of the request.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// A span with the fields `request_id` and `client_address`, with traces `trace_id` and `span_id`, and empty fields `error_code` and `reason` that a
    /// refusal records.
    pub fn span(&self) -> Span {
        // Of the highest level, because a span below the log's level would be missing from its lines.
        error_span!(
            "request",
            request_id = &*self.request_id,
            client_address = %self.client_address,
            trace_id = self.trace().map(|trace| display(trace.trace_id())),
            span_id = self.trace().map(|trace| display(trace.span_id())),
            error_code = Empty,
            reason = Empty
        )
    }
}
