//! Reloads the settings while the server runs.
//!
//! All layers are read again when one of their files changes, on SIGHUP, and when an operator orders it. If anything is
//! wrong, its source keeps what was accepted of it last (`settings::Sources::reload`), which the log, `/status` and a gauge
//! report. The new values are compared with the running ones; those that need a restart wait for it, the others are applied,
//! all at once. One reload at a time, on a thread that may wait for disks: no client notices. One that takes too long is
//! reported as failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use settings::file_access::Persistence;
use settings::{
    LoadError, Loaded, Note, Problem, RefusedReload, RunningSettings, Sources, Update, format_duration,
};
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::node::{ChangedKeys, NoVerificationKey, Node, Outcome, Reloading, memory_remarks};
use crate::resources::{Resources, check_credentials, check_exporters, check_tenant_databases};
use crate::telemetry::logs::Logs;
use crate::watch::{self, Retry, Watch};

/// Names of keys that one log line lists; a thousand tenants may change at once.
const NAMES_LISTED_MAX: usize = 20;

/// How long a reload may take before it is reported as failed. If it ends after all, its result is applied. Accesses to
/// files have a deadline of their own, which is shorter.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the settings again, and the events that make it do so.
pub struct ConfigReloader {
    reader: Arc<Reader>,
    /// Where the tenants are written with which the server is started.
    tenant_locations: BTreeMap<String, String>,
    /// `None` when the system cannot watch files.
    watch: Option<Watch>,
    hangup: Signal,
}

/// Reads the settings and applies them.
struct Reader {
    sources: Sources,
    logs: Logs,
    /// Locked for a whole reload, so that reloads follow each other and take one thread at a time.
    last: Arc<Mutex<LastReload>>,
}

/// What the next reload is compared with.
struct LastReload {
    running: RunningSettings,
    notes: Vec<Note>,
    /// Whether it was refused for a reason that may pass.
    persistence: Persistence,
}

/// The reason for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Files,
    Hangup,
    Operator,
    Retry,
}

impl Trigger {
    /// Whether it may come often and without an operator, so that a reload that changes nothing is not logged.
    fn is_automatic(self) -> bool {
        matches!(self, Self::Files | Self::Retry)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "a file has changed",
            Self::Hangup => "SIGHUP",
            Self::Operator => "ordered by an operator",
            Self::Retry => "files could not be read before",
        })
    }
}

impl ConfigReloader {
    /// Reloads `sources`, of which `loaded` is running. `watch` has watched their files since before they were read, so
    /// that no change is missed. Each `hangup` (SIGHUP) is a reason for a reload, also one that came before.
    pub fn new(
        sources: Sources,
        loaded: &Loaded,
        logs: Logs,
        watch: Result<Watch, impl fmt::Display>,
        hangup: Signal,
    ) -> Self {
        let warn = |error| warn!("Files of settings are not watched, send SIGHUP after an edit: {error}");
        let last = LastReload {
            running: loaded.running(),
            notes: loaded.notes.clone(),
            persistence: Persistence::UntilEdited,
        };
        let reader = Arc::new(Reader { sources, logs, last: Arc::new(Mutex::new(last)) });
        let tenant_locations = loaded.tenant_locations();
        Self { reader, tenant_locations, watch: watch.map_err(warn).ok(), hangup }
    }

    /// Registers the handler of reloads that operators order.
    pub fn register_handler(&mut self, node: &Arc<Node>) {
        node.reloading.set_tenant_locations(std::mem::take(&mut self.tenant_locations));
        // Weakly, because the node holds the handler.
        let (reader, weak) = (Arc::clone(&self.reader), Arc::downgrade(node));
        node.reloading.set_handler(Arc::new(move || {
            let (reader, node) = (Arc::clone(&reader), weak.clone());
            Box::pin(async move {
                match node.upgrade() {
                    Some(node) => reader.reload(node, Trigger::Operator).await,
                    None => Err(vec!["the server has stopped".into()]),
                }
            })
        }));
    }

