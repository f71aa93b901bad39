//! A key set that lives at a URL, as identity providers publish theirs.
//!
//! Read when it is first needed, again every `auth.jwks_refresh`, and when a token names a key that nobody
//! knows yet: providers sign with a new key as soon as it is published. Whoever sends unknown names causes no
//! more than one request in ten seconds. While the provider is away, what it said last counts.
//!
//! A key that is published no longer opens nothing any more; whoever holds the tenants is told
//! ([`JwksSources::lost_keys`]), to end what it has opened.
//!
//! Looking keys up never waits. One task a source does the fetching; who can wait for it (a handshake, a
//! request) may, in bounded number.

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

/// Between two requests that unknown names cause.
const ASK_INTERVAL: Duration = Duration::from_secs(10);

/// After a failure the next try comes this soon, however seldom the set is read otherwise.
const RETRY: Duration = Duration::from_secs(30);

/// Who waits for one answer. More are refused at once, as if the key were unknown.
const WAITING_MAX: usize = 1_024;

/// Makes sources, and runs their tasks. One per server.
#[derive(Debug)]
pub struct JwksSources {
    fetcher: Arc<Fetcher>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Told when a source has lost keys.
    loss: Arc<Notify>,
}

impl JwksSources {
    /// None yet. Their tasks are counted by `tasks` and end with `stop`.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { fetcher: Arc::default(), tasks, stop, loss: Arc::default() }
    }

    /// What `auth.jwks_url` means: `before` as long as that is the same URL, so that what it knows lives on;
    /// else a new source, which begins to fetch at once. Needs a runtime.
    pub fn source(
        &self,
        auth: &Auth,
        before: Option<&Arc<JwksSource>>,
        metrics: &TenantMetrics,
        reports: &Reports,
    ) -> Option<Arc<JwksSource>> {
        let url = auth.jwks_url.as_ref()?.expose_secret();
        let pace = Pace { refresh: auth.jwks_refresh, timeout: auth.jwks_timeout };
        if let Some(same) = before.filter(|before| *before.shared.url == *url) {
            same.shared.state.lock().pace = pace;
            same.shared.wake.notify_one();
            return Some(Arc::clone(same));
        }
        let shared = Arc::new(Shared::new(url, pace));
        let stop = self.stop.child_token();
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            fetcher: Arc::clone(&self.fetcher),
            metrics: metrics.clone(),
            reports: reports.clone(),
            failures: 0,
            told: Vec::new(),
            loss: Arc::clone(&self.loss),
        };
        self.tasks.spawn(keeper.run(stop.clone()));
        Some(Arc::new(JwksSource { shared, _end: stop.drop_guard() }))
    }

    /// Waits until some source has lost keys. For one task.
    pub async fn lost_keys(&self) {
        self.loss.notified().await;
    }
}

/// A key set at a URL. Lives as long as somebody's settings name that URL.
#[derive(Debug)]
pub struct JwksSource {
    shared: Arc<Shared>,
    _end: DropGuard,
}

impl JwksSource {
    /// As [`KeySet::judge`], by what was fetched last.
    pub(super) fn judge(&self, kid: &str, algorithm: Algorithm, token: &Token) -> Option<(KeyId, bool)> {
        self.shared.keys.load().as_ref()?.judge(kid, algorithm, token)
    }

    /// Whether the key is among those fetched last. Before anything was fetched nobody can tell, and whoever
    /// was believed under another URL is not sent away for that.
    pub(super) fn holds(&self, key: KeyId) -> bool {
        match &*self.shared.keys.load() {
            Some(keys) => keys.holds(key),
            None => key.is_published(),
        }
    }

    /// Whether keys have been withdrawn since this was last asked.
    pub(super) fn has_lost_keys(&self) -> bool {
        self.shared.has_lost_keys.swap(false, Ordering::AcqRel)
    }

