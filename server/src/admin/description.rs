//! What the pages and commands of operators answer, for the OpenAPI document. Tests compare it with real responses.

use http::StatusCode;
use hub::MemoryKind;
use serde_json::{Map, Value, json};

use crate::routes::schema::{any_message, count, message, named, nullable, object, object_with};
use crate::routes::{Answer, Description, TEXT_TYPE};
use crate::telemetry::codes::Code;

/// What health checks are about.
const HEALTH: &str = "health";

/// What operators use.
const OPERATION: &str = "operation";

/// A page with a fixed text.
pub(super) fn text(content: &'static str) -> Description {
    let answer = Answer::empty(StatusCode::OK, "The process is alive.");
    Description::new(HEALTH).answer(answer.content(TEXT_TYPE, json!({"const": content})))
}

pub(super) fn health() -> Description {
    let schema = object(json!({
        "status": {"const": "ok"},
        "connections": count(),
        "rooms": count(),
        "members": count(),
    }));
    Description::new(HEALTH).json(StatusCode::OK, "The process is alive.", named("Health", schema))
}

pub(super) fn readiness() -> Description {
    let parts = json!({"type": "array", "items": {"enum": ["bus", "presence", "store"]}});
    let ready = object_with(json!({"status": {"enum": ["ready", "degraded"]}}), json!({ "degraded": parts }));
    let stopping = object(json!({"status": {"const": "stopping"}}));
    Description::new(HEALTH)
        .json(StatusCode::OK, "The node takes new clients; what is missing if it is degraded.", ready)
        .json(StatusCode::SERVICE_UNAVAILABLE, "The node is about to stop.", stopping)
}

pub(super) fn metrics() -> Description {
    let answer = Answer::text(StatusCode::OK, "The text format of Prometheus, with a last line `# EOF`.");
    unread(Description::new(OPERATION).answer(answer))
}

pub(super) fn metrics_of_region() -> Description {
    let region = json!({"type": "string", "minLength": 1});
    metrics().parameter("path", "region", "The region (`regions.name`).", region).json(
        StatusCode::NOT_FOUND,
        "The path names no region.",
        json!({"const": "Not Found"}),
    )
}

pub(super) fn status() -> Description {
    unread(Description::new(OPERATION).json(StatusCode::OK, "The state of this node.", status_schema()))
}

