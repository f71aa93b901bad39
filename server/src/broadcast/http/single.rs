//! One message in one request, JSON or bytes (docs/protocol/http.md#single-message).

use std::sync::Arc;

use http::{HeaderMap, header};
use hub::Privacy;
use serde_json::json;
use serde_json::value::RawValue;
use wire::phoenix::{FIELD_BYTES_MAX, UserPayload};
use wire::supabase::Broadcast;
use wire::term_size;

use super::super::publish;
use super::{
    BLANK, Broadcasting, Rejection, Sender, TOPIC_BYTES_MAX, check_privacy, room, spend, too_large, too_long,
};
use crate::routes::ReceivedBody;
use crate::tenants::Tenant;

/// The format of the body, by its content type; JSON without one.
///
/// Upstream ignores a body without a content type and sends `{}` (docs/protocol/http.md#single-message). A client that
/// sends a body intends it to be received, and 202 for an empty message would hide the missing header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Bytes,
}

impl Content {
    /// `None` for a content type that the endpoint does not accept.
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

/// A message, and where it is sent.
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) event: &'a str,
    pub(super) privacy: Privacy,
    pub(super) content: Content,
}

/// A payload of the size that the tenant's clients may send.
enum Payload {
    Json(String),
    Bytes(Vec<u8>),
}

/// Publishes a message with this `body`.
pub(super) async fn send(
    server: &Broadcasting,
    (tenant, sender): (&Arc<Tenant>, &Sender),
    message: &Message<'_>,
    body: ReceivedBody,
) -> Result<(), Rejection> {
    check_name("topic", message.topic, TOPIC_BYTES_MAX)?;
    check_name("event", message.event, FIELD_BYTES_MAX)?;
    // The charge is kept until the end: the frames are charged besides.
    let (body, _charge) = body.into_parts();
    let (bytes, content, of_tenant) = (body.len(), message.content, Arc::clone(tenant));
    let read = move || Payload::read(&of_tenant, content, body);
    let payload = server.node.offload.run(tenant.memory.party(), bytes, read).await?;
    check_privacy(tenant, message.privacy)?;
    let room = room(tenant, message.topic, message.privacy);
    server.authorization.check(tenant, &room, sender).await?;
    spend(tenant, 1)?;
    let payload = match &payload {
        Payload::Json(text) => UserPayload::Json(text),
        Payload::Bytes(bytes) => UserPayload::Binary(bytes),
    };
    let event = Broadcast::User { event: message.event, payload, meta: None };
    publish(&server.node, (tenant, &room), &event, &sender.span);
    Ok(())
}

impl Payload {
    fn read(tenant: &Tenant, content: Content, body: Vec<u8>) -> Result<Self, Rejection> {
        let limit = tenant.allowance.max_payload_bytes();
        let (payload, is_too_large) = match content {
            Content::Bytes => {
                let is_too_large = term_size::bytes(body.len()) > limit;
                (Self::Bytes(body), is_too_large)
            }
            Content::Json => {
                let json = object(&body)?;
                let is_too_large = term_size::exceeds(&json, limit);
                (Self::Json(json), is_too_large)
            }
        };
        if is_too_large {
            return Err(Rejection::errors(json!({ "payload": [too_large(tenant)] })));
        }
        Ok(payload)
    }
}

/// Refuses a name that is empty, or does not fit its field of a binary frame.
fn check_name(field: &str, name: &str, bytes_max: usize) -> Result<(), Rejection> {
    let invalid = |text: &str| Err(Rejection::errors(json!({ field: [text] })));
    match name.len() {
        0 => invalid(BLANK),
        length if length > bytes_max => invalid(&too_long(bytes_max)),
        _ => Ok(()),
    }
}

/// The body as a JSON object. Lists and single values become the value of `_json` in an object, as upstream's parser does;
/// an empty body is an empty object.
fn object(body: &[u8]) -> Result<String, Rejection> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok("{}".into());
    }
    let value: &RawValue = serde_json::from_slice(body).map_err(|_error| Rejection::not_json())?;
    let text = value.get();
    Ok(if text.starts_with('{') { text.to_owned() } else { ["{\"_json\":", text, "}"].concat() })
}
