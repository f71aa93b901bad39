//! `GET /status`: what an operator wants to know first. No secrets, no topics, no users.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use humantime_serde::re::humantime::format_rfc3339_seconds;
use serde_json::{Value, json};

use crate::node::Node;
use crate::tenants::TenantStatus;
use crate::version::{COMMIT, VERSION};

/// Everything, as JSON.
pub(super) fn of(node: &Node) -> Value {
    let (settings, population) = (node.settings(), node.hub.population());
    json!({
        "version": VERSION,
        "commit": COMMIT,
        "status": node.readiness().word(),
        "node": node.id.to_string(),
        "region": settings.regions.name,
        "public_url": settings.server.public_url,
        "bus": node.connectivity().word(),
        "started_at": time(SystemTime::now() - node.started.elapsed()),
        "uptime": node.started.elapsed().as_secs(),
        "connections": node.connections(),
        "rooms": population.rooms,
        "members": population.members,
        "settings": account(node),
        "tenants": tenants(node),
    })
}

fn account(node: &Node) -> Value {
    let account = node.reloading.status();
    json!({
        "generation": account.generation,
        "applied_at": time(account.applied_at),
        "pending": account.pending,
        "last_error": account.last_error,
    })
}

/// The tenants in the order of their ids. `connected` counts sockets of this node that have joined a room, as
/// the metric of that name does; `sockets` counts all. `rooms` are those with members on this node.
fn tenants(node: &Node) -> Vec<Value> {
    let mut rooms: HashMap<Arc<str>, usize> = HashMap::new();
    for room in node.hub.rooms() {
        *rooms.entry(Arc::clone(&room.key().tenant)).or_default() += 1;
    }
    let mut tenants = node.tenants.all();
    tenants.sort_by(|one, other| one.id.cmp(&other.id));
    let tenants = tenants.iter().map(|tenant| {
        let policy = tenant.policy();
        json!({
            "id": &*tenant.id,
            "region": policy.region(),
            "connected": tenant.users_here(),
            "sockets": tenant.sockets.len(),
            "rooms": rooms.get(&tenant.id).copied().unwrap_or_default(),
            "suspended": policy.status == TenantStatus::Suspended,
        })
    });
    tenants.collect()
}

fn time(time: SystemTime) -> String {
    format_rfc3339_seconds(time).to_string()
}
