//! What the management API receives and answers, for the OpenAPI document. Tests compare it with real responses.

use http::StatusCode;
use serde_json::{Map, Value, json};
use settings::NO_TENANT;

use super::cast::{SECRET_BYTES_MAX, TEXT_BYTES_MAX};
use super::extensions::{EXTENSIONS_MAX, POSTGRES, REQUIRED};
use super::external_id;
use super::failure::{DOES_NOT_EXIST, IS_NOT_NEW};
use crate::routes::schema::{
    any_message, count, field_errors, message, named, nullable, object, object_with,
};
use crate::routes::{Answer, Description, JSON_TYPE};
use crate::telemetry::codes::Code;

/// What these routes are about.
const TAG: &str = "tenants";

pub(super) fn list() -> Description {
    let tenants = json!({"type": "array", "items": tenant()});
    of_store(Description::new(TAG)).json(StatusCode::OK, "All tenants.", object(json!({"data": tenants})))
}

pub(super) fn show() -> Description {
    of_store(one()).json(StatusCode::OK, "The tenant.", object(json!({"data": tenant()})))
}

pub(super) fn post() -> Description {
    writing(Description::new(TAG))
}

pub(super) fn put() -> Description {
    writing(named_in_path())
}

pub(super) fn delete() -> Description {
    if_exists(conflict(of_store(named_in_path())))
        .empty(StatusCode::NO_CONTENT, "There is no such tenant any more, if there was one.")
}

pub(super) fn reload() -> Description {
    of_store(one()).empty(StatusCode::NO_CONTENT, "The tenant is read again, and its clients reconnect.")
}

pub(super) fn shutdown() -> Description {
    of_store(one()).empty(StatusCode::NO_CONTENT, "The connections to the database of the tenant are closed.")
}

pub(super) fn health() -> Description {
    let health = object(json!({
        "healthy": {"type": "boolean"},
        "db_connected": {"type": "boolean"},
        "replication_connected": {"type": "boolean"},
        "connected_cluster": count(),
        "region": nullable(json!({"type": "string"})),
        "node": {"type": "string"},
    }));
    let data = object(json!({"data": named("TenantHealth", health)}));
    of_store(one()).json(StatusCode::OK, "The tenant is served.", data)
}

fn named_in_path() -> Description {
    let name = json!({"type": "string", "minLength": 1});
    Description::new(TAG).parameter("path", "tenant_id", "The `external_id` of the tenant.", name)
}

/// A route about a tenant that has to exist.
fn one() -> Description {
    named_in_path().json(StatusCode::NOT_FOUND, "There is no such tenant.", message(&["not found"]))
}

fn of_store(description: Description) -> Description {
    description
        .json(
            StatusCode::SERVICE_UNAVAILABLE,
            "The store cannot be reached.",
            message(&[Code::TenantLookupFailed.text()]),
        )
        .json(StatusCode::INTERNAL_SERVER_ERROR, "The store rejects this; the log says why.", any_message())
}

fn conflict(description: Description) -> Description {
    description.json(
        StatusCode::CONFLICT,
        "The tenant is in the configuration, the nodes share no store, or others have changed it at the same time.",
        any_message(),
    )
}

/// A route that may require that there is such a tenant, or none (`precondition.rs`).
fn if_exists(description: Description) -> Description {
    description
        .parameter("header", "if-match", "`*` requires that there is such a tenant.", json!({"const": "*"}))
        .json(
            StatusCode::PRECONDITION_FAILED,
            "There is such a tenant already, or none; nothing is written.",
            message(&[IS_NOT_NEW, DOES_NOT_EXIST]),
        )
}

fn writing(description: Description) -> Description {
    let written = |status, text| {
        Answer::json(status, text, object(json!({"data": tenant()}))).header(
            "location",
            "The path of the tenant.",
            json!({"type": "string"}),
        )
    };
    if_exists(conflict(of_store(description)))
        .parameter(
            "header",
            "if-none-match",
            "`*` requires that there is no such tenant.",
            json!({"const": "*"}),
        )
        .body(JSON_TYPE, object(json!({"tenant": fields()})))
        .answer(written(StatusCode::CREATED, "The tenant is created."))
        .answer(written(StatusCode::OK, "The tenant is changed."))
        .json(StatusCode::UNPROCESSABLE_ENTITY, "Fields are invalid.", object(json!({"errors": errors()})))
        .json(
            StatusCode::TOO_MANY_REQUESTS,
            "There is no memory for the body.",
            json!({"const": "Too Many Requests"}),
        )
}

