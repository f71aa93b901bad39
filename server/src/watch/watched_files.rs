//! What can be seen of some files now, and which folders have to be watched to hear of more.
//!
//! Everything here asks the file system and may have to wait for it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{debug, warn};

/// Links that one path may lead through, as many as Linux follows itself.
const LINKS: usize = 40;

/// Which file a path leads to, and which edition of it: device, number, size, seconds and nanoseconds.
pub(super) type FileStamp = Option<(u64, u64, u64, i64, i64)>;

/// Some files, as they were when last looked at, and the folders that are watched for them.
pub(super) struct WatchedFiles {
    files: Vec<PathBuf>,
    editions: Vec<FileStamp>,
    folders: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    /// Whether a folder cannot be watched that should be.
    blind: bool,
    /// Why, until it has been told.
    pub(super) complaint: Option<String>,
}

impl WatchedFiles {
    pub(super) fn with(watcher: RecommendedWatcher) -> Self {
        let (files, editions, folders) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { files, editions, folders, watcher, blind: false, complaint: None }
    }

    pub(super) fn look_at(&mut self, files: Vec<PathBuf>) {
        self.files = files;
        self.arm();
    }

    /// Watches every folder that matters now, then looks: what happens in between is seen either way. Those
    /// watched before are watched anew, because another folder may stand where they stood.
    pub(super) fn arm(&mut self) {
        for folder in std::mem::take(&mut self.folders) {
            let _gone = self.watcher.unwatch(&folder);
        }
        let mut unwatched = None;
        for folder in self.files.iter().flat_map(|file| folders(file)).collect::<BTreeSet<_>>() {
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder)),
                Err(error) if is_missing(&error) => debug!("Nothing to watch at {}", folder.display()),
                Err(error) => unwatched = unwatched.or(Some((folder, error))),
            }
        }
        let was_blind = std::mem::replace(&mut self.blind, unwatched.is_some());
        if let Some((folder, mut error)) = unwatched.filter(|_| !was_blind) {
            // Told here, as part of a sentence.
            error.paths.clear();
            let why = error.to_string();
            self.complaint =
                Some(format!("Cannot watch {}: {}", folder.display(), why.trim_end_matches('.')));
        }
        self.editions = self.look();
    }

    /// Whether a file is no longer what it was when the folders were armed.
    pub(super) fn see_news(&mut self) -> bool {
        // Not where it was noticed: at the start that is before anybody writes the log.
        if let Some(complaint) = self.complaint.take() {
            warn!("{complaint}. An edit may be felt half a minute late; SIGHUP hurries it");
        }
        self.editions != self.look() || self.see_new_folders() && self.editions != self.look()
    }

    /// Watches folders that have come on the way to a missing file. Whether there are any.
    fn see_new_folders(&mut self) -> bool {
        let missing = self.files.iter().zip(&self.editions).filter(|(_, edition)| edition.is_none());
        let wanted: BTreeSet<_> = missing.flat_map(|(file, _)| folders(file)).collect();
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

    /// Which edition of each file is there now.
    pub(super) fn look(&self) -> Vec<FileStamp> {
        let edition = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        self.files.iter().map(edition).collect()
    }
}

/// Whether there is no such folder. The one above is watched, so that we hear when it comes.
fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
        _ => false,
    }
}

/// Where something has to happen for `file` to change: its own folder, the one above (where its folder may be
/// replaced or come), the same of every link on the way and of what it leads to, and itself if it is a folder.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let (mut folders, mut path) = (BTreeSet::new(), file.to_owned());
    folders.extend(above(&path));
    for _ in 0..LINKS {
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
        // Put together anew, because nothing to add would leave a slash, which leads through the last link.
        let leads_to = folder.join(target).join(rest).components().collect();
        Some((step.to_owned(), leads_to))
    })
}

/// The folder of `path`, the one above, and further up to one that is there.
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
