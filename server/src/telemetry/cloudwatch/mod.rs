//! Sends the metrics that the settings choose to Amazon CloudWatch (`telemetry.cloudwatch`).
//!
//! They are read from where `/metrics` reads them, so nothing is counted twice and the parts of the server that count know nothing of
//! it. What was not accepted is sent with the next ones, whose interval grows while requests fail; when the server stops, the last
//! values are sent once.

mod batches;
mod client;
mod connector;
mod growth;
mod percentiles;
mod sample;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::config::SharedHttpClient;
use hub::{MemoryKind, TenantMemory};
use settings::{CloudWatch, format_duration};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::batches::{batches, bytes};
use self::client::{CloudWatchClient, PutError};
use self::growth::{Accepted, Growth};
pub use self::sample::{CloudWatchMetric, MetricsSample};
use super::codes::{Code, Scope};
use super::export_status::ExportStatus;
use super::intervals::LAST_TIMEOUT;
use super::metrics::Metrics;
use super::periodic::{self, PeriodicSender, Schedule};
use super::reports::Reports;

/// Measures what the settings choose.
pub type MeasureMetrics = Arc<dyn Fn(&CloudWatch) -> MetricsSample + Send + Sync>;

/// Sends the metrics of one server.
pub struct CloudWatchExporter {
    measure: MeasureMetrics,
    memory: Arc<TenantMemory>,
    http: SharedHttpClient,
    /// The one of the present settings, once it is needed.
    client: Option<CloudWatchClient>,
    /// The settings before the present ones, once there are some.
    previous: Option<Arc<CloudWatch>>,
    /// What was accepted since they are sent.
    accepted: Accepted,
    /// The reason of the last failure, if there was no success after it. It is reported once.
    failing: Option<String>,
    status: Arc<ExportStatus>,
    metrics: Arc<Metrics>,
    reports: Reports,
}

impl CloudWatchExporter {
    /// Sends what `measure` returns for as long as the settings say so. It is charged to `memory` until it is sent.
    pub fn new(
        measure: MeasureMetrics,
        memory: &Arc<TenantMemory>,
        (status, metrics, reports): (&Arc<ExportStatus>, &Arc<Metrics>, &Reports),
    ) -> Self {
        Self {
            measure,
            memory: Arc::clone(memory),
            http: connector::http_client(),
            client: None,
            previous: None,
            accepted: Accepted::default(),
            failing: None,
            status: Arc::clone(status),
            metrics: Arc::clone(metrics),
            reports: reports.clone(),
        }
    }

    /// Sends them until `stop`, and once more then.
    pub async fn run(self, settings: watch::Receiver<CloudWatch>, stop: CancellationToken) {
        periodic::run(self, settings, stop).await;
    }

    /// Leaves out what metrics counted before they were chosen, which would look as if all of it happened now. Those that were sent with
    /// the `previous` settings are not among them: what they have counted is still to be sent if no request was accepted.
    async fn begin_with_new(&mut self, previous: &CloudWatch, settings: &CloudWatch) {
        let mut new = settings.clone();
        new.metrics.retain(|choice| !previous.enabled || !previous.metrics.contains(choice));
        if let Some(sample) = self.measured(&Arc::new(new)).await {
            self.accepted.begin_with(&sample);
        }
    }

    /// Sends everything that there is to send, in as many requests as needed, each within `limit`. Whether all were accepted.
    async fn send_all(&mut self, settings: &Arc<CloudWatch>, limit: Duration) -> bool {
        let (at, Some(sample)) = (SystemTime::now(), self.measured(settings).await) else { return false };
        self.metrics.node.cloudwatch_left_out.set(sample.left_out.len() as f64);
        let growth = self.accepted.growth(sample);
        // There is one at a time, and no more of it than the settings allow, so it needs no limit, as a page of metrics.
        let _charge = self.memory.charge(MemoryKind::Sending, bytes(&growth, settings));
        for part in batches(growth, settings) {
            self.metrics.node.cloudwatch_requests.increment(1);
            if let Err(error) = self.put(settings, (&part, at), limit).await {
                self.report(&error);
                // The client keeps what it has read, and there may be credentials the next time.
                self.client = None;
                return false;
            }
            self.accepted.accept(part);
        }
        self.failing = None;
        true
    }

    async fn put(
        &mut self,
        settings: &CloudWatch,
        part: (&[Growth], SystemTime),
        limit: Duration,
    ) -> Result<(), PutError> {
        let Self { client, http, .. } = self;
        let sent = async {
            let client = match client {
                Some(client) => client,
                none => none.insert(CloudWatchClient::new(settings, http.clone()).await),
            };
            client.put(settings, part, limit).await
        };
        timeout(limit, sent).await.unwrap_or(Err(PutError::Timeout))
    }

    /// The present values; none after a panic, which is in the log already.
    async fn measured(&self, settings: &Arc<CloudWatch>) -> Option<MetricsSample> {
        let (measure, settings) = (Arc::clone(&self.measure), Arc::clone(settings));
        // On another thread: files of `/proc` are read, and a thousand tenants have a hundred thousand series.
        spawn_blocking(move || measure(&settings)).await.ok()
    }

    /// Counts a failure, and reports it if the one before had another reason.
    fn report(&mut self, error: &PutError) {
        self.metrics.node.cloudwatch_failures.increment(1);
        self.status.note_error(error.to_string());
        if self.failing.as_deref() == Some(error.reason()) {
            return;
        }
        self.failing = Some(error.reason().to_owned());
        let code = match error {
            PutError::Credentials(_) => Code::CloudWatchCredentialsMissing,
            PutError::Timeout | PutError::Refused { .. } => Code::CloudWatchFailed,
        };
        self.reports
            .record(code.at(Scope::Log), format_args!("Metrics could not be sent to CloudWatch: {error}"));
    }
}

impl PeriodicSender for CloudWatchExporter {
    type Settings = CloudWatch;

    /// One that is under way may still be accepted: sent again, it would be counted twice.
    const LATE_MAX: Duration = Duration::from_secs(1);

    const LAST_MAX: Duration = LAST_TIMEOUT;

    const ACTION: &'static str = "Metrics are sent to CloudWatch";

    fn schedule(settings: &CloudWatch) -> Option<Schedule> {
        let CloudWatch { interval, max_interval, timeout, .. } = *settings;
        settings.enabled.then_some(Schedule { interval, max_interval, timeout })
    }

    async fn begin(&mut self, settings: &Arc<CloudWatch>) {
        let (count, interval) = (settings.metrics.len(), format_duration(settings.interval));
        info!("Sending {count} metrics to CloudWatch ({}) every {interval}", settings.namespace);
        if let Some(previous) = self.previous.replace(Arc::clone(settings)) {
            self.begin_with_new(&previous, settings).await;
        }
        // It has the region and the address of the settings before, and so has the last failure.
        (self.client, self.failing) = (None, None);
    }

    fn end(&mut self, settings: &Arc<CloudWatch>) {
        self.previous = Some(Arc::clone(settings));
        self.accepted = Accepted::default();
    }

    async fn send(&mut self, settings: &Arc<CloudWatch>, limit: Duration) -> bool {
        self.send_all(settings, limit).await
    }

    fn status(&self) -> &ExportStatus {
        &self.status
    }
}
