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
use settings::{CloudWatch, format_duration};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::batches::batches;
use self::client::{CloudWatchClient, PutError};
use self::growth::{Accepted, Growth};
pub use self::sample::{CloudWatchMetric, MetricsSample};
use super::codes::{Code, Scope};
use super::export_status::ExportStatus;
use super::intervals::Intervals;
use super::metrics::Metrics;
use super::reports::Reports;

/// How long a request may take that is under way when the server stops.
const LATE_MAX: Duration = Duration::from_secs(1);

/// How long the last requests may take, which a stop waits for.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// Measures what the settings choose.
pub type MeasureMetrics = Arc<dyn Fn(&CloudWatch) -> MetricsSample + Send + Sync>;

/// Sends the metrics of one server.
pub struct CloudWatchExporter {
    settings: watch::Receiver<CloudWatch>,
    measure: MeasureMetrics,
    http: SharedHttpClient,
    /// What was accepted since they are sent.
    accepted: Accepted,
    /// The reason of the last failure, if there was no success after it. It is reported once.
    failing: Option<String>,
    status: Arc<ExportStatus>,
    metrics: Arc<Metrics>,
    reports: Reports,
}

impl CloudWatchExporter {
    /// Sends what `measure` returns for as long as the settings say so.
    pub fn new(
        settings: watch::Receiver<CloudWatch>,
        measure: MeasureMetrics,
        (status, metrics, reports): (&Arc<ExportStatus>, &Arc<Metrics>, &Reports),
    ) -> Self {
        Self {
            settings,
            measure,
            http: connector::http_client(),
            accepted: Accepted::default(),
            failing: None,
            status: Arc::clone(status),
            metrics: Arc::clone(metrics),
            reports: reports.clone(),
        }
    }

    /// Sends them until `stop`, and once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut previous: Option<Arc<CloudWatch>> = None;
        loop {
            let settings = Arc::new(self.settings.borrow_and_update().clone());
            if settings.enabled {
                let (count, interval) = (settings.metrics.len(), format_duration(settings.interval));
                info!("Sending {count} metrics to CloudWatch ({}) every {interval}", settings.namespace);
                if let Some(previous) = &previous {
                    self.begin_with_new(previous, &settings).await;
                }
                self.send_until_changed(&settings, &stop).await;
            } else {
                if previous.is_some_and(|previous| previous.enabled) {
                    info!("Metrics are not sent to CloudWatch any more");
                }
                (self.accepted, self.failing) = (Accepted::default(), None);
                let _stopping_or_changed = stop.run_until_cancelled(self.settings.changed()).await;
            }
            if stop.is_cancelled() || self.settings.has_changed().is_err() {
                return;
            }
            previous = Some(settings);
        }
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

    /// Sends metrics with these settings until there are others, or until the stop.
    async fn send_until_changed(&mut self, settings: &Arc<CloudWatch>, stop: &CancellationToken) {
        self.status.begin();
        let mut intervals = Intervals::new(settings.interval, settings.max_interval);
        let mut due = Instant::now() + intervals.first();
        let mut client = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let last = self.send_all(&mut client, settings, settings.timeout.min(LAST_TIMEOUT));
                    // Again, because it consists of several requests, and the region may have to be found out first.
                    let _sent_or_late = timeout(LAST_TIMEOUT, last).await;
                    return;
                }
                _changed_or_gone = self.settings.changed() => {
                    // So that the loop above sees that they have changed.
                    self.settings.mark_changed();
                    return;
                }
                () = sleep_until(due) => {}
            }
            let began = Instant::now();
            // One that is under way when the server stops may still be accepted: sent again, it would be counted twice.
            let sent = tokio::select! {
                sent = self.send_all(&mut client, settings, settings.timeout) => sent,
                () = late(stop) => continue,
            };
            if sent {
                self.failing = None;
                self.status.note_success();
                if let Some(failures) = intervals.succeeded() {
                    info!("Metrics are sent to CloudWatch again, after {failures} failures");
                }
            } else {
                self.status.note_failure();
                intervals.failed();
            }
            due = (began + intervals.next()).max(Instant::now());
        }
    }

    /// Sends everything that there is to send, in as many requests as needed, each within `limit`. Whether all were accepted.
    async fn send_all(
        &mut self,
        client: &mut Option<CloudWatchClient>,
        settings: &Arc<CloudWatch>,
        limit: Duration,
    ) -> bool {
        let (at, Some(sample)) = (SystemTime::now(), self.measured(settings).await) else { return false };
        self.metrics.node.cloudwatch_left_out.set(sample.left_out as f64);
        for part in batches(self.accepted.growth(sample), settings) {
            self.metrics.node.cloudwatch_requests.increment(1);
            if let Err(error) = self.send(client, settings, (&part, at), limit).await {
                self.report(&error);
                // The client keeps what it has read, and there may be credentials the next time.
                *client = None;
                return false;
            }
            self.accepted.accept(part);
        }
        true
    }

    async fn send(
        &self,
        client: &mut Option<CloudWatchClient>,
        settings: &CloudWatch,
        part: (&[Growth], SystemTime),
        limit: Duration,
    ) -> Result<(), PutError> {
        let sent = async {
            let client = match client {
                Some(client) => client,
                none => none.insert(CloudWatchClient::new(settings, self.http.clone()).await),
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

/// Waits until something that is under way at the stop takes too long.
async fn late(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(LATE_MAX).await;
}
