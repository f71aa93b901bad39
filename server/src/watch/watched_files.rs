//! The present state of some files, and the folders that have to be watched to notice changes of it.
//!
//! Everything here reads the file system, and may block.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use settings::file_access::within_deadline;
use tracing::{debug, warn};

/// How often the files are compared without an event.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// The same while folders are not known, so that a file system which responds again is watched soon.
const UNLISTED_RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Links that one path may lead through; Linux follows as many itself.
const LINKS_MAX: usize = 40;

/// Which file a path leads to, and in which version: device, inode, size, seconds and nanoseconds of the modification.
pub(super) type FileStamp = Option<(u64, u64, u64, i64, i64)>;

/// Some files, as they were when their folders were armed, and these folders.
pub(super) struct WatchedFiles {
    /// Lists the files, which may become others.
    list: Box<dyn Fn() -> Vec<PathBuf> + Send>,
    stamps: Vec<(PathBuf, FileStamp)>,
    folders: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    /// Whether a folder that should be watched cannot be.
    has_unwatched: bool,
    /// Whether folders are not known, and so not watched, because their file system did not respond.
    has_unlisted: bool,
    /// Which and why, until it has been logged.
    pub(super) unlogged_problem: Option<String>,
}

impl WatchedFiles {
    /// Watches the files that `list` returns whenever it is called.
    pub(super) fn armed(
        watcher: RecommendedWatcher,
        list: impl Fn() -> Vec<PathBuf> + Send + 'static,
    ) -> Self {
        let mut watched_files = Self {
            list: Box::new(list),
            stamps: Vec::new(),
            folders: BTreeSet::new(),
            watcher,
            has_unwatched: false,
            has_unlisted: false,
            unlogged_problem: None,
        };
        watched_files.arm();
        watched_files
    }

    /// Watches every folder that matters now, then takes the stamps: a change in between is noticed either way. Folders
    /// watched before are watched anew, because another folder may have taken their place.
    pub(super) fn arm(&mut self) {
        for folder in std::mem::take(&mut self.folders) {
            let _gone = self.watcher.unwatch(&folder);
        }
        let mut unwatched = None;
        let (wanted, are_complete) = folders_of(&(self.list)());
        self.has_unlisted = !are_complete;
        for folder in wanted {
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder)),
                Err(error) if is_missing(&error) => debug!("Nothing to watch at {}", folder.display()),
                Err(error) => unwatched = unwatched.or(Some((folder, error))),
            }
        }
        let had_unwatched = std::mem::replace(&mut self.has_unwatched, unwatched.is_some());
        if let Some((folder, mut error)) = unwatched.filter(|_| !had_unwatched) {
            // The sentence below names the folder.
            error.paths.clear();
            let why = error.to_string();
            self.unlogged_problem =
                Some(format!("Cannot watch {}: {}", folder.display(), why.trim_end_matches('.')));
        }
        self.stamps = self.stamps();
    }

    /// After how long to compare the files again if there is no event until then; `None` if one of them is no longer what it
    /// was when the folders were armed.
    pub(super) fn recheck_interval(&mut self) -> Option<Duration> {
        // Not where it was noticed: at the start that is before the log is open.
        if let Some(problem) = self.unlogged_problem.take() {
            warn!(
                "{problem}. An edit may be noticed half a minute late; SIGHUP makes the server read it at once"
            );
        }
        if self.stamps != self.stamps() || self.watch_new_folders() && self.stamps != self.stamps() {
            return None;
        }
        Some(if self.has_unlisted { UNLISTED_RECHECK_INTERVAL } else { RECHECK_INTERVAL })
    }

    /// Watches folders that have been created on the way to a missing file, and folders that could not be listed before.
    /// Returns whether there are any.
    fn watch_new_folders(&mut self) -> bool {
        let unwatched = self.stamps.iter().filter(|(_, stamp)| self.has_unlisted || stamp.is_none());
        let (wanted, are_complete) = folders_of(unwatched.map(|(file, _)| file));
        self.has_unlisted = !are_complete;
        let watched = self.folders.len();
        for folder in wanted {
            if !self.folders.contains(&folder)
                && self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.folders.insert(folder);
            }
        }
        self.folders.len() > watched
    }

    /// The files of now, each with its stamp. Where the file system does not respond there is none, as for a missing file: so
    /// both the failure and its end are changes, and the reader of the file reports the cause.
    pub(super) fn stamps(&self) -> Vec<(PathBuf, FileStamp)> {
        let files = (self.list)();
        let in_one_folder = files.chunk_by(|one, other| one.parent() == other.parent());
        let stamps = in_one_folder.flat_map(|files| {
            let (paths, number) = (files.to_vec(), files.len());
            let stamps =
                within_deadline(&files[0], move || Ok(paths.iter().map(|file| stamp(file)).collect()));
            stamps.unwrap_or_else(|_no_response| vec![None; number])
        });
        let stamps: Vec<_> = stamps.collect();
        files.into_iter().zip(stamps).collect()
    }
}