    /// Reloads until `stop`.
    pub async fn run(mut self, node: Arc<Node>, stop: CancellationToken) {
        let mut retry = Retry::default();
        loop {
            let trigger = tokio::select! {
                () = stop.cancelled() => return,
                _ = self.hangup.recv() => Trigger::Hangup,
                () = watch::changed(self.watch.as_mut()) => Trigger::Files,
                () = retry.due() => Trigger::Retry,
            };
            // A disk that does not answer must not delay the stop. The outcome is reported where it is reached.
            tokio::select! {
                () = stop.cancelled() => return,
                _outcome = self.reader.reload(Arc::clone(&node), trigger) => {}
            }
            retry.after(self.reader.persistence());
        }
    }
}

impl Reader {
    /// Reads all layers again, and applies them if nothing is wrong.
    async fn reload(self: &Arc<Self>, node: Arc<Node>, trigger: Trigger) -> Outcome {
        // A reload whose reading does not end keeps the lock; those that follow give up. They wait as tasks, because their
        // threads would add up.
        let Ok(last) = timeout(RELOAD_TIMEOUT, Arc::clone(&self.last).lock_owned()).await else {
            return Err(vec!["an earlier reload has not ended".to_owned()]);
        };
        let (reader, here) = (Arc::clone(self), Arc::clone(&node));
        let reading = tokio::task::spawn_blocking(move || reader.reload_now(last, &here, trigger));
        outcome(reading, RELOAD_TIMEOUT, &node.reloading, trigger).await
    }

    /// Whether the last reload was refused for a reason that may pass, as does one that has not ended.
    fn persistence(&self) -> Persistence {
        self.last.try_lock().map_or(Persistence::MayPass, |last| last.persistence)
    }

    fn reload_now(&self, mut last: OwnedMutexGuard<LastReload>, node: &Node, trigger: Trigger) -> Outcome {
        match self.sources.reload(&last.running, check) {
            Ok(update) => {
                let was_refused = node.reloading.status().last_error.is_some();
                node.reloading.accepted();
                last.persistence = Persistence::UntilEdited;
                let applied = self.apply(&mut last, node, update);
                // An update of a ConfigMap, or an editor, writes files several times for one change; the log has one line.
                if was_refused && applied.keys.changed.is_empty() {
                    info!("Settings are good again: {trigger}");
                }
                if applied.is_remarkable() || was_refused || !trigger.is_automatic() {
                    applied.log(trigger);
                } else {
                    debug!("Settings read again, their files are unchanged: {trigger}");
                }
                Ok(applied.keys)
            }
            Err(RefusedReload { error, rest }) => {
                last.persistence = error.persistence();
                let texts = error.texts();
                let is_known = node.reloading.status().last_error == Some(texts.join("\n"));
                node.reloading.refused(&texts);
                if !is_known || !trigger.is_automatic() {
                    log_refused(trigger, &error);
                }
                if let Some(rest) = rest {
                    let applied = self.apply(&mut last, node, *rest);
                    if applied.is_remarkable() {
                        applied.log(trigger);
                    }
                }
                Err(texts)
            }
        }
    }

    /// Applies what has changed.
    fn apply(&self, last: &mut LastReload, node: &Node, mut update: Update) -> Applied {
        update.notes.extend(memory_remarks(&update.settings, node.queue_memory()));
        let Update { settings, running, edited, changed, pending, notes, overridden, after_restart } = update;
        node.reloading.set_pending(pending.clone());
        if !changed.is_empty() {
            self.logs.apply(&settings.telemetry);
            node.apply(settings);
        }
        // Lines move also when nothing changes.
        node.reloading.set_tenant_locations(after_restart.tenant_locations());
        last.running = running;
        let new_notes = notes.iter().filter(|note| !last.notes.contains(note)).cloned().collect();
        last.notes = notes;
        Applied { edited, keys: ChangedKeys { changed, pending }, overridden, new_notes }
    }
}

/// Refuses what would make the next start fail. Only what waits for a restart is checked, because a running certificate may be
/// half replaced at the moment in which something else is edited.
fn check(update: &Update) -> Result<(), LoadError> {
    if update.pending.iter().any(|key| Resources::are_named_by(key)) {
        Resources::of(&update.after_restart)?;
    }
    if update.changed.iter().any(|key| key.starts_with("tenants.")) {
        check_tenant_databases(&update.after_restart)?;
    }
    if update.changed.iter().any(|key| key.starts_with("store.") || key.starts_with("bus.")) {
        check_credentials(&update.settings, &update.after_restart)?;
    }
    check_exporters(&update.after_restart)?;
    NoVerificationKey::find(&update.settings).map_or(Ok(()), |no_key| Err(no_key_left(&no_key)))
}

