//! Tells when files have changed, however they are changed.
//!
//! Folders are watched, not files: an editor puts a new file in the place of the old one, and Kubernetes
//! turns a link (`..data`) by which all files of a folder change at once; a watch on the file would go on
//! looking at what is gone. Whether one of *our* files changed is told by where its path leads now, and by
//! size and time of what is there, so a busy neighbour in the folder is no news.
//!
//! Changes that come together are told once, when there has been none for a moment: whoever writes a file in
//! place has it empty first, then half. Where the system tells nothing (network file systems, some shared
//! folders of virtual machines), files are looked at every half minute. That is done on threads that may wait
//! for a disk.

mod watched_files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use watched_files::WatchedFiles;

/// Why files cannot be watched.
pub use notify::Error as WatchError;

/// How long nothing may change before a change is told: a certificate and its key are two files.
const SETTLE: Duration = Duration::from_millis(100);

/// How many such moments a change may go on before it is told all the same.
const MOMENTS: u32 = 7;

/// How often the files are looked at without any sign.
const RECHECK: Duration = Duration::from_secs(30);

/// Some files, and a system that tells when something happens around them.
pub struct Watch {
    watched_files: Arc<Mutex<WatchedFiles>>,
    signs: Arc<Notify>,
}

impl Watch {
    /// Watches `files`. What happens to them from now on is told by [`changed`](Self::changed). A file may be
    /// missing, and may be a folder: that changes when something in it comes or goes.
    ///
    /// # Errors
    /// When the system cannot watch anything (more), as when all of its watches are taken.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> notify::Result<Self> {
        let signs = Arc::new(Notify::new());
        let told = Arc::clone(&signs);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_no_sign(event.kind)) {
                return;
            }
            told.notify_one();
        })?;
        let mut watched_files = WatchedFiles::with(watcher);
        watched_files.look_at(files.into_iter().collect());
        Ok(Self { watched_files: Arc::new(Mutex::new(watched_files)), signs })
    }

    /// Watches other files instead, which are listed on a thread that may wait.
    pub async fn look_at(&mut self, files: impl FnOnce() -> Vec<PathBuf> + Send + 'static) {
        self.have(move |watched_files| watched_files.look_at(files())).await;
    }

    /// Waits until one of the files is no longer what it was, and has been left alone for a moment.
    ///
    /// Safe to drop while it waits: a change is told by the next call.
    pub async fn changed(&mut self) {
        while !self.have(WatchedFiles::see_news).await {
            let _nothing_told = timeout(RECHECK, self.signs.notified()).await;
        }
        settled(|| self.have(|watched_files| watched_files.look())).await;
        self.have(WatchedFiles::arm).await;
    }

    /// What `look` sees. A network file system may keep it waiting, and then nobody else with it.
    async fn have<T: Send + 'static>(&self, look: impl FnOnce(&mut WatchedFiles) -> T + Send + 'static) -> T {
        let watched_files = Arc::clone(&self.watched_files);
        match tokio::task::spawn_blocking(move || look(&mut watched_files.lock())).await {
            Ok(seen) => seen,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down: nobody will hear of anything.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }
}

/// Waits for a change, for ever if the system watches nothing more.
pub async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until two looks a moment apart have seen the same, but not for ever.
async fn settled<Sight: PartialEq, Look: Future<Output = Sight>>(look: impl Fn() -> Look) {
    let mut seen = look().await;
    for _moment in 0..MOMENTS {
        sleep(SETTLE).await;
        let now = look().await;
        if now == seen {
            return;
        }
        seen = now;
    }
}

/// Reading changes nothing, and we read ourselves. A file that is being written is told once it is closed, where
/// the system tells that; before, half of it may be there, and a log that grows beside it is never closed.
fn is_no_sign(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access != AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => cfg!(target_os = "linux"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
