//! The task that fetches the keys of one source, again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Shared;
use super::fetch::{self, FetchError, Fetcher};
use crate::auth::key_set::KeySet;
use crate::outgoing::with_sources;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::TenantMetrics;
use crate::telemetry::reports::Reports;

/// After a failure the next request follows this soon at the latest.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Fetches the keys of one source, again and again.
pub(super) struct RefreshTask {
    pub(super) shared: Arc<Shared>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) metrics: TenantMetrics,
    pub(super) reports: Reports,
    /// Since the last success.
    pub(super) failures: u32,
    /// The problems of the last set, which are reported when they change.
    pub(super) reported: Vec<String>,
    pub(super) withdrawn: Arc<Notify>,
}

impl RefreshTask {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let _stopped = stop.run_until_cancelled(self.refresh()).await;
    }

    async fn refresh(&mut self) {
        loop {
            let timeout = self.begin();
            let fetched = self.fetcher.fetch(&self.shared.url, timeout).await;
            self.end(fetched);
            self.wait_until_due().await;
        }
    }

    /// Marks a fetch as under way, and returns its timeout.
    fn begin(&self) -> Duration {
        let mut state = self.shared.state.lock();
        state.is_fetching = true;
        state.settings.timeout
    }

    fn end(&mut self, fetched: Result<KeySet, FetchError>) {
        self.metrics.jwks_fetches.increment(1);
        match fetched {
            Ok(keys) => self.apply(keys),
            Err(error) => self.report_failure(&error),
        }
        self.shared.state.lock().is_fetching = false;
        self.shared.fetches.send_replace(());
    }

    fn apply(&mut self, keys: KeySet) {
        if self.failures > 0 {
            info!(
                url = fetch::redacted(&self.shared.url),
                "Fetched keys again, after {} failures", self.failures
            );
        }
        self.failures = 0;
        if self.reported != keys.problems() {
            let problems = keys.problems();
            if !problems.is_empty() {
                let url = fetch::redacted(&self.shared.url);
                let report = Code::JwksKeyUnusable.at(Scope::Log);
                self.reports.record(report, format_args!("{url}: {}", problems.join("; ")));
            }
            self.reported = problems.to_vec();
        }
        let keys = Arc::new(keys);
        let before = self.shared.keys.swap(Some(Arc::clone(&keys)));
        if before.is_some_and(|before| !keys.contains_all_of(&before)) {
            self.shared.keys_withdrawn.store(true, Ordering::Release);
            self.withdrawn.notify_one();
        }
    }

    /// Counts a failure, and logs the first since the last success.
    fn report_failure(&mut self, error: &FetchError) {
        self.metrics.jwks_failures.increment(1);
        self.failures += 1;
        if self.failures == 1 {
            let (url, error) = (fetch::redacted(&self.shared.url), with_sources(error));
            let report = Code::JwksUnavailable.at(Scope::Log);
            self.reports.record(report, format_args!("{url}: {error}; keys fetched before stay valid"));
        }
    }

    /// Waits until the next fetch is due or requested.
    async fn wait_until_due(&self) {
        let since = Instant::now();
        loop {
            let Some(due) = self.due(since) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.shared.wake.notified() => {}
            }
        }
    }

    /// When the next fetch is due; `None` if it is requested now.
    fn due(&self, since: Instant) -> Option<Instant> {
        let state = self.shared.state.lock();
        let pause = if self.failures > 0 {
            state.settings.refresh.min(RETRY_INTERVAL)
        } else {
            state.settings.refresh
        };
        if state.is_fetching { None } else { since.checked_add(pause) }
    }
}
