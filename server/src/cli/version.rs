//! `realtime-server version`.

use anyhow::Context;

use crate::version::VERSION_AND_COMMIT;

/// Prints name, version and commit, as one line.
///
/// # Errors
/// If stdout is closed.
pub fn run() -> anyhow::Result<()> {
    super::print_stdout(format_args!("realtime-server {VERSION_AND_COMMIT}\n"))
        .context("cannot print the version")
}
