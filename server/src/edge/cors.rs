//! Cross-origin requests of browsers (docs/protocol/http.md#cors).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::response::empty;
use crate::routes::Route;

/// How long a browser may keep the response to a preflight request, in seconds.
const MAX_AGE: &str = "86400";

/// Headers that clients of Supabase send.
const USUAL_HEADERS: &str = "authorization, apikey, content-type, x-client-info";

/// The response to the request that a browser sends before a request to another origin.
pub(super) fn preflight(route: &Route, request: &HeaderMap) -> Response<Bytes> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    let methods: Vec<_> = route.methods().iter().chain([&Method::OPTIONS]).map(Method::as_str).collect();
    let methods = HeaderValue::from_str(&methods.join(", ")).expect("methods are tokens");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    // The names that the browser lists: `*` does not cover `authorization`.
    for names in &request.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.entry(header::ACCESS_CONTROL_ALLOW_HEADERS).or_insert(HeaderValue::from_static(USUAL_HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

/// Lets a page of any origin read the response.
pub(super) fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}
