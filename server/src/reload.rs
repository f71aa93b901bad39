//! Settings that follow their files while the server runs.
//!
//! All layers are read again when one of their files changes, on SIGHUP, and when an operator orders it. If
//! anything is wrong, nothing changes: the log, `/status` and a gauge tell. Otherwise the new values are
//! compared with the running ones; those that take a restart wait for it, the others count from then on, all
//! at once. One reload at a time, on a thread that may wait for disks: no client notices.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use settings::{LoadError, Loaded, Note, Problem, RunningSettings, Sources, Update};
use tokio::signal::unix::Signal;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::node::{Changes, NoVerificationKey, Node, Outcome, Reloading};
use crate::resources::Resources;
use crate::telemetry::logs::Logs;
use crate::watch::{self, Watch};

/// Names of keys that one log line shows; a thousand tenants may change at once.
const NAMES_SHOWN: usize = 20;

/// Where the running settings came from, and who is told when they change.
pub struct ConfigReloader {
    reader: Arc<Reader>,
    /// Nothing when the system watches no more files.
    watch: Option<Watch>,
    hangup: Signal,
}

/// Reads the settings again and again.
struct Reader {
    sources: Sources,
    logs: Logs,
    /// Held for a whole reload, so that two of them follow each other.
    last: Mutex<Last>,
}

/// What the last reload left behind.
struct Last {
    running: RunningSettings,
    notes: Vec<Note>,
}

/// Why settings are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Files,
    Hangup,
    Operator,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "a file has changed",
            Self::Hangup => "SIGHUP",
            Self::Operator => "ordered by an operator",
        })
    }
}

impl ConfigReloader {
    /// Will follow `sources`, of which `loaded` is running; `watch` is on their files since before they were
    /// read, so that no change is missed. Each `hangup` (SIGHUP) has them read again; one that came before counts.
    pub fn new(
        sources: Sources,
        loaded: &Loaded,
        logs: Logs,
        watch: Result<Watch, impl fmt::Display>,
        hangup: Signal,
    ) -> Self {
        let complain = |error| warn!("Files of settings are not watched, send SIGHUP after an edit: {error}");
        let last = Last { running: loaded.running(), notes: loaded.notes.clone() };
        let reader = Arc::new(Reader { sources, logs, last: Mutex::new(last) });
        Self { reader, watch: watch.map_err(complain).ok(), hangup }
    }

    /// Lets operators order a reload of `node`'s settings.
    pub fn register_handler(&self, node: &Arc<Node>) {
        // The node holds the order, so the order must not hold the node.
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

    /// Follows until `stop`.
    pub async fn run(mut self, node: Arc<Node>, stop: CancellationToken) {
        loop {
            let trigger = tokio::select! {
                () = stop.cancelled() => return,
                _ = self.hangup.recv() => Trigger::Hangup,
                () = watch::changed(self.watch.as_mut()) => Trigger::Files,
            };
            // A disk may keep us waiting, but not from stopping.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.follow(&node, trigger) => {}
            }
        }
    }

    async fn follow(&mut self, node: &Arc<Node>, trigger: Trigger) {
        if let Some(watch) = &mut self.watch {
            // Before they are read, so that what changes meanwhile is told again.
            let reader = Arc::clone(&self.reader);
            watch.look_at(move || reader.sources.files()).await;
        }
        // What came of it is told where it belongs.
        let _told = self.reader.reload(Arc::clone(node), trigger).await;
    }
}

impl Reader {
    /// Reads all layers again, and makes them count if nothing is wrong.
    async fn reload(self: &Arc<Self>, node: Arc<Node>, trigger: Trigger) -> Outcome {
        let (reader, here) = (Arc::clone(self), Arc::clone(&node));
        let reading = tokio::task::spawn_blocking(move || reader.reload_now(&here, trigger));
        outcome(reading, &node.reloading, trigger).await
    }

