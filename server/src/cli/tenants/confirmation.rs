//! The question before a tenant is deleted.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context, ensure};

use crate::cli::input::Input;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64;

/// Whether the person at the terminal agrees to the deletion of the tenant `id`. `token` is where the operator's token has been
/// read from.
///
/// # Errors
/// When there is no person to ask.
pub(super) fn ask(id: &str, token: Option<&Input>) -> anyhow::Result<bool> {
    let stdin = io::stdin();
    ensure!(
        stdin.is_terminal() && token != Some(&Input::Stdin),
        "no person can be asked whether to delete the tenant `{id}`: add --yes"
    );
    let mut stderr = io::stderr();
    write!(stderr, "Delete the tenant `{id}` and disconnect its clients? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().take(ANSWER_BYTES_MAX).read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
