//! What broadcasts over HTTP receive and answer, for the OpenAPI document. Tests compare it with real responses.

use http::StatusCode;
use serde_json::{Value, json};
use wire::phoenix::FIELD_BYTES_MAX;

use super::authorization::{CANCELED, FULL_DATABASE, FULL_POOL, NO_DATABASE, NO_PARTITION, POLICY_ERROR};
use super::{BATCH_TOO_LONG, EXHAUSTED, TOO_MANY_REQUESTS, TOPIC_BYTES_MAX, UNSUPPORTED_CONTENT};
use crate::node::{SUSPENDED, UNAUTHORIZED, UNKNOWN_TENANT};
use crate::routes::schema::{field_errors, message, named, nullable, object, object_with};
use crate::routes::{Answer, BYTES_TYPE, Description, JSON_TYPE};
use crate::telemetry::codes::Code;

/// What these routes are about.
const TAG: &str = "broadcast";

pub(super) fn batch() -> Description {
    let list = json!({"type": "array", "items": message_schema(), "minItems": 1});
    let errors = json!({"anyOf": [field_errors(), {"type": "array", "items": message_errors()}]});
    checked(Description::new(TAG).tenant_selection())
        .body(JSON_TYPE, object_with(json!({"messages": list}), json!({})))
        .answer(with_rate(Answer::json(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A message is invalid: an object for each, empty for a good one.",
            object(json!({"errors": object(json!({"messages": errors}))})),
        )))
        .answer(too_many(&[BATCH_TOO_LONG]))
}

pub(super) fn single() -> Description {
    let errors = object_with(
        json!({}),
        json!({"topic": field_errors(), "event": field_errors(), "payload": field_errors()}),
    );
    let any_json = json!({"description": "What is not an object is sent as `{\"_json\": …}`."});
    checked(Description::new(TAG).tenant_selection())
        .parameter("path", "topic", "The topic, without `realtime:`.", name(TOPIC_BYTES_MAX))
        .parameter("path", "event", "The name of the event.", name(FIELD_BYTES_MAX))
        .parameter("query", "private", "Whether the room is private.", json!({"enum": ["true", "false"]}))
        .body(JSON_TYPE, any_json)
        .body(BYTES_TYPE, json!({}))
        .or_no_body()
        .json(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body is neither JSON nor bytes.",
            object(json!({"error": {"const": UNSUPPORTED_CONTENT}})),
        )
        .answer(with_rate(Answer::json(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A name or the payload is invalid.",
            object(json!({"errors": errors})),
        )))
}

pub(super) fn ping() -> Description {
    refused_tenant(Description::new(TAG).tenant_selection())
        .answer(with_rate(Answer::json(
            StatusCode::OK,
            "The tenant is served. With a valid token, the request is counted.",
            message(&["Success"]),
        )))
        .answer(too_many(&[TOO_MANY_REQUESTS]))
}

/// A message as a client has to send it. The server takes a few other types as well.
fn message_schema() -> Value {
    let required = json!({"topic": name(TOPIC_BYTES_MAX), "event": name(u16::MAX.into()), "payload": {"type": "object"}});
    let optional = json!({
        "private": {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false", "1", "0", null]}]},
        "id": nullable(json!({"type": "string", "format": "uuid"})),
    });
    let mut schema = object_with(required, optional);
    schema["additionalProperties"] = true.into();
    named("BroadcastMessage", schema)
}

fn name(bytes_max: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": bytes_max})
}

fn message_errors() -> Value {
    let fields =
        ["topic", "event", "payload", "private", "id"].map(|field| (field.to_owned(), field_errors()));
    object_with(json!({}), Value::Object(fields.into_iter().collect()))
}

/// The checks that all broadcasts have in common (docs/protocol/http.md#broadcast-checks).
fn checked(description: Description) -> Description {
    let accepted = Answer::empty(StatusCode::ACCEPTED, "All messages are handed to their rooms.");
    let rooms = message(&[
        NO_DATABASE,
        POLICY_ERROR,
        CANCELED,
        NO_PARTITION,
        FULL_DATABASE,
        Code::PrivateOnly.text(),
    ]);
    let rates = [TOO_MANY_REQUESTS, EXHAUSTED, FULL_POOL, Code::MemoryLimitReached.text()];
    refused_tenant(description)
        .answer(with_rate(accepted))
        .json(StatusCode::UNAUTHORIZED, "The token is missing or not accepted.", message(&[UNAUTHORIZED]))
        .json(
            StatusCode::FORBIDDEN,
            "The tenant is suspended, or the policies of the room do not allow it.",
            message(&[SUSPENDED, UNAUTHORIZED]),
        )
        .answer(with_rate(Answer::json(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A room is public where only private ones are allowed, or its policies cannot be evaluated.",
            rooms,
        )))
        .answer(too_many(&rates))
}

/// The checks that need no token to be valid.
fn refused_tenant(description: Description) -> Description {
    let waiting = [Code::JwksWaitLimitReached, Code::ServerJwksWaitLimitReached, Code::TenantLookupFailed];
    description
        .json(StatusCode::UNAUTHORIZED, "There is no such tenant.", message(&[UNKNOWN_TENANT]))
        .json(
            StatusCode::TOO_MANY_REQUESTS,
            "The address is over the rate of callers without a valid token.",
            message(&[Code::AddressRateLimitReached.text()]),
        )
        .json(
            StatusCode::SERVICE_UNAVAILABLE,
            "The tenant or the key of the token cannot be looked up now.",
            message(&waiting.map(Code::text)),
        )
}

fn too_many(texts: &[&str]) -> Answer {
    with_rate(Answer::json(StatusCode::TOO_MANY_REQUESTS, "The tenant is over a rate.", message(texts)))
}

/// Headers of responses to requests with a valid token.
fn with_rate(answer: Answer) -> Answer {
    let number = || json!({"type": "integer"});
    answer
        .header("x-rate-rolling", "Requests of the tenant per second on this node.", number())
        .header("x-rate-limit", "How many it may send.", number())
        .header("x-rate-limit-remaining", "The difference, which may be negative.", number())
}
