//! How bodies of requests are compressed, before they are sent.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The value of the header `Content-Encoding` for what [`gzip`] returns.
pub(super) const GZIP: &str = "gzip";

/// These bytes, compressed.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Level 1: pages and spans have the same words everywhere, so that more work saves little.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let written = gzip.write_all(bytes).and_then(|()| gzip.finish());
    written.expect("a vector takes everything")
}
