//! Whether the server lives, and whether it should be sent clients. Nobody needs a token to ask.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use crate::node::{Node, Readiness};
use crate::response;

/// `GET /health`: alive, and how busy (the Realtime SDK's self-hosting page, «Health Checks»).
pub fn health(node: &Node) -> Response<Bytes> {
    let population = node.hub.population();
    let body = json!({
        "status": "ok",
        "connections": node.connections(),
        "rooms": population.rooms,
        "members": population.members,
    });
    response::json(StatusCode::OK, &body)
}

/// `GET /readyz`: whether new clients should be sent here. Not while the server is about to stop, although it
/// still takes them; but also when it does not hear the other nodes, because to its own clients it is as good
/// as ever.
pub fn readyz(node: &Node) -> Response<Bytes> {
    let condition = node.readiness();
    let status = match condition {
        Readiness::Ready | Readiness::Degraded => StatusCode::OK,
        Readiness::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    response::json(status, &json!({ "status": condition.word() }))
}

/// `GET /healthcheck`: alive, as Supabase Realtime says it.
pub fn healthcheck() -> Response<Bytes> {
    response::page(StatusCode::OK, "text/plain; charset=utf-8", "ok".into())
}

/// `GET /`: a short text, for load balancers whose health check asks for the root.
pub fn greeting() -> Response<Bytes> {
    response::page(StatusCode::OK, "text/plain; charset=utf-8", "Realtime Server\n".into())
}
