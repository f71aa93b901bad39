//! HTTP responses: a status and a body with its content type.
//!
//! Below all slices, because their handlers build responses, and so does the edge.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

/// In seconds: what was used up is free again soon, or is counted in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The content type of JSON.
pub const JSON: &str = "application/json; charset=utf-8";

/// The whole response on a connection that is closed before a request was read, because something was used up.
pub const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// A response without a body.
pub fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// A response with a body of this content type.
pub fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds the time after which the client may try again, to a response that says that something was used up.
pub fn retry_later(mut response: Response<Bytes>) -> Response<Bytes> {
    if matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// A response with a JSON body. Errors that no handler produces are a JSON string, as upstream's are
/// (docs/protocol/http.md#errors-without-a-controller).
pub fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    page(status, JSON, body.to_string())
}
