//! How the server accesses files: settings, secrets, certificates, keys, and those of its data folder.
//!
//! One way for all of them, so that no file can stop or fill the process, whatever is put in its place. Only regular files
//! are read, without blocking, and only up to the size that their kind may have. No access waits longer than
//! [`DEADLINE`](deadline::DEADLINE) for a file system. Failures that pass by themselves are tried again for a second, and
//! [`Persistence`] tells callers which ones are worth a later attempt.

mod deadline;

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

pub use self::deadline::within_deadline;
use crate::units::format_size;

/// Milliseconds of pauses before further attempts at an access that fails for a reason that passes: a second altogether.
const RETRY_PAUSES: [u64; 7] = [10, 20, 40, 80, 160, 320, 640];

/// Entries of one folder that are listed.
const ENTRIES_MAX: usize = 10_000;

/// How much may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    bytes_left: u64,
    bytes_max: u64,
    /// What the limit is for, as the subject of «may have».
    of: &'static str,
}

impl SizeLimit {
    /// For the files of one load of the settings together. Twelve thousand tenants with a key of their own
    /// are 0.9 MB. More than this, of any text, would take the parser above 128 MiB.
    pub const SETTINGS: Self = Self::new(3 << 19, "all files of settings together");
    /// For a file with secrets, or with a key set.
    pub const SECRET: Self = Self::new(1 << 20, "a file with a secret");
    /// For a file with certificates or a key. The CA certificates of an operating system are 220 kB.
    pub const PEM: Self = Self::new(4 << 20, "a file with certificates or a key");

    const fn new(bytes_max: u64, of: &'static str) -> Self {
        Self { bytes_left: bytes_max, bytes_max, of }
    }

    /// Subtracts `bytes` that were read from what may be read further.
    pub(crate) fn subtract(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
    }

    fn exceeded_by(&self, found: &str) -> io::Error {
        let text =
            format!("it is too large: {found}, and {} may have {}", self.of, format_size(self.bytes_max));
        io::Error::new(io::ErrorKind::FileTooLarge, text)
    }
}

/// Whether a failure ends without an edit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Persistence {
    /// The file, or what it holds, has to be changed.
    #[default]
    UntilEdited,
    /// A later attempt may succeed: descriptors were used up, or a file system did not respond.
    MayPass,
}

impl Persistence {
    /// That of this failure.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind::{Interrupted, NotConnected, StaleNetworkFileHandle, TimedOut, WouldBlock};
        let kinds = [Interrupted, NotConnected, StaleNetworkFileHandle, TimedOut, WouldBlock];
        let codes = [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::NOMEM];
        let has_code =
            error.raw_os_error().is_some_and(|code| codes.iter().any(|one| one.raw_os_error() == code));
        if has_code || kinds.contains(&error.kind()) { Self::MayPass } else { Self::UntilEdited }
    }
}

/// The contents of `file`.
///
/// # Errors
/// When it is no regular file, larger than `limit`, or not readable, and when the file system does not respond.
pub fn read(file: &Path, limit: SizeLimit) -> io::Result<Vec<u8>> {
    let path = file.to_owned();
    within_deadline(file, move || retried(|| read_now(&path, limit)))
}

/// The contents of `file` as text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(file: &Path, limit: SizeLimit) -> io::Result<String> {
    let not_text = |_invalid| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8");
    String::from_utf8(read(file, limit)?).map_err(not_text)
}

/// Opens `file`, which only the user of this process may read if it is created; with `options` that say what for.
///
/// # Errors
/// When it is no regular file or cannot be opened, and when the file system does not respond.
pub fn open(file: &Path, options: &OpenOptions) -> io::Result<File> {
    let (path, mut options) = (file.to_owned(), options.clone());
    within_deadline(file, move || open_now(&path, options.mode(0o600)))
}

