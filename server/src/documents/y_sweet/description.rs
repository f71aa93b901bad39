//! What the routes of y-sweet's SDK receive and answer, for the OpenAPI document. Tests compare it with real responses.

use http::StatusCode;
use serde_json::{Value, json};

use super::client_token::USER_BYTES_MAX;
use super::document_id::ID_BYTES_MAX;
use super::store_check::UNREACHABLE;
use crate::routes::schema::{count, named, object, object_with};
use crate::routes::{Description, JSON_TYPE};

/// What these routes are about.
const TAG: &str = "documents";

pub(super) fn create() -> Description {
    let body = object_with(json!({}), json!({"docId": id()}));
    of_backend()
        .body(JSON_TYPE, body)
        .or_no_body()
        .json(StatusCode::OK, "The id of the document.", object(json!({"docId": id()})))
        .json(StatusCode::BAD_REQUEST, "The body is no JSON object, or the id is invalid.", refusal())
        .json(StatusCode::UNPROCESSABLE_ENTITY, "A member of the body is invalid.", refusal())
}

pub(super) fn sign() -> Description {
    let user = json!({"type": "string", "minLength": 1, "maxLength": USER_BYTES_MAX});
    let body = object_with(
        json!({}),
        json!({"authorization": authorization(), "userId": user, "validForSeconds": count()}),
    );
    let text = || json!({"type": "string"});
    let answer = object(json!({
        "url": text(),
        "baseUrl": text(),
        "docId": id(),
        "token": text(),
        "authorization": authorization(),
    }));
    of_backend()
        .parameter("path", "id", "The id of the document.", id())
        .body(JSON_TYPE, body)
        .or_no_body()
        .json(StatusCode::OK, "What a client opens the document with.", answer)
        .json(StatusCode::BAD_REQUEST, "The body is no JSON object, or the id is invalid.", refusal())
        .json(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A member of the body is invalid, or the tenant has no secret to sign tokens with.",
            refusal(),
        )
}

pub(super) fn check_store() -> Description {
    let ok = object(json!({"ok": {"const": true}}));
    let failed = object(json!({"ok": {"const": false}, "error": {"const": UNREACHABLE}}));
    of_backend().json(StatusCode::OK, "Whether the store returns documents.", json!({"anyOf": [ok, failed]}))
}

pub(super) fn ready() -> Description {
    let ok = |value: bool| object(json!({"ok": {"const": value}}));
    Description::new(TAG).json(StatusCode::OK, "The node takes clients.", ok(true)).json(
        StatusCode::SERVICE_UNAVAILABLE,
        "The node is stopping.",
        ok(false),
    )
}

/// The checks that all requests of backends have in common.
fn of_backend() -> Description {
    Description::new(TAG)
        .tenant_selection()
        .json(
            StatusCode::UNAUTHORIZED,
            "The token is missing or not accepted, or there is no such tenant.",
            refusal(),
        )
        .json(
            StatusCode::FORBIDDEN,
            "The token is not one of a backend or does not permit the document, or the tenant is suspended.",
            refusal(),
        )
        .json(
            StatusCode::TOO_MANY_REQUESTS,
            "The address is over the rate of callers without a valid token, or the tenant has no memory.",
            refusal(),
        )
        .json(
            StatusCode::SERVICE_UNAVAILABLE,
            "The tenant or the key of the token cannot be looked up now.",
            refusal(),
        )
}

fn id() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX, "pattern": "^[A-Za-z0-9_-]+$"})
}

fn authorization() -> Value {
    json!({"enum": ["full", "read-only"]})
}

fn refusal() -> Value {
    named("Refusal", object(json!({"error": {"type": "string"}})))
}
