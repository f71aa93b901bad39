//! What RFC 9112 requires of the head of a request and hyper does not check.
//!
//! A proxy in front of this server may read such a request in another way: as one for another host, or with another end of
//! its body, so that the rest is another request. So it is refused before its route is looked up.

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Uri, Version, header};

/// Checks the head of a request.
///
/// # Errors
/// Why the request is refused with 400.
pub(super) fn check(head: &Parts) -> Result<(), &'static str> {
    check_target(&head.method, &head.uri)?;
    check_host(head.version, &head.headers)?;
    check_transfer_encoding(&head.headers)
}

/// A path, or a URI with a scheme (RFC 9112 §3.2). hyper takes `metrics` for the path of `/metrics`, which a proxy that
/// compares paths does not.
fn check_target(method: &Method, target: &Uri) -> Result<(), &'static str> {
    let is_path =
        target.path().starts_with('/') && (target.authority().is_none() || target.scheme().is_some());
    let is_asterisk = method == Method::OPTIONS && target == "*";
    if is_path || is_asterisk { Ok(()) } else { Err("the request target is neither a path nor a URI") }
}

/// One `Host` that names a host (RFC 9112 §3.2). It may be missing in HTTP/1.0.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err("the header Host is missing"),
        (_, Some(_second)) => Err("more than one header Host"),
        (Some(host), None) if !host.to_str().is_ok_and(is_host) => Err("the header Host names no host"),
        _ => Ok(()),
    }
}

/// Whether `text` is a host with or without a port, or empty, as for a request target without a host.
fn is_host(text: &str) -> bool {
    text.is_empty() || (!text.contains('@') && text.parse::<Authority>().is_ok())
}

/// `chunked`, once, is the only transfer coding (RFC 9112 §6.1). hyper looks at the last one.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("the only transfer coding is chunked"),
    }
}
