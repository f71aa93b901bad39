//! Sends spans to the collector, many at once.
//!
//! A request that fails loses its spans, and the next one waits longer, so that a collector that returns is not flooded; meanwhile
//! spans wait in the queue, and those that find no room there are dropped. When the server stops, what waits is sent within two seconds.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use settings::format_duration;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::collector::Collector;
use super::queue::EndedSpans;
use super::{ReportTraces, SpanResults};
use crate::telemetry::export_status::ExportStatus;
use crate::telemetry::intervals::{Intervals, LAST_TIMEOUT};
use crate::telemetry::shown_address::shown;
use crate::telemetry::span_metrics::{DroppedSpans, SpanMetrics};

/// Sends the spans of one server.
pub(super) struct SpanSender {
    collector: Collector,
    /// What all spans have in common.
    resource: ResourceAttributesWithSchema,
    ended: EndedSpans,
    /// The address, without what may be secret in it.
    target: String,
    timeout: Duration,
    batch_max: NonZeroUsize,
    interval: Duration,
    intervals: Intervals,
    metrics: SpanMetrics,
    status: Arc<ExportStatus>,
    report: ReportTraces,
    /// Spans in the present request.
    under_way: u64,
    /// Whether the collector rejected some of the spans in the last request that it accepted.
    is_rejecting: bool,
}

impl SpanSender {
    pub(super) fn new(
        settings: &settings::Traces,
        collector: Collector,
        resource: ResourceAttributesWithSchema,
        ended: EndedSpans,
        (metrics, status, report): SpanResults<'_>,
    ) -> Self {
        let target = shown(&settings.target());
        info!("Sending traces to {target} every {}", format_duration(settings.interval));
        Self {
            collector,
            resource,
            ended,
            target,
            timeout: settings.timeout,
            batch_max: settings.batch_spans.min(settings.queue_spans),
            interval: settings.interval,
            intervals: Intervals::new(settings.interval, settings.max_interval),
            metrics: metrics.clone(),
            status: Arc::clone(status),
            report,
            under_way: 0,
            is_rejecting: false,
        }
    }

    /// Sends spans until `stop`, and what waits then, as far as the collector takes it in time.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let overdue = async {
            stop.cancelled().await;
            sleep(LAST_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            () = self.send_all(&stop) => return,
            () = overdue => {}
        }
        let spans = self.under_way + self.ended.len() as u64;
        self.metrics.count_dropped(DroppedSpans::Stopped, spans);
        self.report(format_args!("{spans} spans were not sent before the stop"));
    }

    async fn send_all(&mut self, stop: &CancellationToken) {
        let mut batch = Vec::new();
        while stop.run_until_cancelled(self.next_batch(&mut batch)).await.is_some() {
            self.send(std::mem::take(&mut batch)).await;
        }
        self.send_rest(batch).await;
    }

    /// Fills `batch` with at least one span. It is full, or its first span has waited for the interval. After a failure it takes
    /// what has come during the longer wait.
    async fn next_batch(&mut self, batch: &mut Vec<SpanData>) {
        let (limit, has_failed) = (self.batch_max.get(), self.intervals.has_failed());
        if has_failed {
            sleep(self.intervals.next()).await;
        }
        self.ended.receive(batch, limit).await;
        let due = Instant::now() + self.interval;
        while batch.len() < limit && !has_failed {
            tokio::select! {
                biased;
                () = self.ended.receive(batch, limit) => {}
                () = sleep_until(due) => return,
            }
        }
    }

    /// Sends one batch.
    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        self.under_way = spans;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let sent = self.collector.send(&request, self.timeout).await;
        self.under_way = 0;
        let error = match sent {
            Ok(response) => return self.accepted(spans, response.partial_success),
            Err(error) => error,
        };
        self.metrics.count_dropped(DroppedSpans::RequestFailed, spans);
        self.status.note_error(error.to_string());
        self.status.note_failure();
        let is_first = !self.intervals.has_failed();
        self.intervals.failed();
        // The spans of further failures are counted; the log has the first one, and the end.
        if is_first {
            let next = format_duration(self.intervals.next());
            self.report(format_args!("{error}. The next attempt follows in {next}"));
        }
    }

    /// Notes that the collector has accepted a request, and how many of its spans it has rejected nevertheless.
    fn accepted(&mut self, spans: u64, partly: Option<ExportTracePartialSuccess>) {
        self.status.note_success();
        if let Some(failures) = self.intervals.succeeded() {
            info!("Traces are sent again, after {failures} failures");
        }
        let partly = partly.unwrap_or_default();
        let rejected = u64::try_from(partly.rejected_spans).unwrap_or_default().min(spans);
        let was_rejecting = std::mem::replace(&mut self.is_rejecting, rejected > 0);
        if self.is_rejecting && !was_rejecting {
            let why = &partly.error_message;
            self.report(format_args!("the collector rejected {rejected} of {spans} spans: {why}"));
        }
        self.metrics.count_sent(spans - rejected);
        self.metrics.count_dropped(DroppedSpans::Rejected, rejected);
    }

    /// Sends `batch` and all that waits.
    async fn send_rest(&mut self, mut batch: Vec<SpanData>) {
        loop {
            self.ended.receive_waiting(&mut batch, self.batch_max.get());
            if batch.is_empty() {
                return;
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    fn report(&self, why: std::fmt::Arguments<'_>) {
        (self.report)(format_args!("Traces could not be sent to {}: {why}", self.target));
    }
}
