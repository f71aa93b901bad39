//! Traces: what happens to a request or a join, as spans that are sent to a collector by OTLP (`telemetry.traces`).
//!
//! A span begins where its work does, as a child of another one or of what a client's headers name, and ends when it is dropped.
//! Spans that have ended wait in a bounded queue, from which a task of its own sends them: nothing waits for the collector.
//! Without traces every span is empty: it costs a comparison, no allocation and no look at the clock.

mod span_name;

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod collector_error;
#[cfg(feature = "otel")]
mod context;
#[cfg(feature = "otel")]
mod exporter;
#[cfg(feature = "otel")]
mod grpc_collector;
#[cfg(feature = "otel")]
mod http_collector;
#[cfg(feature = "otel")]
mod queue;
#[cfg(feature = "otel")]
mod recorder;
#[cfg(feature = "otel")]
mod sampler;
#[cfg(feature = "otel")]
mod sender;
#[cfg(feature = "otel")]
mod span;

#[cfg(not(feature = "otel"))]
pub use self::absent::{NoTraceContext as TraceContext, NoTraceSpan as TraceSpan, NoTraces as Traces, check};
#[cfg(feature = "otel")]
pub use self::context::TraceContext;
#[cfg(feature = "otel")]
pub use self::exporter::check;
#[cfg(feature = "otel")]
pub use self::recorder::Traces;
#[cfg(feature = "otel")]
pub use self::span::TraceSpan;
pub use self::span_name::SpanName;

use std::fmt;
use std::sync::Arc;

use super::export_status::ExportStatus;
use super::span_metrics::SpanMetrics;

/// Reports that spans could not be sent, and why.
pub type ReportTraces = Arc<dyn Fn(fmt::Arguments<'_>) + Send + Sync>;

/// Where it is counted, noted and reported how sending spans goes.
type SpanResults<'a> = (&'a SpanMetrics, &'a Arc<ExportStatus>, ReportTraces);

/// The attribute of the tenant that a span belongs to, as in log lines.
pub const TENANT: &str = "external_id";

/// The attribute of a topic.
pub const TOPIC: &str = "messaging.destination.name";
