//! Tells when files have changed, however they are changed.
//!
//! Folders are watched, not files: an editor puts a new file in the place of the old one, and Kubernetes
//! turns a link (`..data`) by which all files of a folder change at once; a watch on the file would go on
//! looking at what is gone. Whether one of *our* files changed is told by where its path leads now, and by
//! size and time of what is there, so a busy neighbour in the folder is no news.
//!
//! Changes that come together are told once. Where the system tells nothing (network file systems, some
//! shared folders of virtual machines), files are looked at every half minute.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::debug;

/// How long a change may go on before it is told: a certificate and its key are two files.
const SETTLE: Duration = Duration::from_millis(100);

/// How often the files are looked at without any sign.
const RECHECK: Duration = Duration::from_secs(30);

/// Which file a path leads to, and which edition of it: device, number, size, seconds and nanoseconds.
type Edition = Option<(u64, u64, u64, i64, i64)>;

/// Some files, and a system that tells when something happens around them.
pub struct Watch {
    files: Vec<PathBuf>,
    editions: Vec<Edition>,
    folders: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
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
        let (editions, folders) = (Vec::new(), BTreeSet::new());
        let mut watch = Self { files: Vec::new(), editions, folders, watcher, signs };
        watch.look_at(files);
        Ok(watch)
    }

    /// Watches other files instead.
    pub fn look_at(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.files = files.into_iter().collect();
        self.arm();
    }

    /// Waits until one of the files is no longer what it was.
    ///
    /// Safe to drop while it waits: a change is told by the next call.
    pub async fn changed(&mut self) {
        while self.editions == editions(&self.files) {
            let _nothing_told = tokio::time::timeout(RECHECK, self.signs.notified()).await;
        }
        tokio::time::sleep(SETTLE).await;
        self.arm();
    }

    /// Watches every folder that matters now, then looks: what happens in between is seen either way. Those
    /// watched before are watched anew, because another folder may stand where they stood.
    fn arm(&mut self) {
        for folder in std::mem::take(&mut self.folders) {
            let _gone = self.watcher.unwatch(&folder);
        }
        for folder in self.files.iter().flat_map(|file| folders(file)) {
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder)),
                Err(error) => debug!("Cannot watch {}: {error}", folder.display()),
            }
        }
        self.editions = editions(&self.files);
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

/// Where something has to happen for `file` to change: its own folder, the one above (where its folder may be
/// replaced), the one its links lead to, and itself if it is a folder.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let above = |path: &Path| path.ancestors().skip(1).take(2).map(Path::to_owned).collect::<Vec<_>>();
    let real = file.canonicalize().ok();
    let linked = real.as_deref().and_then(Path::parent).map(Path::to_owned);
    let own = file.is_dir().then(|| file.to_owned());
    let all = above(file).into_iter().chain(linked).chain(own);
    // The parent of `config.toml` is the empty path: the folder the program runs in.
    all.map(|path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }).collect()
}

fn editions(files: &[PathBuf]) -> Vec<Edition> {
    let edition = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    files.iter().map(edition).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn folder() -> TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a written file");
        path
    }

    async fn is_told(watch: &mut Watch) {
        timeout(SOON, watch.changed()).await.expect("the change is told");
    }

    #[tokio::test]
    async fn a_file_written_again_and_again_is_told_each_time() {
        let folder = folder();
        let file = write(&folder, "a", "1");
        let mut watch = Watch::new([file.clone()]).expect("a watch");
        for text in ["22", "333"] {
            fs::write(&file, text).expect("written");
            is_told(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_takes_the_others_place_is_told_and_watched_further() {
        let folder = folder();
        let file = write(&folder, "a", "1");
        let mut watch = Watch::new([file.clone()]).expect("a watch");
        for text in ["2", "3"] {
            fs::rename(write(&folder, "a.new", text), &file).expect("renamed");
            is_told(&mut watch).await;
        }
        fs::remove_file(&file).expect("removed");
        is_told(&mut watch).await;
        fs::write(&file, "4").expect("written");
        is_told(&mut watch).await;
    }

    // As Kubernetes changes the files of a ConfigMap or Secret: a -> ..data/a, ..data -> ..1.
    #[tokio::test]
    async fn a_turned_link_above_the_file_is_told_and_what_it_leads_to_is_watched() {
        let folder = folder();
        let turn = |to: &str| {
            let (fresh, link) = (folder.path().join("..data_tmp"), folder.path().join("..data"));
            symlink(to, &fresh).expect("a link");
            fs::rename(fresh, link).expect("the link is turned");
        };
        for edition in ["..1", "..2", "..3"] {
            fs::create_dir(folder.path().join(edition)).expect("a folder");
            write(&folder, &format!("{edition}/a"), "same");
        }
        turn("..1");
        let file = folder.path().join("a");
        symlink("..data/a", &file).expect("a link");
        let mut watch = Watch::new([file]).expect("a watch");
        turn("..2");
        is_told(&mut watch).await;
        turn("..3");
        fs::remove_dir_all(folder.path().join("..2")).expect("removed");
        is_told(&mut watch).await;
        write(&folder, "..3/a", "edited in place");
        is_told(&mut watch).await;
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_watched_further() {
        let folder = folder();
        fs::create_dir(folder.path().join("b")).expect("a folder");
        let file = write(&folder, "b/a", "1");
        let mut watch = Watch::new([file.clone()]).expect("a watch");
        fs::rename(folder.path().join("b"), folder.path().join("b.old")).expect("renamed");
        is_told(&mut watch).await;
        fs::create_dir(folder.path().join("b")).expect("a folder");
        write(&folder, "b/a", "2");
        is_told(&mut watch).await;
        fs::write(&file, "33").expect("written");
        is_told(&mut watch).await;
    }

    #[tokio::test]
    async fn what_comes_into_a_watched_folder_is_told() {
        let folder = folder();
        let mut watch = Watch::new([folder.path().to_owned()]).expect("a watch");
        write(&folder, "new", "");
        is_told(&mut watch).await;
    }

    #[tokio::test]
    async fn neighbours_and_reading_are_no_news() {
        let folder = folder();
        let file = write(&folder, "a", "1");
        let mut watch = Watch::new([file.clone()]).expect("a watch");
        write(&folder, "b", "1");
        fs::read(&file).expect("readable");
        fs::remove_file(folder.path().join("b")).expect("removed");
        // Long enough to look at what has happened, which is the subject here.
        assert!(timeout(SETTLE * 4, watch.changed()).await.is_err());
    }
}
