//! Key sets at a URL, as identity providers publish theirs.
//!
//! A set is fetched when its source is created, again every `auth.jwks_refresh`, and when a token names an unknown key:
//! providers sign with a new key as soon as it is published. Unknown key ids cause at most one request in ten seconds.
//! While the provider is unreachable, the set that was fetched last stays valid.
//!
//! A key that is no longer published is no longer accepted; [`JwksSources::keys_withdrawn`] reports that, so that
//! sessions with its tokens can be ended.
//!
//! Looking up a key never waits. One task per source fetches; a bounded number of handshakes and requests may await it.

mod fetch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use settings::Auth;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::info;

use self::fetch::{FetchError, Fetcher};
use super::key_set::KeySet;
use super::keys::KeyId;
use super::token::Token;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::TenantMetrics;
use crate::telemetry::reports::Reports;

/// Between two requests that unknown key ids cause.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(10);

/// After a failure the next request follows this soon at the latest.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How many may await one fetch. More are refused at once, as if the key were unknown.
const WAITING_MAX: usize = 1_024;

/// Creates sources, and runs their tasks. One per server.
#[derive(Debug)]
pub struct JwksSources {
    fetcher: Arc<Fetcher>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Notified when keys of a source are withdrawn.
    withdrawn: Arc<Notify>,
}

impl JwksSources {
    /// No sources yet. Their tasks are tracked by `tasks` and end with `stop`.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { fetcher: Arc::default(), tasks, stop, withdrawn: Arc::default() }
    }

    /// The source of `auth.jwks_url`: `before` if it has the same URL, with the keys it has fetched, else a new one, which
    /// begins to fetch at once. Needs a runtime.
    pub fn source(
        &self,
        auth: &Auth,
        before: Option<&Arc<JwksSource>>,
        metrics: &TenantMetrics,
        reports: &Reports,
    ) -> Option<Arc<JwksSource>> {
        let url = auth.jwks_url.as_ref()?.expose_secret();
        let times = FetchTimes { refresh: auth.jwks_refresh, timeout: auth.jwks_timeout };
        if let Some(same) = before.filter(|before| *before.shared.url == *url) {
            same.shared.state.lock().times = times;
            same.shared.wake.notify_one();
            return Some(Arc::clone(same));
        }
        let shared = Arc::new(Shared::new(url, times));
        let stop = self.stop.child_token();
        let task = RefreshTask {
            shared: Arc::clone(&shared),
            fetcher: Arc::clone(&self.fetcher),
            metrics: metrics.clone(),
            reports: reports.clone(),
            failures: 0,
            reported: Vec::new(),
            withdrawn: Arc::clone(&self.withdrawn),
        };
        self.tasks.spawn(task.run(stop.clone()));
        Some(Arc::new(JwksSource { shared, _end: stop.drop_guard() }))
    }

    /// Waits until keys of a source are withdrawn. For one task.
    pub async fn keys_withdrawn(&self) {
        self.withdrawn.notified().await;
    }
}

/// A key set at a URL. Its task ends when the last policy with that URL is dropped.
#[derive(Debug)]
pub struct JwksSource {
    shared: Arc<Shared>,
    _end: DropGuard,
}

impl JwksSource {
    /// As [`KeySet::check_signature`], with the keys fetched last.
    pub(super) fn check_signature(
        &self,
        kid: &str,
        algorithm: Algorithm,
        token: &Token,
    ) -> Option<(KeyId, bool)> {
        self.shared.keys.load().as_ref()?.check_signature(kid, algorithm, token)
    }

    /// Whether the key is among those fetched last. Before the first fetch any published key may be, so that a change of
    /// the URL disconnects no client whose key is in the new set too.
    pub(super) fn may_contain(&self, key: KeyId) -> bool {
        match &*self.shared.keys.load() {
            Some(keys) => keys.contains(key),
            None => key.is_published(),
        }
    }

    /// Whether keys have been withdrawn since the last call.
    pub(super) fn take_keys_withdrawn(&self) -> bool {
        self.shared.keys_withdrawn.swap(false, Ordering::AcqRel)
    }

    /// Starts a fetch for an unknown key id, unless one is under way or was started so within the interval.
    pub(super) fn request_fetch(&self) {
        let mut state = self.shared.state.lock();
        let now = Instant::now();
        let recently = state.requested.is_some_and(|requested| now - requested < UNKNOWN_KEY_INTERVAL);
        if state.is_fetching || recently {
            return;
        }
        state.requested = Some(now);
        state.is_fetching = true;
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Waits for the end of the fetch that is under way, if there is one.
    pub(super) async fn fetched(&self) {
        // Subscribed before the check, so that a fetch that ends in between is seen.
        let mut fetches = self.shared.fetches.subscribe();
        let timeout = {
            let state = self.shared.state.lock();
            if !state.is_fetching {
                return;
            }
            state.times.timeout
        };
        let Ok(_permit) = self.shared.waiting.try_acquire() else { return };
        // The fetch has the same timeout; a second more lets it report its own.
        let timeout = timeout.saturating_add(Duration::from_secs(1));
        let _ended_or_timed_out = tokio::time::timeout(timeout, fetches.changed()).await;
    }
}

/// How often to fetch, and the timeout of a fetch.
#[derive(Debug, Clone, Copy)]
struct FetchTimes {
    refresh: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct Shared {
    url: Box<str>,
    /// `None` until something was fetched.
    keys: ArcSwapOption<KeySet>,
    keys_withdrawn: AtomicBool,
    state: Mutex<State>,
    /// Wakes the task: a fetch is requested, or the times have changed.
    wake: Notify,
    /// Changes at the end of every fetch, successful or not.
    fetches: watch::Sender<()>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct State {
    times: FetchTimes,
    is_fetching: bool,
    /// When an unknown key id last caused a request.
    requested: Option<Instant>,
}

impl Shared {
    fn new(url: &str, times: FetchTimes) -> Self {
        Self {
            url: url.into(),
            keys: ArcSwapOption::empty(),
            keys_withdrawn: AtomicBool::new(false),
            // The task begins with a fetch.
            state: Mutex::new(State { times, is_fetching: true, requested: None }),
            wake: Notify::new(),
            fetches: watch::Sender::new(()),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

/// Fetches the keys of one source, again and again.
struct RefreshTask {
    shared: Arc<Shared>,
    fetcher: Arc<Fetcher>,
    metrics: TenantMetrics,
    reports: Reports,
    /// Since the last success.
    failures: u32,
    /// The problems of the last set, which are reported when they change.
    reported: Vec<String>,
    withdrawn: Arc<Notify>,
}

impl RefreshTask {
    async fn run(mut self, stop: CancellationToken) {
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
        state.times.timeout
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
            let (url, error) = (fetch::redacted(&self.shared.url), error.with_sources());
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
        let pause =
            if self.failures > 0 { state.times.refresh.min(RETRY_INTERVAL) } else { state.times.refresh };
        if state.is_fetching { None } else { since.checked_add(pause) }
    }
}
