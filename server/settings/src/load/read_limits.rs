//! What all files of settings together may have: bytes, and keys.
//!
//! Bytes alone do not bound the memory that a load takes. Each key takes up to 3 kB until the load ends, however short it is:
//! 1.5 MiB of `a.a.a=1` would take gigabytes. So keys are counted before a text is parsed, by the characters that each
//! of them needs.

use crate::file_access::SizeLimit;

/// Maximum of names in keys and of list items in all files together. A tenant with a key of its own is four:
/// `[tenants.a.auth]` and `jwt_secret = "…"`.
const KEYS_MAX: usize = 50_000;

/// What the files that are still to be read may have.
pub(super) struct ReadLimits {
    pub(super) bytes: SizeLimit,
    keys_left: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { bytes: SizeLimit::SETTINGS, keys_left: KEYS_MAX }
    }
}

impl ReadLimits {
    /// Subtracts the keys in `text`.
    ///
    /// # Errors
    /// What is wrong, when it has too many.
    pub(super) fn subtract_keys(&mut self, text: &str) -> Result<(), String> {
        let keys = keys(text);
        let left = self.keys_left.checked_sub(keys);
        self.keys_left = left.ok_or_else(|| {
            format!(
                "cannot be read: it is too large: it has {keys} keys and list items, and all files of settings \
                 together may have {KEYS_MAX} (each `.`, `=`, `,` and `[` outside comments counts as one)"
            )
        })?;
        Ok(())
    }
}

/// An upper bound of the keys in `text`: separators within a value are counted too. A line that begins with `#` has none, be
/// it a comment or part of a value.
fn keys(text: &str) -> usize {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| line.bytes().filter(|byte| b".=,[".contains(byte)).count()).sum()
}
