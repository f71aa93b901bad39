//! `GET /status`: the state of this node for operators. It holds no secrets, no topics and no users.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use hub::MemoryKind;
use humantime_serde::re::humantime::format_rfc3339_seconds;
use serde_json::{Map, Value, json};

use super::exporters::exporters;
use crate::bus::ResyncProgress;
use crate::node::{Node, SaveFailure};
use crate::response::JSON;
use crate::tenants::{ChangesStatus, DatabaseStatus, TenantStatus};
use crate::version::{COMMIT, VERSION};

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = JSON;

/// The page.
pub(super) fn page(node: &Node) -> String {
    let (settings, population) = (node.settings(), node.hub.population());
    let body = json!({
        "version": VERSION,
        "commit": COMMIT,
        "status": node.readiness().word(),
        "phase": node.lifecycle.phase().word(),
        "node": node.id.to_string(),
        "region": settings.regions.name,
        "public_url": settings.server.public_url,
        "internal": internal(node),
        "bus": node.link.connectivity().word(),
        "resync": node.link.resync().map(resync_status),
        "presence_failing_rooms": node.link.failing_rooms(),
        "started_at": time(SystemTime::now() - node.started.elapsed()),
        "uptime": node.started.elapsed().as_secs(),
        "connections": node.connections(),
        "rooms": population.rooms,
        "members": population.members,
        "memory": memory(node),
        "settings": settings_status(node),
        "exporters": exporters(node),
        "store": store(node),
        "documents": documents(node),
        "tenants": tenants(node),
    });
    body.to_string()
}

/// The memory of this process and its source, the part that clients may use, and what they use of that, in bytes:
/// `without_tenant` is the part of callers whose tenant is not known, as `memory` of a tenant is that of its own.
fn memory(node: &Node) -> Value {
    let used = MemoryKind::ALL.map(|kind| (kind.word().to_owned(), node.memory.used(kind).into()));
    let budget = node.memory_limit();
    json!({
        "budget": budget.bytes(),
        "source": budget.source(),
        "limit": node.memory.limit(),
        "used": Value::Object(used.into_iter().collect()),
        "without_tenant": node.common_memory.total(),
    })
}

/// How far this node is with storing and reading presence over a new connection.
fn resync_status(progress: ResyncProgress) -> Value {
    json!({
        "stored": {
            "rooms": progress.rooms_stored,
            "rooms_total": progress.rooms_to_store,
            "bytes": progress.bytes_stored,
            "bytes_total": progress.bytes_to_store,
        },
        "read": {
            "rooms": progress.rooms_read,
            "rooms_total": progress.rooms_to_read,
            "bytes": progress.bytes_read,
        },
    })
}

/// The internal listener, if there is one.
fn internal(node: &Node) -> Option<Value> {
    let address = node.internal_address()?;
    Some(json!({
        "address": address.to_string(),
        "exclusive": node.settings().server.internal.exclusive,
        "connections": node.internal_sockets(),
    }))
}

fn settings_status(node: &Node) -> Value {
    let status = node.reloading.status();
    json!({
        "generation": status.generation,
        "applied_at": time(status.applied_at),
        "pending": status.pending,
        "last_error": status.last_error,
    })
}

/// The store of tenants as it was found last: `tenants` are all that it has, of which `in_configuration` do not apply, because the
/// configuration has them too; the list has the first ones.
fn store(node: &Node) -> Value {
    let status = node.store.status();
    let (usable, since) = status.usable.unzip();
    let seed = node.settings().seed.tenant.clone();
    json!({
        "kind": node.stored_tenants.kind().word(),
        "connected": usable.map(|usable| usable && !node.stored_tenants.is_away()),
        "since": since.map(time),
        "last_error": status.last_error,
        "migrations": status.migrations.map(|counts| json!({
            "applied": counts.applied,
            "pending": counts.pending,
            "unknown": counts.unknown,
        })),
        "tenants": status.tenants,
        "in_configuration": { "count": status.in_both_count, "first": status.in_both },
        "seed": seed.map(|tenant| json!({ "tenant": tenant, "error": status.seed_error })),
    })
}

/// The shared documents of this node. `save_failure` is there while updates cannot be saved, and are not acknowledged.
fn documents(node: &Node) -> Value {
    let counts = &node.documents;
    json!({
        "open": counts.open(),
        "loaded": counts.loaded(),
        "unsaved_bytes": counts.unsaved_bytes(),
        "save_failure": counts.save_failure().map(|SaveFailure { since, error }| json!({
            "since": time(since),
            "error": error,
        })),
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
            "origin": policy.origin().word(),
            "region": policy.region(),
            "connected": tenant.users_here(),
            "sockets": tenant.sockets.len(),
            "rooms": rooms.get(&tenant.id).copied().unwrap_or_default(),
            "memory": tenant.memory.total(),
            "suspended": policy.status == TenantStatus::Suspended,
            "database": node.database_status(&tenant.id).map(database),
        })
    });
    tenants.collect()
}

/// The database of a tenant, while this node uses it.
fn database(status: DatabaseStatus) -> Value {
    let reason = status.reason();
    let DatabaseStatus { usability, since, connections, connections_in_use, log, changes, questions, .. } =
        &status;
    let changes = changes.as_ref().map(|ChangesStatus { log, lag, subscriptions, tables, durable }| {
        let tables: Map<String, Value> =
            tables.iter().map(|(table, count)| (table.clone(), (*count).into())).collect();
        let durable = durable.as_ref().map(
            |slot| json!({ "state": slot.word(), "reason": slot.reason(), "retained": slot.retained() }),
        );
        json!({
            "state": log.word(),
            "reason": log.reason(),
            "lag": lag,
            "subscriptions": subscriptions,
            "tables": tables,
            "durable": durable,
        })
    });
    json!({
        "state": usability.word(),
        "reason": reason,
        "since": time(*since),
        "connections": { "open": connections, "in_use": connections_in_use },
        "broadcasts": { "state": log.word(), "reason": log.reason() },
        "changes": changes,
        "questions": { "asked": questions.asked, "denied": questions.denied, "failed": questions.failed },
    })
}

fn time(time: SystemTime) -> String {
    format_rfc3339_seconds(time).to_string()
}
