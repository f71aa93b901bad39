//! Files with secrets, or stdin in their place.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, ensure};
use secrecy::SecretString;
use settings::file_access::{self, SizeLimit};

/// More than any secret, key set or token that a server accepts.
const STDIN_BYTES_MAX: u64 = 1 << 20;

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

impl FromStr for Input {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(text.into()) })
    }
}

impl Input {
    /// The text for `option`, without the line end that editors and `echo` write.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or is longer than any secret.
    pub(super) fn secret(&self, option: &str) -> anyhow::Result<SecretString> {
        let text = match self {
            Self::Stdin => stdin().with_context(|| format!("{option}: cannot read stdin"))?,
            // Without the name of the file: a secret may be given in its place.
            Self::File(file) => file_access::read_text(file, SizeLimit::SECRET)
                .with_context(|| format!("{option}: cannot read the file"))?,
        };
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
        ensure!(!text.is_empty(), "{option}: it is empty");
        Ok(text.into())
    }
}

fn stdin() -> io::Result<String> {
    let mut text = String::new();
    if io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > STDIN_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {STDIN_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Checks that stdin is read for one of `inputs` at most.
///
/// # Errors
/// When it is not.
pub(super) fn check_stdin_once<'a>(inputs: impl Iterator<Item = &'a Input>) -> anyhow::Result<()> {
    let count = inputs.filter(|input| **input == Input::Stdin).count();
    ensure!(count <= 1, "stdin (-) is one secret: give the others in files");
    Ok(())
}
