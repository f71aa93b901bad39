//! The version of this build and the commit that it was built from, which the build script determines.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first twelve digits of the commit; `unknown` for a build outside a repository.
pub const COMMIT: &str = env!("REALTIME_COMMIT");

/// Both, as `version` and `--version` print them.
pub const VERSION_AND_COMMIT: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("REALTIME_COMMIT"), ")");
