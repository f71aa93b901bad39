//! The folder for files that the server writes (`server.data_dir`), which one server locks at a time: two would overwrite
//! each other's files, and `realtime-server health` would ask the wrong one.
//!
//! The lock is one of the system (`flock`) and ends with the process, however that ends. Commands that only read the folder
//! (`token`, `health`, `config`) do not take it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use settings::{Settings, file_access};

use super::running::Running;

/// The file that is locked. It is never removed: the next server may hold it already.
const LOCK: &str = "lock";

/// The folder, as the settings name it.
#[derive(Debug)]
pub(super) struct DataDir(PathBuf);

/// The lock; dropping it releases it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why the folder is not locked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// Another server holds it.
    #[error("another server{} holds the folder {folder}: stop it, or give this one a folder of its own, such as by \
             `--set server.data_dir=DIR`", listening_on(.other))]
    Held {
        folder: String,
        /// Its address, if it has written it.
        other: Option<Running>,
    },
    /// Nothing can be written there, or the file cannot be locked. A server does not need the folder.
    #[error("the folder {folder} cannot be locked: {source}")]
    Impossible { folder: String, source: io::Error },
}

fn listening_on(other: &Option<Running>) -> String {
    other.as_ref().map(|other| format!(", which listens on {},", other.address)).unwrap_or_default()
}

impl DataDir {
    pub(super) fn of(settings: &Settings) -> Self {
        Self(settings.server.data_dir.clone())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where `serve --dev` keeps the secret it generated, and where `token` finds it.
    pub(super) fn dev_secret_file(&self) -> PathBuf {
        self.0.join("dev-secret")
    }

    /// Takes the lock, without waiting for it.
    pub(super) fn lock(&self) -> Result<Lock, LockError> {
        let impossible = |source: io::Error| LockError::Impossible { folder: self.to_string(), source };
        let file = self.open_lock().map_err(impossible)?;
        let lock = move || match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        };
        let locked = file_access::within_deadline(&self.0.join(LOCK), lock).map_err(impossible)?;
        locked.ok_or_else(|| LockError::Held { folder: self.to_string(), other: Running::find(&self.0) })
    }

    fn open_lock(&self) -> io::Result<File> {
        let file = self.0.join(LOCK);
        file_access::create_folder(&self.0)?;
        let opened = file_access::open(&file, OpenOptions::new().write(true).create(true).truncate(false));
        // It may belong to another user, or to a read-only file system: locking does not need write access.
        opened.or_else(|error| {
            file_access::open(&file, OpenOptions::new().read(true)).map_err(|_not_readable| error)
        })
    }
}

/// The absolute path, and the key that names it.
impl fmt::Display for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absolute = std::path::absolute(&self.0).unwrap_or_else(|_| self.0.clone());
        write!(f, "{} (`server.data_dir`)", absolute.display())
    }
}
