//! The queue between what ends spans and the task that sends them. When it is full, further spans are dropped and counted.

use std::time::Duration;

use metrics::Counter;
use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct SpanQueue {
    ended: mpsc::Sender<SpanData>,
    dropped: Counter,
}

impl SpanQueue {
    /// A queue for at most `spans`, and where they come out.
    pub(super) fn new(spans: usize, dropped: Counter) -> (Self, mpsc::Receiver<SpanData>) {
        let (sender, receiver) = mpsc::channel(spans);
        (Self { ended: sender, dropped }, receiver)
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.ended.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
