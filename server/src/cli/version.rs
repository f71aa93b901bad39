//! `realtime-server version`.

/// Name and version, as one line.
pub fn line() -> &'static str {
    concat!("realtime-server ", env!("CARGO_PKG_VERSION"))
}
