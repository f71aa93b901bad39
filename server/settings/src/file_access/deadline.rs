//! Accesses to file systems that may not respond: a network file system whose server is away blocks a thread in a system
//! call, for as long as it is away.
//!
//! An access runs on a thread of its own, for which its caller waits [`DEADLINE`]. While such a thread is overdue, further
//! accesses in its folder fail at once, so that one folder never holds more threads than began within one deadline, however
//! often the server reads.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use humantime_serde::re::humantime::format_rfc3339_seconds;

/// How long an access may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// The folders with an overdue access, which are at most as many as the folders of settings, secrets and certificates.
static OVERDUE: Mutex<BTreeMap<PathBuf, Overdue>> = Mutex::new(BTreeMap::new());

/// An access that has exceeded the deadline.
struct Overdue {
    file: PathBuf,
    since: SystemTime,
    /// Dropped by its thread when it ends.
    thread: Weak<()>,
}

impl Overdue {
    fn error(&self) -> io::Error {
        let (file, since) = (self.file.display(), format_rfc3339_seconds(self.since));
        let text = format!("the file system does not respond: still waiting for {file} since {since}");
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

/// The result of `access`, which accesses `file` or others in its folder.
///
/// # Errors
/// That of `access`; or [`io::ErrorKind::TimedOut`] when it takes too long, or an earlier access in this folder still does.
///
/// # Panics
/// When `access` does.
pub fn within_deadline<T: Send + 'static>(
    file: &Path,
    access: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let folder = file.parent().unwrap_or(file).to_owned();
    if let Some(error) = overdue_in(&folder) {
        return Err(error);
    }
    let since = SystemTime::now();
    let running = Arc::new(());
    let thread = Arc::downgrade(&running);
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        let _running = running;
        // No receiver is left once it is overdue.
        let _overdue = sender.send(access());
    };
    let handle = thread::Builder::new().name("file access".into()).spawn(run)?;
    match receiver.recv_timeout(DEADLINE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Disconnected) => match handle.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread sends its result before it ends"),
        },
        Err(RecvTimeoutError::Timeout) => {
            let overdue = Overdue { file: file.to_owned(), since, thread };
            let error = overdue.error();
            OVERDUE.lock().unwrap_or_else(PoisonError::into_inner).insert(folder, overdue);
            Err(error)
        }
    }
}

/// The error of an access in `folder` while an earlier one is overdue.
fn overdue_in(folder: &Path) -> Option<io::Error> {
    let mut all = OVERDUE.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, overdue| overdue.thread.strong_count() > 0);
    all.get(folder).map(Overdue::error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    static THREADS: AtomicUsize = AtomicUsize::new(0);

    // Blocks until the test releases it, as a system call does on a network file system whose server is away.
    #[test]
    fn one_access_that_does_not_end_takes_one_thread_and_its_folder_recovers() {
        let (release, blocked) = mpsc::channel::<()>();
        let file = Path::new("/a folder of this test/file");
        let error = within_deadline(file, move || {
            THREADS.fetch_add(1, Ordering::Relaxed);
            let _released = blocked.recv();
            Ok(())
        });
        let first = error.expect_err("it does not end").to_string();
        assert!(first.contains("still waiting for /a folder of this test/file since 2"), "{first}");
        let began = Instant::now();
        for _ in 0..100 {
            let again = within_deadline(&file.with_file_name("other"), || {
                THREADS.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            assert_eq!(again.expect_err("its folder is awaited").to_string(), first);
        }
        assert!(began.elapsed() < DEADLINE, "at once");
        assert_eq!(within_deadline(Path::new("/another folder/file"), || Ok(7)).expect("another folder"), 7);
        drop(release);
        while within_deadline(file, || Ok(())).is_err() {
            thread::yield_now();
        }
        assert_eq!(THREADS.load(Ordering::Relaxed), 1);
    }
}
