//! Liveness and readiness. These pages need no token.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use crate::node::{Node, Readiness};
use crate::response;

/// The page at the root.
pub(super) const ROOT: &str = "Realtime Server\n";

/// The page of upstream's health check.
pub(super) const HEALTHCHECK: &str = "ok";

/// `GET /health`: alive, and how busy (the Realtime SDK's self-hosting page, «Health Checks»).
pub(super) fn health(node: &Node) -> Response<Bytes> {
    let population = node.hub.population();
    let body = json!({
        "status": "ok",
        "connections": node.connections(),
        "rooms": population.rooms,
        "members": population.members,
    });
    response::json(StatusCode::OK, &body)
}

/// `GET /readyz`: whether new clients should be sent here. Not while the server drains, although it still accepts
/// connections. A node without a connection to the other nodes is ready, because its own clients do not notice.
pub(super) fn readyz(node: &Node) -> Response<Bytes> {
    let readiness = node.readiness();
    let word = readiness.word();
    match readiness {
        Readiness::Ready => response::json(StatusCode::OK, &json!({ "status": word })),
        Readiness::Degraded => {
            let body = json!({ "status": word, "degraded": node.degraded_parts() });
            response::json(StatusCode::OK, &body)
        }
        Readiness::Stopping => response::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": word })),
    }
}

/// `GET /healthcheck`: alive, with the response of Supabase Realtime.
pub(super) fn healthcheck() -> Response<Bytes> {
    response::page(StatusCode::OK, "text/plain; charset=utf-8", HEALTHCHECK)
}

/// `GET /`: a short text, for load balancers whose health check requests the root.
pub(super) fn root() -> Response<Bytes> {
    response::page(StatusCode::OK, "text/plain; charset=utf-8", ROOT)
}
