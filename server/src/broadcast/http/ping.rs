//! `GET /api/ping`: whether the tenant of a request is served (docs/protocol/http.md#ping).
//!
//! Upstream counts each of these requests towards the rate of the tenant and needs no token. Here what is used of a tenant
//! needs one, so that callers without one cannot use up the rate of its users.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::rate::RequestRate;
use super::{TOO_MANY_REQUESTS, not_authenticated, too_many};
use crate::auth::{Claims, Credentials};
use crate::node::{Authenticated, AuthenticationError, Node, NotAuthenticated};
use crate::response;
use crate::routes::RoutedRequest;
use crate::telemetry::codes::Code;
use crate::tenants::Tenant;

pub(super) async fn ping(node: Arc<Node>, request: RoutedRequest) -> Response<Bytes> {
    let head = &request.head;
    let token = Credentials::of(head.headers(), head.uri()).for_http();
    let authenticated =
        node.authenticate::<Claims>((head.headers(), head.uri()), token, head.client_address());
    match authenticated.await {
        Ok(Authenticated { tenant, .. }) => counted(&tenant),
        Err(NotAuthenticated {
            tenant: Some(_),
            error: AuthenticationError::Token(_) | AuthenticationError::Suspended,
        }) => success(),
        Err(refused) => not_authenticated(&node, &refused).response(),
    }
}

/// The response to a request that counts.
fn counted(tenant: &Tenant) -> Response<Bytes> {
    let rate = RequestRate::count_request(tenant);
    let mut response = if rate.is_reached() {
        too_many(tenant, Code::MessagePerSecondRateLimitReached, TOO_MANY_REQUESTS).response()
    } else {
        success()
    };
    tenant.reports.attribute(&mut response);
    rate.add_headers(response.headers_mut());
    response
}

fn success() -> Response<Bytes> {
    response::json(StatusCode::OK, &json!({ "message": "Success" }))
}