/// A page of which only so many responses are under way.
fn unread(description: Description) -> Description {
    description
        .json(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many responses with this page have not been received.",
            json!({"const": Code::UnreadPageLimitReached.text()}),
        )
        .empty(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why.")
}

pub(super) fn reload() -> Description {
    let keys = json!({"type": "array", "items": {"type": "string"}});
    let changes = object(json!({"generation": count(), "changed": keys, "pending": keys}));
    Description::new(OPERATION)
        .json(StatusCode::OK, "The settings are applied, but for the keys in `pending`.", changes)
        .json(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The settings have problems. Files with problems stay as they were, and what the others have is applied.",
            object(json!({"problems": keys})),
        )
        .json(
            StatusCode::NOT_IMPLEMENTED,
            "The server was started without settings that can be read again.",
            any_message(),
        )
}

pub(super) fn disconnect() -> Description {
    let name = json!({"type": "string", "minLength": 1});
    Description::new(OPERATION)
        .parameter("path", "id", "The tenant.", name)
        .json(StatusCode::OK, "How many connections are closed.", object(json!({"disconnected": count()})))
        .json(StatusCode::NOT_FOUND, "There is no such tenant.", message(&["not found"]))
        .json(
            StatusCode::SERVICE_UNAVAILABLE,
            "The tenant cannot be looked up.",
            message(&[Code::TenantLookupFailed.text()]),
        )
}

/// `/status` (`server/src/admin/status.rs`).
fn status_schema() -> Value {
    let (text, time) = (|| json!({"type": "string"}), || json!({"type": "string", "format": "date-time"}));
    let words = |words: &[&str]| json!({"enum": words});
    let phases = ["starting", "serving", "not ready", "draining", "stopping", "leaving", "stopped"];
    let schema = object(json!({
        "version": text(),
        "commit": text(),
        "status": words(&["ready", "degraded", "stopping"]),
        "phase": words(&phases),
        "node": text(),
        "region": nullable(text()),
        "public_url": nullable(text()),
        "internal": nullable(object(json!({
            "address": text(),
            "exclusive": {"type": "boolean"},
            "connections": count(),
        }))),
        "bus": words(&["alone", "connected", "without presence", "away"]),
        "resync": nullable(resync()),
        "presence_failing_rooms": count(),
        "started_at": time(),
        "uptime": count(),
        "connections": count(),
        "rooms": count(),
        "members": count(),
        "memory": memory(),
        "settings": object(json!({
            "generation": count(),
            "applied_at": time(),
            "pending": {"type": "array", "items": text()},
            "last_error": nullable(text()),
        })),
        "exporters": exporters(),
        "store": store(),
        "documents": documents(),
        "tenants": {"type": "array", "items": tenant()},
    }));
    named("Status", schema)
}

fn documents() -> Value {
    let failure = object(json!({
        "since": {"type": "string", "format": "date-time"},
        "error": {"type": "string"},
    }));
    object(json!({
        "open": count(),
        "loaded": count(),
        "unsaved_bytes": count(),
        "save_failure": nullable(failure),
    }))
}

fn exporters() -> Value {
    let exporter = |target: &str, counts: &[&str]| {
        let text = || nullable(json!({"type": "string"}));
        let mut members = Map::new();
        members.insert("on".into(), json!({"type": "boolean"}));
        members.insert(target.into(), text());
        members.insert("last_success".into(), nullable(json!({"type": "string", "format": "date-time"})));
        members.insert("failures".into(), count());
        members.insert("last_error".into(), text());
        members.extend(counts.iter().map(|key| ((*key).to_owned(), count())));
        object(Value::Object(members))
    };
    object(json!({
        "push": exporter("address", &["requests", "requests_failed"]),
        "cloudwatch": exporter("namespace", &["requests", "requests_failed", "metrics_left_out"]),
        "traces": exporter("address", &["spans_sent", "spans_dropped"]),
    }))
}

fn memory() -> Value {
    let used: Map<_, _> = MemoryKind::ALL.map(|kind| (kind.word().to_owned(), count())).into_iter().collect();
    object(json!({
        "budget": nullable(count()),
        "source": {"type": "string"},
        "limit": nullable(count()),
        "used": object(Value::Object(used)),
        "without_tenant": count(),
    }))
}

fn resync() -> Value {
    object(json!({
        "stored": object(json!({
            "rooms": count(),
            "rooms_total": count(),
            "bytes": count(),
            "bytes_total": count(),
        })),
        "read": object(json!({"rooms": count(), "rooms_total": count(), "bytes": count()})),
    }))
}

fn store() -> Value {
    let text = || json!({"type": "string"});
    object(json!({
        "kind": {"enum": ["postgres", "sqlite", "memory"]},
        "connected": nullable(json!({"type": "boolean"})),
        "since": nullable(json!({"type": "string", "format": "date-time"})),
        "last_error": nullable(text()),
        "migrations": nullable(object(json!({
            "applied": count(),
            "pending": count(),
            "unknown": count(),
        }))),
        "tenants": nullable(count()),
        "in_configuration": object(json!({
            "count": count(),
            "first": {"type": "array", "items": text()},
        })),
        "seed": nullable(object(json!({"tenant": text(), "error": nullable(text())}))),
    }))
}

fn tenant() -> Value {
    object(json!({
        "id": {"type": "string"},
        "origin": {"enum": ["config", "store"]},
        "region": nullable(json!({"type": "string"})),
        "connected": count(),
        "sockets": count(),
        "rooms": count(),
        "memory": count(),
        "suspended": {"type": "boolean"},
        "database": nullable(database()),
    }))
}

fn database() -> Value {
    object(json!({
        "state": {"enum": ["connecting", "ready", "unavailable"]},
        "reason": nullable(json!({"type": "string"})),
        "since": {"type": "string", "format": "date-time"},
        "connections": object(json!({"open": count(), "in_use": count()})),
        "broadcasts": object(json!({
            "state": {"enum": ["starting", "reading", "read elsewhere", "unavailable"]},
            "reason": nullable(json!({"type": "string"})),
        })),
        "changes": nullable(object(json!({
            "state": {"enum": ["starting", "reading", "read elsewhere", "unavailable"]},
            "reason": nullable(json!({"type": "string"})),
            "lag": count(),
            "subscriptions": count(),
            "tables": {"type": "object", "additionalProperties": count()},
            "durable": nullable(object(json!({
                "state": {"enum": ["retaining", "missing", "refused"]},
                "reason": nullable(json!({"type": "string"})),
                "retained": count(),
            }))),
        }))),
        "questions": object(json!({"asked": count(), "denied": count(), "failed": count()})),
    }))
}
