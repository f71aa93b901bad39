//! Responses that follow from what a route declares, and not from its handler. The edge gives them
//! (`server/src/edge/router.rs`, `server/src/edge/authorise.rs`), and the body when it is read.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::routes::{Access, Answer, Route, schema};
use crate::telemetry::codes::Code;

/// Headers that many responses have.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "Identifies the request in the log. Missing where the head was not read to its end.",
            "schema": {"type": "string"},
        },
        "RetryAfter": {
            "description": "Seconds after which the client may try again.",
            "required": true,
            "schema": {"type": "integer", "minimum": 1},
        },
    })
}

/// The responses of `route` at a path with or without parameters, those of its handler excepted.
pub(super) fn answers(route: &Route, path: &str) -> Vec<Answer> {
    let mut answers = vec![Answer::json(
        StatusCode::BAD_REQUEST,
        "The head or the body of the request is malformed.",
        json!({"type": "string", "pattern": "^Bad Request"}),
    )];
    answers.push(Answer::text(StatusCode::BAD_REQUEST, "The port expects TLS."));
    answers.push(Answer::empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head is too long."));
    answers.extend(of_access(route.access()));
    if route.is_below_gateway_prefix() && path.contains('{') {
        let text = "A parameter of the path is empty, so that it is another path.";
        answers.push(constant(StatusCode::NOT_FOUND, text, "Not Found"));
    }
    if route.is_negotiated() {
        let text = "The client does not accept JSON.";
        answers.push(constant(StatusCode::NOT_ACCEPTABLE, text, "Not Acceptable"));
    }
    if route.max_body().is_some() {
        let text = "The body takes longer than `server.handshake_timeout`.";
        answers.push(constant(StatusCode::REQUEST_TIMEOUT, text, "Request Timeout"));
        let text = "The body is too large.";
        answers.push(constant(StatusCode::PAYLOAD_TOO_LARGE, text, "Request Entity Too Large"));
    }
    if !route.is_health_check() {
        let text = "The connection is one of those reserved for health checks.";
        answers.push(Answer::json(StatusCode::SERVICE_UNAVAILABLE, text, json!({"type": "string"})));
    }
    answers
}

/// The responses to a preflight request.
pub(super) fn preflight(route: &Route, path: &str) -> Vec<Answer> {
    let allowed = Answer::empty(StatusCode::NO_CONTENT, "Browsers at other origins may send the request.")
        .header("access-control-allow-origin", "Any origin.", json!({"const": "*"}))
        .header("access-control-allow-methods", "The methods.", json!({"type": "string"}))
        .header("access-control-allow-headers", "The headers.", json!({"type": "string"}))
        .header("access-control-max-age", "Seconds for which this holds.", json!({"type": "integer"}));
    let disabled = constant(StatusCode::NOT_FOUND, "`broadcast.cors` is not set.", "Not Found");
    let general = answers(route, path).into_iter();
    let of_body_or_token = [401, 403, 404, 408, 413, 429];
    general
        .filter(|answer| !of_body_or_token.contains(&answer.status.as_u16()))
        .chain([allowed, disabled])
        .collect()
}

/// Whether responses to this method have a body.
pub(super) fn has_body(method: &Method) -> bool {
    *method != Method::HEAD
}

fn of_access(access: Access) -> Vec<Answer> {
    let too_many = || {
        Answer::json(
            StatusCode::TOO_MANY_REQUESTS,
            "The address is over the rate of callers without a valid token.",
            schema::message(&[Code::AddressRateLimitReached.text()]),
        )
    };
    match access {
        Access::Public | Access::Tenant | Access::WebSocket => Vec::new(),
        Access::Operator => {
            let text = "The token is not one of an operator.";
            let refused = Answer::json(StatusCode::UNAUTHORIZED, text, schema::any_message()).header(
                "www-authenticate",
                "The scheme.",
                json!({"const": "Bearer"}),
            );
            vec![refused, too_many()]
        }
        Access::Management | Access::Metrics => {
            vec![Answer::empty(StatusCode::FORBIDDEN, "The token is missing or not accepted."), too_many()]
        }
    }
}

/// A response that no handler produces: one text, as a JSON string.
fn constant(status: StatusCode, text: &'static str, body: &str) -> Answer {
    Answer::json(status, text, json!({"const": body}))
}
