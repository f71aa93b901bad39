//! Reports when files have changed, in whatever way they are changed.
//!
//! Folders are watched, not files: an editor puts a new file in the place of the old one, and Kubernetes replaces a link
//! (`..data`) by which all files of a folder change at once; a watch on the file would stay on the one that is gone.
//! Whether one of *our* files has changed is decided by where its path leads now, and by size and time of what is there,
//! so other files in the folder make no difference.
//!
//! Changes that come together are reported once, when there has been none for a moment: a file that is written in place
//! is empty first, then incomplete. Where the system reports nothing (network file systems, some shared folders of virtual
//! machines), the files are compared every half minute. That is done on threads that may wait for a disk.

mod watched_files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use settings::file_access::Persistence;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use watched_files::WatchedFiles;

/// Why files cannot be watched.
pub use notify::Error as WatchError;

/// How long nothing may change before a change is reported: a certificate and its key are two files.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// How many such intervals a change may go on before it is reported all the same.
const SETTLE_INTERVALS_MAX: u32 = 7;

/// The first pause before an attempt to read again, and the longest.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The doublings that reach the longest.
const RETRY_DOUBLINGS_MAX: u32 = 5;

/// Some files, and the events of the system about their folders.
pub struct Watch {
    /// Locked as a task, not by a thread: calls that wait for one that a file system blocks take no threads.
    watched_files: Arc<Mutex<WatchedFiles>>,
    events: Arc<Notify>,
}

impl Watch {
    /// Watches the files that `list` returns, which is called for every comparison: they may become others, and that is a
    /// change as well. Changes from now on are reported by [`changed`](Self::changed). A file may be missing, and may be a
    /// folder: that changes when something in it comes or goes.
    ///
    /// # Errors
    /// When the system cannot watch anything (more), for example because all of its watches are taken.
    pub fn new(list: impl Fn() -> Vec<PathBuf> + Send + 'static) -> notify::Result<Self> {
        let events = Arc::new(Notify::new());
        let notified = Arc::clone(&events);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_irrelevant(event.kind)) {
                return;
            }
            notified.notify_one();
        })?;
        let watched_files = WatchedFiles::armed(watcher, list);
        Ok(Self { watched_files: Arc::new(Mutex::new(watched_files)), events })
    }

    /// Waits until one of the files is no longer what it was, and nothing has changed for a moment.
    ///
    /// Safe to drop while it waits: the next call reports the change.
    pub async fn changed(&mut self) {
        while let Some(interval) = self.with_files(WatchedFiles::recheck_interval).await {
            let _event_or_elapsed = timeout(interval, self.events.notified()).await;
        }
        settled(|| self.with_files(|watched_files| watched_files.stamps())).await;
        self.with_files(WatchedFiles::arm).await;
    }

    /// The result of `look`, on a thread of its own: a network file system may block it.
    async fn with_files<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut WatchedFiles) -> T + Send + 'static,
    ) -> T {
        let mut watched_files = Arc::clone(&self.watched_files).lock_owned().await;
        match tokio::task::spawn_blocking(move || look(&mut watched_files)).await {
            Ok(result) => result,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and this task with it.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }
}

/// When files are read again that could not be read for a reason that passes, which changes nothing that is watched.
#[derive(Debug, Default)]
pub struct Retry {
    attempts: u32,
    at: Option<Instant>,
}

impl Retry {
    /// Notes the outcome of a reading.
    pub fn after(&mut self, persistence: Persistence) {
        if persistence == Persistence::UntilEdited {
            return *self = Self::default();
        }
        let now = Instant::now();
        if self.at.is_some_and(|at| now < at) {
            // Read for another reason, which does not postpone what is due: an operator may ask again and again.
            return;
        }
        let pause = RETRY_PAUSE_MIN * 2_u32.pow(self.attempts);
        self.at = Some(now + pause.min(RETRY_PAUSE_MAX));
        self.attempts = (self.attempts + 1).min(RETRY_DOUBLINGS_MAX);
    }

    /// Waits until it is time; for ever if there is no reason to read again.
    pub async fn due(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Waits for a change; for ever if nothing is watched.
pub async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until two looks an interval apart have the same result, but not for ever.
async fn settled<T: PartialEq, Look: Future<Output = T>>(look: impl Fn() -> Look) {
    let mut last = look().await;
    for _interval in 0..SETTLE_INTERVALS_MAX {
        sleep(SETTLE_INTERVAL).await;
        let now = look().await;
        if now == last {
            return;
        }
        last = now;
    }
}

/// Whether an event is no reason to compare the files. Reading changes nothing, and the server reads itself. Where the
/// system reports that a written file is closed, only that counts: before, half of it may be there, and a log file in the
/// same folder is written all the time.
fn is_irrelevant(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access != AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => cfg!(target_os = "linux"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
