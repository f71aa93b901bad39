//! The response to a WebSocket handshake (RFC 6455 §4.2).
//!
//! tungstenite writes it, from a request in which each header has one line and one token. Headers that are lists in
//! HTTP are read here (RFC 9110 §5.3): lines of one name are one list, and tokens are compared without case.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::response;

/// The version of the WebSocket protocol; there is no other.
const VERSION: &str = "13";

/// The response that switches protocols. It confirms `subprotocol`.
///
/// # Errors
/// If the request is not a WebSocket handshake: the response that refuses it.
pub(super) fn response<B>(
    request: &Request<B>,
    subprotocol: Option<HeaderValue>,
) -> Result<Response<Bytes>, Box<Response<Bytes>>> {
    let headers = request.headers();
    // A proxy would take for a body what is read as frames here.
    let content_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if content_length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(refused(headers, "it has a body"));
    }
    let mut single = Request::builder().method(request.method()).version(request.version());
    for (name, token) in [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket")] {
        if contains(headers, &name, token) {
            single = single.header(name, token);
        }
    }
    for name in [header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
        if let Some(value) = headers.get(&name) {
            single = single.header(name, value);
        }
    }
    let single = single.body(()).expect("it consists of parts of a request");
    let mut response =
        create_response_with_body(&single, Bytes::new).map_err(|why| refused(headers, &why.to_string()))?;
    if let Some(confirmed) = subprotocol {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, confirmed);
    }
    Ok(response)
}

/// 400 with the reason; 426 with the supported version if the client asks for another one (RFC 6455 §4.4).
fn refused(headers: &HeaderMap, why: &str) -> Box<Response<Bytes>> {
    let text = format!("not a WebSocket handshake: {why}\n");
    let mut response = response::page(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", text);
    let other_version = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version != VERSION);
    if other_version {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    }
    Box::new(response)
}

/// Whether the list in the header `name` has this token.
pub(super) fn contains(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