    /// A token names a key that is not here: fetches, unless that was done for the same reason just now.
    pub(super) fn ask(&self) {
        let mut state = self.shared.state.lock();
        let now = Instant::now();
        let recently = state.asked.is_some_and(|asked| now - asked < ASK_INTERVAL);
        if state.is_fetching || recently {
            return;
        }
        state.asked = Some(now);
        state.is_fetching = true;
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Waits for the answer that is under way, if there is one.
    pub(super) async fn answer(&self) {
        // Subscribed before looking: an answer that comes in between is seen.
        let mut answers = self.shared.answers.subscribe();
        let patience = {
            let state = self.shared.state.lock();
            if !state.is_fetching {
                return;
            }
            state.pace.timeout
        };
        let Ok(_place) = self.shared.waiting.try_acquire() else { return };
        // Whoever fetches is bound by the same time, and says so at its end; the second is for good measure.
        let patience = patience.saturating_add(Duration::from_secs(1));
        let _answered_or_given_up = tokio::time::timeout(patience, answers.changed()).await;
    }
}

/// How often to fetch, and how long that may take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    refresh: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct Shared {
    url: Box<str>,
    /// `None` until something was fetched.
    keys: ArcSwapOption<KeySet>,
    has_lost_keys: AtomicBool,
    state: Mutex<State>,
    /// Wakes the task: there is something to fetch, or the pace has changed.
    wake: Notify,
    /// Changes with every answer, good or bad.
    answers: watch::Sender<()>,
    waiting: Semaphore,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    is_fetching: bool,
    /// When an unknown name last caused a request.
    asked: Option<Instant>,
}

impl Shared {
    fn new(url: &str, pace: Pace) -> Self {
        Self {
            url: url.into(),
            keys: ArcSwapOption::empty(),
            has_lost_keys: AtomicBool::new(false),
            // The task begins with a fetch.
            state: Mutex::new(State { pace, is_fetching: true, asked: None }),
            wake: Notify::new(),
            answers: watch::Sender::new(()),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

/// The task of a source.
struct Keeper {
    shared: Arc<Shared>,
    fetcher: Arc<Fetcher>,
    metrics: TenantMetrics,
    reports: Reports,
    /// In a row.
    failures: u32,
    /// What of the last set could not be used.
    told: Vec<String>,
    loss: Arc<Notify>,
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        let _stopped = stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&mut self) {
        loop {
            let timeout = self.begin();
            let fetched = self.fetcher.fetch(&self.shared.url, timeout).await;
            self.end(fetched);
            self.rest().await;
        }
    }

    /// Marks the fetch, and returns how long it may take.
    fn begin(&self) -> Duration {
        let mut state = self.shared.state.lock();
        state.is_fetching = true;
        state.pace.timeout
    }

    fn end(&mut self, fetched: Result<KeySet, FetchError>) {
        self.metrics.jwks_fetches.increment(1);
        match fetched {
            Ok(keys) => self.take(keys),
            Err(why) => self.complain(&why),
        }
        self.shared.state.lock().is_fetching = false;
        self.shared.answers.send_replace(());
    }

    fn take(&mut self, keys: KeySet) {
        if self.failures > 0 {
            info!(
                url = fetch::shown(&self.shared.url),
                "Fetched keys again, after {} failures", self.failures
            );
        }
        self.failures = 0;
        if self.told != keys.problems() {
            let problems = keys.problems();
            if !problems.is_empty() {
                let url = fetch::shown(&self.shared.url);
                let report = Code::JwksKeyUnusable.at(Scope::Log);
                self.reports.record(report, format_args!("{url}: {}", problems.join("; ")));
            }
            self.told = problems.to_vec();
        }
        let keys = Arc::new(keys);
        let before = self.shared.keys.swap(Some(Arc::clone(&keys)));
        if before.is_some_and(|before| !keys.holds_all_of(&before)) {
            self.shared.has_lost_keys.store(true, Ordering::Release);
            self.loss.notify_one();
        }
    }

    /// Once per spell; the others are counted.
    fn complain(&mut self, why: &FetchError) {
        self.metrics.jwks_failures.increment(1);
        self.failures += 1;
        if self.failures == 1 {
            let (url, why) = (fetch::shown(&self.shared.url), why.in_full());
            let report = Code::JwksUnavailable.at(Scope::Log);
            self.reports.record(report, format_args!("{url}: {why}; keys fetched before still count"));
        }
    }

    /// Until it is time, or somebody asks.
    async fn rest(&self) {
        let since = Instant::now();
        loop {
            let Some(due) = self.due(since) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.shared.wake.notified() => {}
            }
        }
    }

    /// When to fetch next; `None` is now.
    fn due(&self, since: Instant) -> Option<Instant> {
        let state = self.shared.state.lock();
        let pause = if self.failures > 0 { state.pace.refresh.min(RETRY) } else { state.pace.refresh };
        if state.is_fetching { None } else { since.checked_add(pause) }
    }
}
