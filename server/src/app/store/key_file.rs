//! The key that is generated for the embedded store, in a file beside it, and its replacement by another.
//!
//! | file | content |
//! |---|---|
//! | `encryption-key` | the key |
//! | `encryption-key.next` | the key that replaces it, while `store rekey` is not finished |
//!
//! While there are two, what is written is encrypted with the next one, and what is read may be with either. The next one is
//! on disk before anything is encrypted with it, and takes the place of the other when nothing is left under that. So a
//! process may end at any moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use settings::file_access::{self, SizeLimit};

/// The name of the file with the key.
pub(super) const FILE: &str = "encryption-key";

const NEXT: &str = "encryption-key.next";

/// The name of a key file until it is complete.
const UNFINISHED: &str = "encryption-key.unfinished";

/// Bytes of a key: of AES-256, in base64.
const KEY_BYTES: usize = 32;

/// The key files in a data folder.
#[derive(Debug)]
pub(super) struct KeyFile(PathBuf);

/// The keys in them.
#[derive(Debug)]
pub(super) struct KeptKeys {
    /// What new secrets are encrypted with.
    pub(super) current: SecretString,
    /// What encrypted them before, none or one in most cases.
    pub(super) previous: Vec<SecretString>,
}

impl KeyFile {
    pub(super) fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The keys of earlier runs, or a new one that only its owner may read.
    #[cfg(feature = "sqlite")]
    pub(super) fn keys(&self) -> io::Result<KeptKeys> {
        let key = self.read(FILE)?;
        if let Some(key) = key.as_ref().filter(|key| key.expose_secret().len() != KEY_BYTES) {
            let bytes = key.expose_secret().len();
            return Err(io::Error::other(format!(
                "`{FILE}` has {bytes} bytes, and needs exactly {KEY_BYTES}"
            )));
        }
        let (current, previous) = match (self.next()?, key) {
            (Some(next), key) => (next, Vec::from_iter(key)),
            (None, Some(key)) => (key, Vec::new()),
            (None, None) => (self.write_new(FILE)?, Vec::new()),
        };
        Ok(KeptKeys { current, previous })
    }

    /// All keys that are there.
    pub(super) fn existing(&self) -> io::Result<Vec<SecretString>> {
        Ok(self.read(FILE)?.into_iter().chain(self.next()?).collect())
    }

    /// A key that is to replace the one that is there: a new one, or that of a replacement which was not finished.
    pub(super) fn begin_replacement(&self) -> io::Result<KeptKeys> {
        let previous = Vec::from_iter(self.read(FILE)?);
        let current = match self.next()? {
            Some(next) => next,
            None => {
                self.remove_incomplete_next()?;
                self.write_new(NEXT)?
            }
        };
        Ok(KeptKeys { current, previous })
    }

    /// Makes the next key the only one.
    pub(super) fn finish_replacement(&self) -> io::Result<()> {
        let (next, file) = (self.0.join(NEXT), self.0.join(FILE));
        file_access::within_deadline(&file.clone(), move || fs::rename(next, file))?;
        self.sync_folder()
    }

    fn remove_incomplete_next(&self) -> io::Result<()> {
        match fs::remove_file(self.0.join(NEXT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _removed => Ok(()),
        }
    }

    /// The next key. What was not written to its end has encrypted nothing.
    fn next(&self) -> io::Result<Option<SecretString>> {
        Ok(self.read(NEXT)?.filter(|key| key.expose_secret().len() == KEY_BYTES))
    }

    fn read(&self, name: &str) -> io::Result<Option<SecretString>> {
        match file_access::read_text(&self.0.join(name), SizeLimit::SECRET) {
            Ok(key) => Ok(Some(key.trim_end().into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_new(&self, name: &str) -> io::Result<SecretString> {
        let key = generated()?;
        let (file, unfinished) = (self.0.join(name), self.0.join(UNFINISHED));
        let mut options = OpenOptions::new();
        let mut opened = file_access::open(&unfinished, options.write(true).create(true).truncate(true))?;
        opened.write_all(key.expose_secret().as_bytes())?;
        // What is encrypted with it must not outlive it.
        opened.sync_all()?;
        // A link, since it fails where there is a key already.
        file_access::within_deadline(&file.clone(), move || {
            fs::hard_link(&unfinished, file)?;
            fs::remove_file(unfinished)
        })?;
        self.sync_folder()?;
        Ok(key)
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.0.clone();
        file_access::within_deadline(&self.0.join("*"), move || File::open(folder)?.sync_all())
    }
}

/// 32 characters, which AES-256 takes as its key.
pub(super) fn generated() -> io::Result<SecretString> {
    let mut random = [0; KEY_BYTES / 4 * 3];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random).into())
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    fn text(key: &SecretString) -> String {
        key.expose_secret().to_owned()
    }

    #[test]
    fn a_replacement_goes_on_where_it_was_interrupted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = KeyFile::of(folder.path());
        let first = file.keys().expect("a new key");
        assert!(first.previous.is_empty());
        // Half of a key, of a process that ended while it wrote it.
        fs::write(folder.path().join(NEXT), "half").expect("written");
        assert_eq!(text(&file.keys().expect("the key").current), text(&first.current));

        let begun = file.begin_replacement().expect("another key");
        assert_ne!(text(&begun.current), text(&first.current));
        for keys in [file.keys().expect("two keys"), file.begin_replacement().expect("the same keys")] {
            assert_eq!(text(&keys.current), text(&begun.current));
            assert_eq!(keys.previous.iter().map(text).collect::<Vec<_>>(), [text(&first.current)]);
        }
        file.finish_replacement().expect("renamed");
        let keys = file.keys().expect("one key");
        assert_eq!((text(&keys.current), keys.previous.is_empty()), (text(&begun.current), true));
    }
}
