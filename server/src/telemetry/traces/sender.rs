//! Sends spans to the collector, many at once.
//!
//! A request that fails loses its spans, and the next one waits longer, so that a collector that returns is not flooded; meanwhile
//! spans wait in the queue, and those that find no room there are dropped. When the server stops, what waits is sent within two seconds.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use settings::{format_duration, redacted_address};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::collector_client::LastFailure;
use super::{SpanCounters, SpanResults};
use crate::telemetry::export_status::ExportStatus;
use crate::telemetry::intervals::Intervals;

/// How long the last requests may take, which a stop waits for.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends the spans of one server.
pub(super) struct SpanSender {
    exporter: SpanExporter,
    failure: LastFailure,
    ended: mpsc::Receiver<SpanData>,
    /// The address, without what may be secret in it.
    target: String,
    timeout: Duration,
    batch_max: NonZeroUsize,
    interval: Duration,
    intervals: Intervals,
    counters: SpanCounters,
    status: Arc<ExportStatus>,
    /// Spans in the present request.
    under_way: u64,
}

impl SpanSender {
    pub(super) fn new(
        settings: &settings::Traces,
        (mut exporter, failure): (SpanExporter, LastFailure),
        resource: &Resource,
        ended: mpsc::Receiver<SpanData>,
        (counters, status): SpanResults<'_>,
    ) -> Self {
        exporter.set_resource(resource);
        let target =
            redacted_address(&settings.target()).unwrap_or_else(|| "an address that is not shown".into());
        info!("Sending traces to {target} every {}", format_duration(settings.interval));
        Self {
            exporter,
            failure,
            ended,
            target,
            timeout: settings.timeout,
            batch_max: settings.batch_spans.min(settings.queue_spans),
            interval: settings.interval,
            intervals: Intervals::new(settings.interval, settings.max_interval),
            counters,
            status: Arc::clone(status),
            under_way: 0,
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
        self.counters.dropped.increment(self.under_way + self.ended.len() as u64);
        warn!("Traces could not be sent to {} before the stop", self.target);
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
        self.receive(batch).await;
        let due = Instant::now() + self.interval;
        while batch.len() < limit && !has_failed {
            tokio::select! {
                biased;
                () = self.receive(batch) => {}
                () = sleep_until(due) => return,
            }
        }
    }

    /// Adds those that wait to `batch`, at least one.
    async fn receive(&mut self, batch: &mut Vec<SpanData>) {
        let free = self.batch_max.get() - batch.len();
        if self.ended.recv_many(batch, free).await == 0 {
            // Nothing ends spans any more. The stop ends this.
            std::future::pending::<()>().await;
        }
    }

    /// Sends one batch.
    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        self.under_way = spans;
        let result = timeout(self.timeout, self.exporter.export(batch)).await;
        self.under_way = 0;
        let why = match result {
            Ok(Ok(())) => {
                self.counters.sent.increment(spans);
                self.status.note_success();
                if let Some(failures) = self.intervals.succeeded() {
                    info!("Traces are sent again, after {failures} failures");
                }
                return;
            }
            Ok(Err(error)) => self.failure.take().unwrap_or_else(|| error.to_string()),
            Err(_elapsed) => "there was no answer in time".to_owned(),
        };
        self.counters.dropped.increment(spans);
        self.status.note_error(why.clone());
        self.status.note_failure();
        let is_first = !self.intervals.has_failed();
        self.intervals.failed();
        // The spans of further failures are counted; the log has the first one, and the end.
        if is_first {
            let next = format_duration(self.intervals.next());
            warn!(
                spans,
                "Traces could not be sent to {}: {why}. The next attempt follows in {next}", self.target
            );
        }
    }

    /// Sends `batch` and all that waits.
    async fn send_rest(&mut self, mut batch: Vec<SpanData>) {
        let limit = self.batch_max.get();
        loop {
            while batch.len() < limit
                && let Ok(span) = self.ended.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }
}
