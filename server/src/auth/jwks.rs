//! Key sets at a URL, as identity providers publish theirs.
//!
//! A set is fetched when its source is created, again every `auth.jwks_refresh`, and when a token names an unknown key:
//! providers sign with a new key as soon as it is published. Unknown key ids cause at most one request in ten seconds.
//! While the provider is unreachable, the set that was fetched last stays valid.
//!
//! A key that is no longer published is no longer accepted; [`JwksSources::keys_withdrawn`] reports that, so that
//! sessions with its tokens can be ended.
//!
//! Looking up a key never waits. One task per source fetches; a bounded number of handshakes and requests may await it
//! (`waits.rs`).

mod fetch;
mod refresh;
mod waits;

pub use waits::TooManyWaiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use settings::Auth;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::fetch::Fetcher;
use self::refresh::RefreshTask;
use self::waits::{NodeWaits, TenantWaits};
use super::key_set::KeySet;
use super::keys::KeyId;
use super::token::Token;
use crate::telemetry::metrics::{LazyTenantMetrics, TenantMetrics};
use crate::telemetry::reports::Reports;

/// Between two requests that unknown key ids cause.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(10);

/// Creates sources, and runs their tasks. One per server.
#[derive(Debug)]
pub struct JwksSources {
    fetcher: Arc<Fetcher>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Notified when keys of a source are withdrawn.
    withdrawn: Arc<Notify>,
    waits: Arc<NodeWaits>,
}

impl JwksSources {
    /// No sources yet. Their tasks are tracked by `tasks` and end with `stop`.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        let waits = Arc::new(NodeWaits::new(0));
        Self { fetcher: Arc::default(), tasks, stop, withdrawn: Arc::default(), waits }
    }

    /// Lets `max` tokens of all tenants wait for keys.
    pub fn set_max_waiting(&self, max: usize) {
        self.waits.set_max(max);
    }

    /// The source of `auth.jwks_url`: `before` if it has the same URL, with the keys it has fetched, else a new one, which
    /// begins to fetch at once. Needs a runtime.
    pub fn source(
        &self,
        auth: &Auth,
        before: Option<&Arc<JwksSource>>,
        metrics: &LazyTenantMetrics,
        reports: &Reports,
    ) -> Option<Arc<JwksSource>> {
        let url = auth.jwks_url.as_ref()?.expose_secret();
        let settings = SourceSettings {
            refresh: auth.jwks_refresh,
            timeout: auth.jwks_timeout,
            max_waiting: auth.jwks_max_waiting.get(),
        };
        if let Some(same) = before.filter(|before| *before.shared.url == *url) {
            same.shared.state.lock().settings = settings;
            same.shared.wake.notify_one();
            return Some(Arc::clone(same));
        }
        let shared = Arc::new(Shared::new(url, settings, TenantWaits::new(Arc::clone(&self.waits))));
        let stop = self.stop.child_token();
        let task = RefreshTask {
            shared: Arc::clone(&shared),
            fetcher: Arc::clone(&self.fetcher),
            metrics: TenantMetrics::clone(metrics),
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

    /// Waits for the end of the fetch that is under way, if there is one, on behalf of a token from `network`.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) async fn fetched(&self, network: Option<IpAddr>) -> Result<(), TooManyWaiting> {
        // Subscribed before the check, so that a fetch that ends in between is seen.
        let mut fetches = self.shared.fetches.subscribe();
        let settings = {
            let state = self.shared.state.lock();
            if !state.is_fetching {
                return Ok(());
            }
            state.settings
        };
        let _wait = self.shared.waits.acquire(network, settings.max_waiting)?;
        // The fetch has the same timeout; a second more lets it report its own.
        let timeout = settings.timeout.saturating_add(Duration::from_secs(1));
        let _ended_or_timed_out = tokio::time::timeout(timeout, fetches.changed()).await;
        Ok(())
    }
}

/// The settings of a source that can change while it stays.
#[derive(Debug, Clone, Copy)]
struct SourceSettings {
    /// How often to fetch.
    refresh: Duration,
    /// The timeout of a fetch.
    timeout: Duration,
    /// How many tokens may wait for one.
    max_waiting: usize,
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
    waits: TenantWaits,
}

#[derive(Debug)]
struct State {
    settings: SourceSettings,
    is_fetching: bool,
    /// When an unknown key id last caused a request.
    requested: Option<Instant>,
}

impl Shared {
    fn new(url: &str, settings: SourceSettings, waits: TenantWaits) -> Self {
        Self {
            url: url.into(),
            keys: ArcSwapOption::empty(),
            keys_withdrawn: AtomicBool::new(false),
            // The task begins with a fetch.
            state: Mutex::new(State { settings, is_fetching: true, requested: None }),
            wake: Notify::new(),
            fetches: watch::Sender::new(()),
            waits,
        }
    }
}