/// Makes `folder` and those above it, where they are not there.
///
/// # Errors
/// When it cannot be made, and when the file system does not respond.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let path = folder.to_owned();
    within_deadline(&folder.join("*"), move || fs::create_dir_all(path))
}

/// What is at `file`, without following a link.
pub(crate) fn link_metadata(file: &Path) -> io::Result<Metadata> {
    let path = file.to_owned();
    within_deadline(file, move || retried(|| fs::symlink_metadata(&path)))
}

/// The paths in `folder`, in no order.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let path = folder.to_owned();
    // As an access to what the folder contains: a mounted folder and the one above may differ in whether they respond.
    within_deadline(&folder.join("*"), move || {
        retried(|| fs::read_dir(&path)?.take(ENTRIES_MAX).map(|entry| Ok(entry?.path())).collect())
    })
}

/// The result of `access`, which is repeated while it fails for a reason that passes, for a second.
fn retried<T>(access: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for pause in RETRY_PAUSES {
        match access() {
            Err(error) if Persistence::of(&error) == Persistence::MayPass => {
                thread::sleep(Duration::from_millis(pause));
            }
            result => return result,
        }
    }
    access()
}

fn read_now(file: &Path, limit: SizeLimit) -> io::Result<Vec<u8>> {
    let opened = open_now(file, OpenOptions::new().read(true))?;
    let metadata = opened.metadata()?;
    if metadata.len() > limit.bytes_left {
        return Err(limit.exceeded_by(&format!("it has {}", format_size(metadata.len()))));
    }
    let mut contents = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // One byte more shows that it grows while it is read, or has more than its size says, as files of `/proc` have.
    opened.take(limit.bytes_left + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > limit.bytes_left {
        return Err(limit.exceeded_by(&format!("it has more than {}", format_size(limit.bytes_left))));
    }
    Ok(contents)
}

/// Opens a regular file, or creates one if `options` say so. Never waits for another process.
fn open_now(file: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Before it is opened, because opening a device can have an effect; and after, because it may have been replaced.
    match fs::metadata(file) {
        Ok(found) => regular(found.file_type())?,
        // It may be created.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // `NONBLOCK` for a FIFO put there in between, which blocks a thread that opens it until another process does.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(file)?;
    regular(opened.metadata()?.file_type())?;
    Ok(opened)
}

/// Fails unless this is the type of a regular file.
fn regular(file_type: FileType) -> io::Result<()> {
    let found = match () {
        () if file_type.is_file() => return Ok(()),
        () if file_type.is_dir() => return Err(Errno::ISDIR.into()),
        () if file_type.is_fifo() => "a FIFO (named pipe)",
        () if file_type.is_socket() => "a socket",
        () if file_type.is_char_device() || file_type.is_block_device() => "a device",
        () => "no regular file",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {found}, and only regular files are used"),
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_failure_that_passes_is_tried_again_and_another_is_not() {
        let attempts = Cell::new(0);
        let failing = |errno: Errno, times: usize| {
            attempts.set(0);
            retried(|| {
                attempts.set(attempts.get() + 1);
                if attempts.get() > times { Ok(attempts.get()) } else { Err(errno.into()) }
            })
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::INTR, Errno::IO, Errno::STALE] {
            assert_eq!(failing(errno, 3).expect("it has passed"), 4, "{errno}");
        }
        assert!(failing(Errno::MFILE, 100).is_err());
        assert_eq!(attempts.get(), RETRY_PAUSES.len() + 1);
        assert!(failing(Errno::NOENT, 1).is_err());
        assert_eq!(attempts.get(), 1);
    }

    #[test]
    fn a_file_that_has_more_than_its_size_says_is_read_up_to_the_limit() {
        let limit = SizeLimit { bytes_left: 10, bytes_max: 10, of: "this test" };
        let error = read(Path::new("/proc/self/status"), limit).expect_err("it has more than ten bytes");
        assert_eq!(error.to_string(), "it is too large: it has more than 10 B, and this test may have 10 B");
    }
}