/// What a reload has applied, for the log.
struct Applied {
    /// Whether anything was edited, even without effect.
    edited: bool,
    keys: ChangedKeys,
    /// A sentence for each key of a file without effect.
    overridden: Vec<String>,
    new_notes: Vec<Note>,
}

impl Applied {
    fn is_remarkable(&self) -> bool {
        self.edited || !self.new_notes.is_empty()
    }

    fn log(&self, trigger: Trigger) {
        let ChangedKeys { changed, pending } = &self.keys;
        match changed.as_slice() {
            [] => info!("Settings read again, nothing changes: {trigger}"),
            changed => info!(changed = names(changed), "Settings have changed: {trigger}"),
        }
        if !pending.is_empty() {
            warn!(pending = names(pending), "Some settings wait for a restart");
        }
        for sentence in self.overridden.iter().take(NAMES_LISTED_MAX) {
            warn!("{sentence}");
        }
        for note in &self.new_notes {
            warn!("{}", note.text);
        }
    }
}

fn log_refused(trigger: Trigger, refused: &LoadError) {
    error!(problems = refused.count(), "Settings refused, the old ones stay: {trigger}");
    for problem in &refused.problems {
        error!(help = problem.help, "{}", problem.line());
    }
    refused.summary().into_iter().for_each(|omitted| error!("{omitted}"));
}

/// The outcome of `reading`. A panic, and a reading that takes longer than `limit`, are reported as settings that are
/// refused.
async fn outcome(
    reading: JoinHandle<Outcome>,
    limit: Duration,
    reloading: &Reloading,
    trigger: Trigger,
) -> Outcome {
    let (logged, text) = match timeout(limit, reading).await {
        Ok(Ok(outcome)) => return outcome,
        Ok(Err(panicked)) => (
            panicked.to_string(),
            "they could not be read, because of a bug in the server; its log has the details".to_owned(),
        ),
        Err(_elapsed) => {
            let text = format!("they could not be read within {}", format_duration(limit));
            (text.clone(), text)
        }
    };
    error!("Settings refused, the old ones stay: {trigger}: {logged}");
    let problems = vec![text];
    reloading.refused(&problems);
    Err(problems)
}

/// Settings without any verification key: they would end all channels, and the next start would refuse them.
fn no_key_left(no_key: &NoVerificationKey) -> LoadError {
    let message = format!(
        "no secret to verify tokens with would be left, nor any other key{}",
        no_key.about_key_sets()
    );
    LoadError::of(vec![Problem {
        location: None,
        key: "auth.jwt_secret".into(),
        message: message.into(),
        help: Some("leave one to some tenant at least; to close them, suspend them".into()),
        persistence: Persistence::UntilEdited,
    }])
}

/// A list of names for one line of the log; of a long one, its beginning.
pub(crate) fn names(keys: &[String]) -> String {
    let listed = keys[..keys.len().min(NAMES_LISTED_MAX)].join(", ");
    match keys.len().saturating_sub(NAMES_LISTED_MAX) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reload_that_panics_is_reported_as_refused() {
        let reloading = Reloading::new();
        let reading = tokio::task::spawn_blocking(|| -> Outcome { panic!("as it should in this test") });
        let refused = outcome(reading, RELOAD_TIMEOUT, &reloading, Trigger::Hangup).await;
        let problems = refused.expect_err("it is refused");
        assert_eq!(reloading.status().last_error, Some(problems.join("\n")));
    }

    #[tokio::test]
    async fn a_reload_that_does_not_end_is_reported_as_refused() {
        let reloading = Reloading::new();
        let reading = tokio::spawn(std::future::pending());
        let limit = Duration::from_millis(10);
        let problems = outcome(reading, limit, &reloading, Trigger::Files).await.expect_err("it is refused");
        assert_eq!(problems, ["they could not be read within 10ms"]);
        assert_eq!(reloading.status().last_error, Some(problems.join("\n")));
    }
}
