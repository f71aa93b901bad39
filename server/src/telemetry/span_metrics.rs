//! Metrics of spans: how many were sent, and how many were dropped for which reason.

use metrics::{Label, Recorder};

/// Why spans were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DroppedSpans {
    /// As many of their tenant waited as may wait.
    QueueFull,
    /// The request with them failed.
    RequestFailed,
    /// The collector accepted the request and rejected them.
    Rejected,
    /// They were not sent in time before the stop.
    Stopped,
}

impl DroppedSpans {
    const ALL: [Self; 4] = [Self::QueueFull, Self::RequestFailed, Self::Rejected, Self::Stopped];

    fn word(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RequestFailed => "request_failed",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
        }
    }
}

metrics! {
    /// Spans that were sent.
    pub struct SentSpans {
        /// Spans that the collector has accepted (telemetry.traces).
        pub sent: Counter = "realtime_trace_spans_sent_total",
    }
}

metrics! {
    /// Spans that were dropped for one reason; each carries the label `reason`.
    pub struct DroppedSpansCounter {
        /// Spans that were dropped, by reason. queue_full: as many of their tenant waited as may wait (telemetry.traces.queue_spans); request_failed: the request with them failed; rejected: the collector accepted the request and rejected them; stopped: they could not be sent before the server stopped.
        pub dropped: Counter = "realtime_trace_spans_dropped_total",
    }
}

/// Metrics of spans.
#[derive(Debug, Clone)]
pub struct SpanMetrics {
    sent: SentSpans,
    dropped: [DroppedSpansCounter; DroppedSpans::ALL.len()],
}

impl SpanMetrics {
    pub(in crate::telemetry) fn register(recorder: &impl Recorder) -> Self {
        let dropped = DroppedSpans::ALL
            .map(|reason| DroppedSpansCounter::register(recorder, &[Label::new("reason", reason.word())]));
        Self { sent: SentSpans::register(recorder, &[]), dropped }
    }

    /// Counts spans that were sent.
    pub fn count_sent(&self, spans: u64) {
        self.sent.sent.increment(spans);
    }

    /// Counts spans that were dropped.
    pub fn count_dropped(&self, reason: DroppedSpans, spans: u64) {
        self.dropped[reason as usize].dropped.increment(spans);
    }
}
