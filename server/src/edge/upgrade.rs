//! The answer to a WebSocket handshake (RFC 6455 §4.2).
//!
//! tungstenite makes it, from a request in which each header has one line and one word. What is a list in HTTP is
//! read here (RFC 9110 §5.3): lines of one name are one list, and its tokens have no case.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::auth::subprotocols;

/// The subprotocol that clients of Phoenix offer, and the only one that is accepted by name.
const PHOENIX: &str = "phoenix";

/// The version of the protocol, the only one there is.
const VERSION: &str = "13";

/// The answer that switches protocols.
///
/// # Errors
/// If the request is no such handshake: the answer that says so.
pub(super) fn response<B>(request: &Request<B>) -> Result<Response<Bytes>, Box<Response<Bytes>>> {
    let headers = request.headers();
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
    let single = single.body(()).expect("it is made of parts of a request");
    let mut response =
        create_response_with_body(&single, Bytes::new).map_err(|why| refused(headers, &why.to_string()))?;
    if subprotocols(headers).any(|offered| offered == PHOENIX) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PHOENIX));
    }
    Ok(response)
}

/// 400 with the reason; 426 for a version that we do not speak, with the one that we do (RFC 6455 §4.4).
fn refused(headers: &HeaderMap, why: &str) -> Box<Response<Bytes>> {
    let mut response = Response::new(Bytes::from(format!("not a WebSocket handshake: {why}\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let other_version = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version != VERSION);
    if other_version {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    }
    Box::new(response)
}

/// Whether the list in the header `name` has this token.
fn contains(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