fn stamp(file: &Path) -> FileStamp {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

/// The folders of each of these files, and whether they are complete. A file whose file system does not respond has none
/// until it does: a watch on its folder would block as well.
fn folders_of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> (BTreeSet<PathBuf>, bool) {
    let (mut all, mut are_complete) = (BTreeSet::new(), true);
    for file in files {
        let path = file.clone();
        match within_deadline(file, move || Ok(folders(&path))) {
            Ok(folders) => all.extend(folders),
            Err(_no_response) => are_complete = false,
        }
    }
    (all, are_complete)
}

/// Whether there is no such folder. The one above is watched, so that its creation is noticed.
fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
        _ => false,
    }
}

/// The folders in which something has to happen for `file` to change: its own, the one above (where its folder may be
/// replaced or created), the same of every link on the way and of its target, and itself if it is a folder.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let (mut folders, mut path) = (BTreeSet::new(), file.to_owned());
    folders.extend(above(&path));
    for _ in 0..LINKS_MAX {
        let Some((link, leads_to)) = first_link(&path) else { break };
        folders.extend(above(&link));
        folders.extend(above(&leads_to));
        path = leads_to;
    }
    if path.is_dir() {
        folders.insert(path);
    }
    folders
}

/// The first link on the way to `path`, and `path` with that link followed.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let steps: Vec<_> = path.ancestors().collect();
    steps.into_iter().rev().find_map(|step| {
        let target = fs::read_link(step).ok()?;
        let (folder, rest) = (step.parent()?, path.strip_prefix(step).ok()?);
        // Collected from components: joining an empty rest would leave a slash, which follows the last link.
        let leads_to = folder.join(target).join(rest).components().collect();
        Some((step.to_owned(), leads_to))
    })
}

/// The folder of `path`, the one above, and further up to one that exists.
fn above(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for folder in path.ancestors().skip(1) {
        // The parent of `config.toml` is the empty path: the folder the program runs in.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folders.insert(folder.to_owned());
        if folders.len() > 1 && folder.exists() {
            break;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_folder_is_watched_that_responds_again_between_its_listing_and_the_stamps() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        fs::write(&file, "1").expect("written");
        // As a system call does on a network file system whose server is away.
        let (release, blocked) = mpsc::channel::<()>();
        let overdue = within_deadline(&file, move || {
            let _released = blocked.recv();
            Ok(())
        });
        assert!(overdue.is_err(), "it does not respond");
        let (events, event) = mpsc::channel();
        let watcher = notify::recommended_watcher(move |_event| {
            let _ended = events.send(());
        })
        .expect("a watcher");
        let listed = file.clone();
        let mut watched_files = WatchedFiles::armed(watcher, move || vec![listed.clone()]);
        drop(release);
        while within_deadline(&file, || Ok(())).is_err() {
            std::thread::yield_now();
        }
        watched_files.stamps = watched_files.stamps();

        assert_eq!(watched_files.recheck_interval(), Some(RECHECK_INTERVAL), "nothing has changed");
        fs::write(&file, "22").expect("written");
        event.recv_timeout(Duration::from_secs(5)).expect("its folder is watched");
    }
}
