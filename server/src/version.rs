//! Which version this is, and which commit it was built from. The build script knows the commit.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first twelve digits of the commit; `unknown` if it was built from sources without a repository.
pub const COMMIT: &str = env!("REALTIME_COMMIT");

/// Both, as `version` and `--version` print them.
pub const VERSION_AND_COMMIT: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("REALTIME_COMMIT"), ")");
