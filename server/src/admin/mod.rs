//! What the server tells its operators over HTTP.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::json;

use crate::node::Node;

/// `GET /health`: alive, and how busy (the Realtime SDK's self-hosting page, «Health Checks»).
pub fn health(node: &Node) -> Response<Bytes> {
    let population = node.hub.population();
    let body = json!({
        "status": "ok",
        "connections": node.connections(),
        "rooms": population.rooms,
        "members": population.members,
    });
    page(StatusCode::OK, "application/json; charset=utf-8", body.to_string())
}

/// `GET /healthcheck`: alive, as Supabase Realtime says it.
pub fn healthcheck() -> Response<Bytes> {
    page(StatusCode::OK, "text/plain; charset=utf-8", "ok".into())
}

/// `GET /metrics`: every number, in Prometheus' text format.
pub fn metrics(node: &Node) -> Response<Bytes> {
    let (population, numbers) = (node.hub.population(), &node.metrics.node);
    numbers.connections_total.set(node.open_sockets() as f64);
    numbers.connections_active.set(node.connections() as f64);
    numbers.connections_max.set(node.settings.server.max_connections.get() as f64);
    numbers.rooms.set(population.rooms as f64);
    numbers.members.set(population.members as f64);
    numbers.uptime_seconds.set(node.started.elapsed().as_secs_f64());
    node.default_tenant.metrics.connected.set(node.default_tenant.users() as f64);
    page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", node.metrics.render())
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
