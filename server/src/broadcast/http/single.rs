//! One message in one request, JSON or bytes (docs/protocol/http.md#single-message).

use http::{HeaderMap, header};
use hub::Hub;
use serde_json::json;
use serde_json::value::RawValue;
use wire::phoenix::{FIELD_BYTES_MAX, UserPayload};
use wire::supabase::Broadcast;
use wire::term_size;

use super::super::publish;
use super::{BLANK, Rejection, TOO_LARGE, TOPIC_BYTES_MAX, check_privacy, room, spend, too_long};
use crate::tenants::Tenant;

/// What the body is, by its content type.
///
/// JSON, if it does not say. Upstream ignores such a body and sends `{}`
/// (docs/protocol/http.md#single-message). Who sends a body means it, and 202 for something that nobody
/// receives would hide the missing header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Bytes,
}

impl Content {
    /// `None` for what the endpoint does not take.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Some(Self::Json) };
        let essence = content_type.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        match &*essence {
            "application/json" => Some(Self::Json),
            "application/octet-stream" => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// What is to be sent, and where.
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) event: &'a str,
    pub(super) private: bool,
    pub(super) content: Content,
    pub(super) body: &'a [u8],
}

pub(super) fn send(hub: &Hub, tenant: &Tenant, message: &Message<'_>) -> Result<(), Rejection> {
    check_name("topic", message.topic, TOPIC_BYTES_MAX)?;
    check_name("event", message.event, FIELD_BYTES_MAX)?;
    let json;
    let limit = tenant.allowance.max_payload_bytes();
    let (payload, is_too_large) = match message.content {
        Content::Bytes => (UserPayload::Binary(message.body), term_size::bytes(message.body.len()) > limit),
        Content::Json => {
            json = object(message.body)?;
            (UserPayload::Json(&json), term_size::exceeds(&json, limit))
        }
    };
    if is_too_large {
        return Err(Rejection::errors(json!({ "payload": [TOO_LARGE] })));
    }
    check_privacy(tenant, message.private)?;
    spend(tenant, 1)?;
    let event = Broadcast::User { event: message.event, payload, meta: None };
    publish(hub, tenant, &room(tenant, message.topic), &event);
    Ok(())
}

/// A name has to fit the binary frame it travels in.
fn check_name(field: &str, name: &str, bytes_max: usize) -> Result<(), Rejection> {
    let wrong = |text: &str| Err(Rejection::errors(json!({ field: [text] })));
    match name.len() {
        0 => wrong(BLANK),
        length if length > bytes_max => wrong(&too_long(bytes_max)),
        _ => Ok(()),
    }
}

/// The body as a JSON object. Lists and single values are put into one, under `_json`, as upstream's
/// parser does; an empty body is an empty object.
fn object(body: &[u8]) -> Result<String, Rejection> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok("{}".into());
    }
    let value: &RawValue = serde_json::from_slice(body).map_err(|_error| Rejection::not_json())?;
    let text = value.get();
    Ok(if text.starts_with('{') { text.to_owned() } else { ["{\"_json\":", text, "}"].concat() })
}
