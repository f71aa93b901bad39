//! Enforces the access that a route declares, as far as the head of a request decides it.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::auth::{Denied, Operator};
use crate::node::Node;
use crate::response;
use crate::routes::Access;
use crate::telemetry::codes::{Code, Scope};

/// The operator who sent `headers`, at routes for operators; at other routes `None`.
///
/// # Errors
/// When the request may not use the route. That is reported.
pub(super) fn operator(node: &Node, access: Access, headers: &HeaderMap) -> Result<Option<Operator>, Denied> {
    let now = SystemTime::now();
    let allowed = match access {
        // A token of a tenant is verified by the handler.
        Access::Public | Access::Tenant => Ok(None),
        Access::Operator => node.operators().authenticate(headers, now).map(Some),
        Access::Metrics => node.operators().authenticate_for_metrics(headers, now).map(|()| None),
    };
    allowed.inspect_err(|denied| node.reports.record(Code::OperatorDenied.at(Scope::Http), denied))
}

/// 403 without a body for metrics; otherwise 401 with the reason, and the scheme that is expected (RFC 9110 §11.6.1).
pub(super) fn denied(access: Access, denied: &Denied) -> Response<Bytes> {
    if access == Access::Metrics {
        return response::empty(StatusCode::FORBIDDEN);
    }
    let message = match denied {
        Denied::Closed => "Closed: set `admin.jwt_secret` (or the variable API_JWT_SECRET)".to_owned(),
        denied => denied.to_string(),
    };
    let mut response = response::json(StatusCode::UNAUTHORIZED, &json!({ "message": message }));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
