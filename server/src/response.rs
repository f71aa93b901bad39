//! Answers over HTTP: a status, and a body that says what it is.
//!
//! Below all slices, because each of them answers requests and the edge answers the rest.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// An answer with a body of this type.
pub fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer with a JSON body. Where no controller answers, upstream's is a bare string
/// (docs/protocol/http.md#errors-without-a-controller).
pub fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    page(status, "application/json; charset=utf-8", body.to_string())
}
