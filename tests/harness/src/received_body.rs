//! The body of a request that a receiver of a test has got, as it was before it was compressed.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// The head of a request and its whole body; nothing if the sender has given up.
pub(crate) async fn read(request: Request<Incoming>) -> Option<(Parts, Vec<u8>)> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let body = match header(&head.headers, "content-encoding") {
        "" => body.to_vec(),
        encoding => decompressed(encoding, &body),
    };
    Some((head, body))
}

/// What was compressed like this.
pub(crate) fn decompressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    assert_eq!(encoding, "gzip");
    let mut bytes = Vec::new();
    GzDecoder::new(body).read_to_end(&mut bytes).expect("compressed");
    bytes
}

/// A header; empty without it.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().expect("text"))
}