/// A tenant as it is shown (`representation.rs`).
fn tenant() -> Value {
    let (text, limit) = (|| json!({"type": "string"}), || json!({"type": "integer"}));
    let required = json!({
        "id": text(),
        "external_id": text(),
        "name": nullable(text()),
        "max_concurrent_users": nullable(limit()),
        "max_channels_per_client": limit(),
        "max_events_per_second": limit(),
        "max_joins_per_second": limit(),
        "inserted_at": nullable(time()),
        "extensions": {"type": "array", "items": extension()},
        "private_only": {"type": "boolean"},
        "max_client_presence_events_per_window": nullable(limit()),
        "client_presence_window_ms": nullable(limit()),
        "presence_enabled": {"type": "boolean"},
        "suspend": {"type": "boolean"},
    });
    named("Tenant", object_with(required, json!({"origin": {"const": "config"}})))
}

fn extension() -> Value {
    let members = json!({
        "type": {"type": "string"},
        "inserted_at": time(),
        "updated_at": time(),
        "settings": {"type": "object"},
    });
    named("Extension", object(members))
}

/// UTC, without a zone.
fn time() -> Value {
    json!({"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}$"})
}

/// A tenant as it is written (`changeset.rs`). Fields that are not listed are ignored.
fn fields() -> Value {
    let secret = text(SECRET_BYTES_MAX);
    let keys = json!({"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array"}}});
    let extensions = json!({"type": "array", "items": written_extension(), "maxItems": EXTENSIONS_MAX});
    let properties = json!({
        "external_id": {"type": "string", "minLength": 1, "maxLength": external_id::BYTES_MAX, "pattern": "^[a-z0-9][a-z0-9_-]*$", "not": {"const": NO_TENANT}},
        "name": nullable(text(TEXT_BYTES_MAX)),
        "jwt_secret": nullable(secret),
        "jwt_jwks": nullable(keys),
        "max_concurrent_users": number(1),
        "max_events_per_second": number(1),
        "max_bytes_per_second": number(0),
        "max_channels_per_client": number(1),
        "max_joins_per_second": number(1),
        "max_presence_events_per_second": number(1),
        "max_payload_size_in_kb": number(1),
        "max_client_presence_events_per_window": number(i32::MIN),
        "client_presence_window_ms": number(i32::MIN),
        "postgres_cdc_default": nullable(kind()),
        "suspend": switch(),
        "private_only": switch(),
        "presence_enabled": switch(),
        "broadcast_adapter": {"enum": ["phoenix", "gen_rpc", null]},
        "feature_flags": nullable(json!({"type": "object"})),
        "migrations_ran": number(0),
        "extensions": extensions,
    });
    named("TenantFields", json!({"type": "object", "properties": properties}))
}

fn written_extension() -> Value {
    let required = REQUIRED.map(|name| (name.to_owned(), text(SECRET_BYTES_MAX)));
    let settings = json!({"type": "object", "properties": Map::from_iter(required)});
    json!({"type": "object", "required": ["type", "settings"], "properties": {"type": kind(), "settings": settings}})
}

fn kind() -> Value {
    json!({"enum": [POSTGRES, "postgres"]})
}

fn text(bytes_max: usize) -> Value {
    json!({"type": "string", "maxLength": bytes_max})
}

/// A number, which may be a string, or null for the default.
fn number(min: i32) -> Value {
    json!({"anyOf": [
        {"type": "integer", "minimum": min, "maximum": i32::MAX},
        {"type": "string", "pattern": "^[+-]?\\d{1,10}$"},
        {"type": "null"},
    ]})
}

/// A boolean, which may be a string, or null for the default.
fn switch() -> Value {
    json!({"enum": [true, false, "true", "false", "1", "0", null]})
}

/// The errors by field; those of extensions may be an object for each.
fn errors() -> Value {
    let of_extension = object_with(json!({}), json!({"type": field_errors(), "settings": field_errors()}));
    let of_extensions = json!({"anyOf": [field_errors(), {"type": "array", "items": of_extension}]});
    json!({"type": "object", "properties": {"extensions": of_extensions}, "additionalProperties": field_errors()})
}
