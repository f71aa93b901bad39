//! `GET /metrics`: every number, in Prometheus' text format.
//!
//! Open to everybody who reaches the port, unless `admin.metrics_jwt_secret` says whose tokens are asked for.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::node::Node;
use crate::response;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::logs;

/// `GET /metrics`, if whoever sent `headers` may read it.
pub(super) fn metrics(node: &Node, headers: &HeaderMap) -> Response<Bytes> {
    if let Err(why) = node.operators().admit_to_metrics(headers, SystemTime::now()) {
        node.reports.record(Code::OperatorDenied.at(Scope::Http), &why);
        return response::empty(StatusCode::FORBIDDEN);
    }
    let (population, numbers) = (node.hub.population(), &node.metrics.node);
    numbers.connections_total.set(node.open_sockets() as f64);
    numbers.connections_active.set(node.connections() as f64);
    numbers.connections_max.set(node.settings().server.max_connections.get() as f64);
    numbers.rooms.set(population.rooms as f64);
    numbers.members.set(population.members as f64);
    numbers.uptime_seconds.set(node.started.elapsed().as_secs_f64());
    let settings = node.reloading.status();
    numbers.settings_generation.set(settings.generation as f64);
    numbers.settings_reload_failed.set(if settings.last_error.is_some() { 1.0 } else { 0.0 });
    numbers.settings_pending.set(settings.pending.len() as f64);
    numbers.log_lines_dropped.absolute(logs::dropped());
    node.metrics.bus.unsent.absolute(node.hub.relay_dropped());
    count_users(node);
    let mut page = node.metrics.render();
    // A comment to Prometheus; to whoever scrapes upstream, the sign that the page came whole
    // (docs/protocol/http.md#metrics-endpoint).
    page.push_str("# EOF\n");
    response::page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
}

/// Counts, tenant by tenant, the sockets that have joined a room. The numbers of a tenant that was removed stay
/// on the page as they were, except this one, which is zero then: there are no more of them than tenants this
/// process has known.
fn count_users(node: &Node) {
    let (mut users, mut tenants) = (0, 0);
    for tenant in node.tenants.all() {
        let connected = tenant.users_here();
        tenant.metrics.connected.set(connected as f64);
        users += connected;
        tenants += usize::from(connected > 0);
    }
    node.metrics.node.users.set(users as f64);
    node.metrics.node.tenants.set(tenants as f64);
}
