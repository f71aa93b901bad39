//! The queue between what ends spans and the task that sends them.
//!
//! Tenants share it, so that one with many requests leaves room for the spans of others: a tenant may have as many as are left free.
//! Further spans are dropped, and counted.

use std::sync::Arc;
use std::time::Duration;

use hub::Shares;
use opentelemetry::{Context, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::TENANT;
use crate::telemetry::span_metrics::{DroppedSpans, SpanMetrics};

/// What each tenant has in the queue, and what belongs to none.
type SpanShares = Arc<Mutex<Shares<String>>>;

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct SpanQueue {
    ended: mpsc::Sender<SpanData>,
    shares: SpanShares,
    capacity: usize,
    metrics: SpanMetrics,
}

/// Where they come out.
#[derive(Debug)]
pub(super) struct EndedSpans {
    ended: mpsc::Receiver<SpanData>,
    shares: SpanShares,
}

impl SpanQueue {
    /// A queue for at most `capacity` spans, and where they come out.
    pub(super) fn new(capacity: usize, metrics: SpanMetrics) -> (Self, EndedSpans) {
        let ((sender, receiver), shares) = (mpsc::channel(capacity), SpanShares::default());
        let out = EndedSpans { ended: receiver, shares: Arc::clone(&shares) };
        (Self { ended: sender, shares, capacity, metrics }, out)
    }

    fn offer(&self, span: SpanData) {
        if !self.shares.lock().try_take(tenant(&span), 1, self.capacity) {
            return self.metrics.count_dropped(DroppedSpans::QueueFull, 1);
        }
        // All shares together are never more than the capacity, so there is room as long as spans are sent.
        if let Err(error) = self.ended.try_send(span) {
            self.shares.lock().give_back(tenant(&error.into_inner()), 1);
            self.metrics.count_dropped(DroppedSpans::Stopped, 1);
        }
    }
}

impl EndedSpans {
    /// Adds spans that wait to `batch` until it has `limit`, at least one. Waits until there is one.
    pub(super) async fn receive(&mut self, batch: &mut Vec<SpanData>, limit: usize) {
        let before = batch.len();
        if self.ended.recv_many(batch, limit - before).await == 0 {
            // Nothing ends spans any more. The stop ends this.
            std::future::pending::<()>().await;
        }
        self.give_back(&batch[before..]);
    }

    /// Adds spans that wait to `batch` until it has `limit`, if there are any.
    pub(super) fn receive_waiting(&mut self, batch: &mut Vec<SpanData>, limit: usize) {
        let before = batch.len();
        while batch.len() < limit
            && let Ok(span) = self.ended.try_recv()
        {
            batch.push(span);
        }
        self.give_back(&batch[before..]);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.ended.len()
    }

    fn give_back(&self, received: &[SpanData]) {
        let mut shares = self.shares.lock();
        received.iter().for_each(|span| shares.give_back(tenant(span), 1));
    }
}

/// The tenant that a span belongs to; empty if it belongs to none.
fn tenant(span: &SpanData) -> &str {
    let attribute = span.attributes.iter().find(|attribute| attribute.key.as_str() == TENANT);
    match attribute.map(|attribute| &attribute.value) {
        Some(Value::String(tenant)) => tenant.as_str(),
        _none => "",
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.offer(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use metrics::NoopRecorder;
    use opentelemetry::KeyValue;
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[tokio::test]
    async fn one_tenant_leaves_room_for_the_spans_of_another() {
        let (queue, mut out) = SpanQueue::new(12, SpanMetrics::register(&NoopRecorder));
        let tracer = SdkTracerProvider::builder().with_span_processor(queue).build().tracer("");
        let end = |tenant: &str| {
            let mut span = tracer.start("join");
            span.set_attribute(KeyValue::new(TENANT, tenant.to_owned()));
        };
        (0..100).for_each(|_| end("busy"));
        assert_eq!(out.len(), 6, "half of the queue");
        (0..3).for_each(|_| end("quiet"));
        assert_eq!(out.len(), 9);
        let mut batch = Vec::new();
        out.receive(&mut batch, 5).await;
        out.receive_waiting(&mut batch, 100);
        assert_eq!((batch.len(), out.len()), (9, 0));
        (0..100).for_each(|_| end("busy"));
        assert_eq!(out.len(), 6, "what was taken out is free again");
    }
}
