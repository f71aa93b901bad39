//! `realtime-server version`.

use anyhow::Context;

/// Prints name and version, as one line.
///
/// # Errors
/// If nobody reads it.
pub fn run() -> anyhow::Result<()> {
    super::answer(concat!("realtime-server ", env!("CARGO_PKG_VERSION"), "\n"))
        .context("cannot print the version")
}
