//! Enforces the access that a route declares, as far as the head of a request decides it.
//!
//! Requests to routes of operators count towards the rate of their address until their token is verified, as those of a
//! tenant's users do. Health checks have no token and are always answered.

use std::net::IpAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::auth::{Denied, Fingerprint, Operator, bearer};
use crate::node::Node;
use crate::response;
use crate::routes::Access;
use crate::telemetry::codes::{Code, Scope};

/// Why a request may not use a route.
pub(super) enum Refusal {
    /// Its address is over the rate of callers without a valid token. Nothing else was examined.
    TooManyFromAddress,
    /// Its token is not accepted.
    Denied(Denied),
}

/// The operator who sent `headers` from `network`, at routes for operators; at other routes `None`.
///
/// # Errors
/// When the request may not use the route. That is reported.
pub(super) fn operator(
    node: &Node,
    access: Access,
    headers: &HeaderMap,
    network: Option<IpAddr>,
) -> Result<Option<Operator>, Refusal> {
    let (operators, now) = (node.operators(), SystemTime::now());
    match access {
        // A token of a tenant is verified by the handler.
        Access::Public | Access::Tenant | Access::WebSocket => Ok(None),
        Access::Metrics if operators.are_metrics_public() => Ok(None),
        Access::Metrics => {
            verify(node, headers, network, || operators.authenticate_for_metrics(headers, now).map(|()| None))
        }
        Access::Operator | Access::Management => {
            verify(node, headers, network, || operators.authenticate(headers, now).map(Some))
        }
    }
}

/// Calls `authenticate`, unless the address is over its rate, and counts the result.
fn verify<T>(
    node: &Node,
    headers: &HeaderMap,
    network: Option<IpAddr>,
    authenticate: impl FnOnce() -> Result<T, Denied>,
) -> Result<T, Refusal> {
    let token = bearer(headers);
    if !node.unverified.may_call(network, token) {
        let code = Code::AddressRateLimitReached;
        node.reports.record(code.at(Scope::Http), code.text());
        return Err(Refusal::TooManyFromAddress);
    }
    let result = authenticate();
    match &result {
        Ok(_) => token.into_iter().for_each(|token| node.unverified.recognise(Fingerprint::of(token))),
        Err(denied) => {
            node.reports.record(Code::OperatorDenied.at(Scope::Http), denied);
            if denied.is_unverified() {
                node.unverified.count(network);
            }
        }
    }
    result.map_err(Refusal::Denied)
}

/// 429 above the rate of the address. Else 403 without a body for metrics; otherwise 401 with the reason, and the scheme
/// that is expected (RFC 9110 §11.6.1).
pub(super) fn refused(access: Access, refusal: &Refusal) -> Response<Bytes> {
    let denied = match refusal {
        Refusal::TooManyFromAddress => {
            let message = Code::AddressRateLimitReached.text();
            return response::json(StatusCode::TOO_MANY_REQUESTS, &json!({ "message": message }));
        }
        Refusal::Denied(_) if matches!(access, Access::Metrics | Access::Management) => {
            return response::empty(StatusCode::FORBIDDEN);
        }
        Refusal::Denied(denied) => denied,
    };
    let message = match denied {
        Denied::Closed => "Closed: set `admin.jwt_secret` (or the variable API_JWT_SECRET)".to_owned(),
        denied => denied.to_string(),
    };
    let mut response = response::json(StatusCode::UNAUTHORIZED, &json!({ "message": message }));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
