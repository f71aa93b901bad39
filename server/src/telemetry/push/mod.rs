//! Sends the pages of metrics to an address (`telemetry.push`), for servers that nothing can scrape.
//!
//! Each interval two requests are sent at once, as upstream does: the series of tenants, and all others. None is sent again, because
//! the next ones have newer values; while they fail the interval grows. When the server stops, the last values are sent once.

mod request;

use std::sync::Arc;
use std::time::Duration;

use hub::TenantMemory;
use settings::{MetricsPush, format_duration, redacted_address};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::request::{PushError, PushedPage, Template};
use super::codes::{Code, Scope};
use super::export_status::ExportStatus;
use super::intervals::Intervals;
use super::metrics::Metrics;
use super::reports::Reports;
use crate::outgoing::{OutgoingClient, RequestKind, with_sources};

/// How long the last requests may take, which a stop waits for: less than what clients have by default to answer a close frame
/// (`server.shutdown_timeout`), so that a receiver that does not answer never makes a stop longer than clients do, nor ends in its
/// warning. The receiver has had the values of an interval ago.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// What the pages are, for a log line.
const PAGES: [&str; 2] = ["the series of this node", "the series of its tenants"];

/// Renders the pages: the series of no tenant, and those of tenants.
pub type RenderPages = Arc<dyn Fn() -> [String; 2] + Send + Sync>;

/// Sends the metrics of one server.
pub struct MetricsPusher {
    settings: watch::Receiver<MetricsPush>,
    /// Identifies the process among those that push to the same address.
    instance: String,
    render: RenderPages,
    client: OutgoingClient,
    /// Whom the pages are charged to until they are sent.
    memory: Arc<TenantMemory>,
    status: Arc<ExportStatus>,
    metrics: Arc<Metrics>,
    reports: Reports,
}

impl MetricsPusher {
    /// Sends what `render` returns for as long as the settings name an address. Every series has `instance` as a label. The pages
    /// are charged to `memory`.
    pub fn new(
        settings: watch::Receiver<MetricsPush>,
        instance: String,
        render: RenderPages,
        memory: &Arc<TenantMemory>,
        (status, metrics, reports): (&Arc<ExportStatus>, &Arc<Metrics>, &Reports),
    ) -> Self {
        let client = OutgoingClient::new(RequestKind::Once);
        let (memory, status) = (Arc::clone(memory), Arc::clone(status));
        let (metrics, reports) = (Arc::clone(metrics), reports.clone());
        Self { settings, instance, render, client, memory, status, metrics, reports }
    }

    /// Sends them until `stop`, and once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut was_on = false;
        loop {
            let push = Arc::new(self.settings.borrow_and_update().clone());
            match push.target() {
                Some(url) => {
                    info!("Pushing metrics to {} every {}", shown(url), format_duration(push.interval))
                }
                None if was_on => info!("Metrics are not pushed any more"),
                None => {}
            }
            was_on = push.target().is_some();
            if was_on {
                self.push_until_changed(&push, &stop).await;
            } else {
                let _stopping_or_changed = stop.run_until_cancelled(self.settings.changed()).await;
            }
            if stop.is_cancelled() || self.settings.has_changed().is_err() {
                return;
            }
        }
    }

    /// Sends pages with these settings until there are others, or until the stop.
    async fn push_until_changed(&mut self, push: &Arc<MetricsPush>, stop: &CancellationToken) {
        self.status.begin();
        let mut intervals = Intervals::new(push.interval, push.max_interval);
        let mut due = Instant::now() + intervals.first();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let timeout = push.timeout.min(LAST_TIMEOUT);
                    self.push_all(&Arc::new(MetricsPush { timeout, ..MetricsPush::clone(push) })).await;
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
            // One that has not ended when the server stops makes way for the last one.
            let Some(accepted) = stop.run_until_cancelled(self.push_all(push)).await else { continue };
            if accepted {
                self.status.note_success();
                if let Some(failures) = intervals.succeeded() {
                    info!("Metrics are pushed again, after {failures} failures");
                }
            } else {
                self.status.note_failure();
                intervals.failed();
            }
            due = (began + intervals.next()).max(Instant::now());
        }
    }

    /// Sends both pages. Whether both were accepted.
    async fn push_all(&self, push: &Arc<MetricsPush>) -> bool {
        let (render, of_body, memory) =
            (Arc::clone(&self.render), Arc::clone(push), Arc::clone(&self.memory));
        // On another thread: files of `/proc` are read, and a thousand tenants have 10 MB.
        let bodies =
            spawn_blocking(move || render().map(|page| PushedPage::of(page, &of_body, &memory))).await;
        // A panic is in the log already.
        let Ok([of_node, of_tenants]) = bodies else { return false };
        let template = Template { push, instance: &self.instance };
        let (one, other) =
            tokio::join!(self.push_page(&template, of_node), self.push_page(&template, of_tenants));
        let failures = PAGES.iter().zip([one, other]).filter_map(|(page, sent)| Some((page, sent.err()?)));
        failures.map(|(page, error)| self.report(push, page, &error)).count() == 0
    }

    async fn push_page(&self, template: &Template<'_>, body: PushedPage) -> Result<(), PushError> {
        self.metrics.node.metrics_pushes.increment(1);
        template.send(self.client.get()?, body).await
    }

    fn report(&self, push: &MetricsPush, page: &str, error: &PushError) {
        self.metrics.node.metrics_push_failures.increment(1);
        let code = if error.is_timeout() { Code::MetricsPusherTimeout } else { Code::MetricsPusherFailed };
        let (url, why) = (push.target().map(shown).unwrap_or_default(), with_sources(error));
        self.status.note_error(format!("{page}: {why}"));
        self.reports.record(code.at(Scope::Log), format_args!("{page} could not be pushed to {url}: {why}"));
    }
}

/// An address without what may be secret in it.
pub fn shown(url: &str) -> String {
    redacted_address(url).unwrap_or_else(|| "an address that is not shown".into())
}