    fn reload_now(&self, node: &Node, trigger: Trigger) -> Outcome {
        let mut last = self.last.lock();
        match self.newest(&last.running) {
            Ok(Update { settings, running, edited, changed, pending, notes, overridden, .. }) => {
                let was_refused = node.reloading.status().last_error.is_some();
                node.reloading.accepted(pending.clone());
                if !changed.is_empty() {
                    self.logs.apply(&settings.telemetry);
                    node.apply(settings);
                }
                last.running = running;
                let news: Vec<_> = notes.iter().filter(|note| !last.notes.contains(note)).collect();
                let changes = Changes { changed, pending };
                // A ConfigMap, or an editor, touches files several times for one change, which is one line in the log.
                if was_refused && changes.changed.is_empty() {
                    info!("Settings are good again: {trigger}");
                }
                if edited || was_refused || !news.is_empty() || trigger != Trigger::Files {
                    tell(trigger, &changes, &overridden, &news);
                } else {
                    debug!("Settings read again, nothing is written otherwise: {trigger}");
                }
                last.notes = notes;
                Ok(changes)
            }
            Err(LoadError { problems }) => {
                let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
                let is_known = node.reloading.status().last_error == Some(told.join("\n"));
                node.reloading.refused(&told);
                if is_known && trigger == Trigger::Files {
                    return Err(told);
                }
                error!(problems = problems.len(), "Settings refused, the old ones stay: {trigger}");
                for problem in &problems {
                    error!(help = problem.help, "{}", problem.line());
                }
                Err(told)
            }
        }
    }

    fn newest(&self, running: &RunningSettings) -> Result<Update, LoadError> {
        let update = self.sources.reload(running)?;
        // What the next start would end with is wrong now, not only then. Only where it waits, because a certificate may
        // be half exchanged at the moment in which something else is edited.
        if update.pending.iter().any(|key| Resources::are_named_by(key)) {
            Resources::of(&update.after_restart)?;
        }
        NoVerificationKey::find(&update.settings).map_or(Ok(update), |nobody| Err(no_key_left(&nobody)))
    }
}

/// What `reading` has come to; a panic is our own mistake, and told as settings that were refused.
async fn outcome(reading: JoinHandle<Outcome>, reloading: &Reloading, trigger: Trigger) -> Outcome {
    reading.await.unwrap_or_else(|panicked| {
        error!("Settings refused, the old ones stay: {trigger}: {panicked}");
        let told = vec!["they could not be read, by a mistake of the server; its log says which".to_owned()];
        reloading.refused(&told);
        Err(told)
    })
}

/// Settings by which nobody could come in any more: all channels would end, and the next start be refused.
fn no_key_left(nobody: &NoVerificationKey) -> LoadError {
    LoadError {
        problems: vec![Problem {
            location: None,
            key: "auth.jwt_secret".into(),
            message: format!(
                "no secret to verify tokens with would be left, nor any other key{}",
                nobody.about_key_sets()
            ),
            help: Some("leave one to some tenant at least; to close them, suspend them".into()),
        }],
    }
}

/// Says in the log what a reload has come to.
fn tell(trigger: Trigger, changes: &Changes, overridden: &[String], news: &[&Note]) {
    let Changes { changed, pending } = changes;
    match changed.as_slice() {
        [] => info!("Settings read again, nothing changes: {trigger}"),
        changed => info!(changed = names(changed), "Settings have changed: {trigger}"),
    }
    if !pending.is_empty() {
        warn!(pending = names(pending), "Some settings wait for a restart");
    }
    for sentence in overridden.iter().take(NAMES_SHOWN) {
        warn!("{sentence}");
    }
    for note in news {
        warn!("{}", note.text);
    }
}

/// A list for one line of the log; of a long one only the beginning.
pub(crate) fn names(keys: &[String]) -> String {
    let shown = keys[..keys.len().min(NAMES_SHOWN)].join(", ");
    match keys.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reload_that_panics_is_told_as_one_that_is_refused() {
        let reloading = Reloading::new();
        let reading = tokio::task::spawn_blocking(|| -> Outcome { panic!("as it should in this test") });
        let told = outcome(reading, &reloading, Trigger::Hangup).await.expect_err("it is refused");
        assert_eq!(reloading.status().last_error, Some(told.join("\n")));
    }
}
