//! Sends the pages of metrics to an address (`telemetry.push`), for servers that nothing can scrape.
//!
//! Each interval two requests are sent at once, as upstream does: the series of tenants, and all others. None is sent again, because
//! the next ones have newer values; while they fail the interval grows. When the server stops, the last values are sent once.

mod request;

use std::sync::Arc;
use std::time::Duration;

use hub::TenantMemory;
use settings::{MetricsPush, format_duration};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::request::{PushError, PushedPage, Template};
use super::codes::{Code, Scope};
use super::export_status::ExportStatus;
use super::metrics::Metrics;
use super::periodic::{self, PeriodicSender, Schedule};
use super::reports::Reports;
use super::shown_address::shown;
use crate::outgoing::{OutgoingClient, RequestKind, with_sources};

/// What the pages are, for a log line.
const PAGES: [&str; 2] = ["the series of this node", "the series of its tenants"];

/// Renders the pages: the series of no tenant, and those of tenants.
pub type RenderPages = Arc<dyn Fn() -> [String; 2] + Send + Sync>;

/// Sends the metrics of one server.
pub struct MetricsPusher {
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
        instance: String,
        render: RenderPages,
        memory: &Arc<TenantMemory>,
        (status, metrics, reports): (&Arc<ExportStatus>, &Arc<Metrics>, &Reports),
    ) -> Self {
        let client = OutgoingClient::new(RequestKind::Once);
        let (memory, status) = (Arc::clone(memory), Arc::clone(status));
        let (metrics, reports) = (Arc::clone(metrics), reports.clone());
        Self { instance, render, client, memory, status, metrics, reports }
    }

    /// Sends them until `stop`, and once more then.
    pub async fn run(self, settings: watch::Receiver<MetricsPush>, stop: CancellationToken) {
        periodic::run(self, settings, stop).await;
    }

    /// Sends both pages. Whether both were accepted.
    async fn push_all(&self, push: &Arc<MetricsPush>, timeout: Duration) -> bool {
        let (render, of_body, memory) =
            (Arc::clone(&self.render), Arc::clone(push), Arc::clone(&self.memory));
        // On another thread: files of `/proc` are read, and a thousand tenants have 10 MB.
        let bodies =
            spawn_blocking(move || render().map(|page| PushedPage::of(page, &of_body, &memory))).await;
        // A panic is in the log already.
        let Ok([of_node, of_tenants]) = bodies else { return false };
        let template = Template { push, instance: &self.instance, timeout };
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

impl PeriodicSender for MetricsPusher {
    type Settings = MetricsPush;

    /// The last one has newer values.
    const LATE_MAX: Duration = Duration::ZERO;

    /// Its pages are rendered before, and the certificates of the system may have to be loaded.
    const LAST_MAX: Duration = Duration::from_secs(10);

    const ACTION: &'static str = "Metrics are pushed";

    fn schedule(settings: &MetricsPush) -> Option<Schedule> {
        let MetricsPush { interval, max_interval, timeout, .. } = *settings;
        settings.target().map(|_| Schedule { interval, max_interval, timeout })
    }

    async fn begin(&mut self, settings: &Arc<MetricsPush>) {
        let (url, interval) = (settings.target().map(shown).unwrap_or_default(), settings.interval);
        info!("Pushing metrics to {url} every {}", format_duration(interval));
    }

    fn end(&mut self, _settings: &Arc<MetricsPush>) {}

    async fn send(&mut self, settings: &Arc<MetricsPush>, limit: Duration) -> bool {
        self.push_all(settings, limit).await
    }

    fn status(&self) -> &ExportStatus {
        &self.status
    }
}
