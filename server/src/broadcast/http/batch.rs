//! Several messages in one request (docs/protocol/http.md#batch). One invalid message refuses the batch, and the response
//! holds the errors of each.
//!
//! The cost of a request must not depend on its contents: a body of a few megabytes can hold millions of empty messages,
//! or one whose topic is a list of millions. So the messages are counted before any is parsed, and a field is parsed only
//! if it has the expected type.

use std::ops::Range;
use std::sync::Arc;

use hub::Privacy;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use wire::supabase::Broadcast;
use wire::term_size;

use super::super::publish;
use super::authorization::check_permissions;
use super::{
    BATCH_TOO_LONG, BLANK, Broadcasting, INVALID, Rejection, Sender, TOPIC_BYTES_MAX, check_privacy, room,
    spend, too_large, too_long, too_many,
};
use crate::routes::ReceivedBody;
use crate::telemetry::codes::Code;
use crate::tenants::Tenant;
use crate::workers::pause_if_used_up;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
}

/// A message with its fields not parsed.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    private: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// A valid message. The payload is forwarded as it was received.
struct Message {
    topic: String,
    event: String,
    payload: Range<usize>,
    privacy: Privacy,
    meta: Option<String>,
}

/// The errors of a message, by field.
type FieldErrors = Map<String, Value>;

/// Messages of a request that were dropped.
#[derive(Default)]
pub(super) struct DroppedMessages {
    pub(super) count: usize,
    /// Why the first one was, as spans have it.
    pub(super) kind: Option<&'static str>,
}

impl DroppedMessages {
    fn note(&mut self, count: usize, refused: &Rejection) {
        self.count += count;
        self.kind.get_or_insert(refused.kind());
    }
}

/// The messages of a request, all of them valid.
struct Batch {
    body: String,
    messages: Vec<Message>,
}

/// Publishes the messages in `body`, if all of them are valid.
///
/// Those for private rooms follow the public ones, grouped by room. Where the sender may not send to a room, or that
/// cannot be found out, the messages for it are dropped, as upstream does it; the log says so. Returns which ones.
pub(super) async fn send(
    server: &Broadcasting,
    tenant: &Arc<Tenant>,
    sender: &Sender,
    body: ReceivedBody,
) -> Result<DroppedMessages, Rejection> {
    let node = &server.node;
    // The charge is kept until the end: the frames are charged besides.
    let (body, _charge) = body.into_parts();
    let size_max = node.settings().broadcast.max_batch_size.get();
    let (bytes, of_tenant) = (body.len(), Arc::clone(tenant));
    let read = move || Batch::read(&of_tenant, body, size_max);
    let Batch { body, mut messages } = node.offload.run(tenant.memory.party(), bytes, read).await?;
    spend(tenant, messages.len() as u64)?;
    // Stable: messages to one room keep their order.
    messages.sort_by(|one, other| one.group().cmp(&other.group()));
    let mut dropped = DroppedMessages::default();
    messages.retain(|message| match check_permissions(tenant, &message.topic, sender) {
        Ok(()) => true,
        Err(refused) => {
            dropped.note(1, &refused);
            false
        }
    });
    for of_room in messages.chunk_by(|one, other| one.group() == other.group()) {
        if let Err(refused) = send_to_room(server, (tenant, sender), &body, of_room).await {
            dropped.note(of_room.len(), &refused);
        }
    }
    Ok(dropped)
}

impl Batch {
    fn read(tenant: &Tenant, body: Vec<u8>, size_max: usize) -> Result<Self, Rejection> {
        let body = String::from_utf8(body).map_err(|_not_text| Rejection::not_json())?;
        let list = list(&body)?;
        if length(list)? > size_max {
            return Err(too_many(tenant, Code::BatchSizeExceeded, BATCH_TOO_LONG));
        }
        let read = messages(list)?.into_iter().map(|fields| Message::check(tenant, &body, fields));
        let read: Vec<_> = read.collect();
        if read.iter().any(Result::is_err) {
            let errors: Vec<_> = read.into_iter().map(|message| message.err().unwrap_or_default()).collect();
            return Err(invalid(errors.into()));
        }
        let messages: Vec<_> = read.into_iter().flatten().collect();
        messages.iter().try_for_each(|message| check_privacy(tenant, message.privacy))?;
        Ok(Self { body, messages })
    }
}

fn invalid(messages: Value) -> Rejection {
    Rejection::errors(json!({ "messages": messages }))
}

/// The list of messages, not parsed.
fn list(body: &str) -> Result<&RawValue, Rejection> {
    let list = match serde_json::from_str::<Body<'_>>(body) {
        Ok(read) if is_object(body.trim_ascii_start()) => read.messages,
        // Valid JSON that is not an object counts as an object without the key, as upstream treats it.
        Ok(_) => None,
        Err(error) if error.is_data() => None,
        Err(_not_json) => return Err(Rejection::not_json()),
    };
    list.ok_or_else(|| invalid(json!([BLANK])))
}

/// Whether JSON is an object. Checked because serde also reads a struct from a list of its fields.
fn is_object(json: &str) -> bool {
    json.starts_with('{')
}

/// The number of messages in a list; an empty list is an error. Takes no memory, because `IgnoredAny` has no size.
fn length(list: &RawValue) -> Result<usize, Rejection> {
    match serde_json::from_str::<Vec<IgnoredAny>>(list.get()) {
        Ok(messages) if messages.is_empty() => Err(invalid(json!([BLANK]))),
        Ok(messages) => Ok(messages.len()),
        Err(_no_list) => Err(invalid(json!([INVALID]))),
    }
}

fn messages(list: &RawValue) -> Result<Vec<Fields<'_>>, Rejection> {
    let not_objects = || invalid(json!([INVALID]));
    let messages: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|_no_list| not_objects())?;
    let objects = messages.into_iter().map(|message| {
        let object = Some(message.get()).filter(|text| is_object(text));
        object.and_then(|text| serde_json::from_str(text).ok()).ok_or_else(not_objects)
    });
    objects.collect()
}

/// Sends messages that are for one room, or for several public ones.
///
/// # Errors
/// Why its sender may not send to the room.
async fn send_to_room(
    server: &Broadcasting,
    (tenant, sender): (&Arc<Tenant>, &Sender),
    body: &str,
    messages: &[Message],
) -> Result<(), Rejection> {
    let Some(first) = messages.first() else { return Ok(()) };
    if first.privacy == Privacy::Private {
        let room = room(tenant, &first.topic, first.privacy);
        server.authorization.check(tenant, &room, sender).await?;
    }
    for message in messages {
        let Message { topic, event, payload, privacy, meta } = message;
        let event = Broadcast::Http { event, payload: &body[payload.clone()], meta: meta.as_deref() };
        publish(&server.node, (tenant, &room(tenant, topic, *privacy)), &event, &sender.span);
        // Each may have thousands of receivers.
        pause_if_used_up().await;
    }
    Ok(())
}

impl Message {
    /// The room of a private message; nothing for a public one.
    fn group(&self) -> Option<&str> {
        (self.privacy == Privacy::Private).then_some(&*self.topic)
    }

    /// A message of the request `body`.
    fn check(tenant: &Tenant, body: &str, fields: Fields<'_>) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::new();
        let mut note = |field: &str, text: &str| errors.insert(field.into(), json!([text]));
        let topic = topic(fields.topic).map_err(|error| note("topic", &error));
        let event = text(fields.event).map_err(|error| note("event", error));
        let payload = payload(tenant, fields.payload).map_err(|error| note("payload", error));
        let privacy = privacy(fields.private).map_err(|error| note("private", error));
        let id = id(fields.id).map_err(|error| note("id", error));
        match (topic, event, payload, privacy, id) {
            (Ok(topic), Ok(event), Ok(payload), Ok(privacy), Ok(id)) => {
                let meta = id.map(|id| json!({ "id": id }).to_string());
                let start = payload.as_ptr().addr() - body.as_ptr().addr();
                Ok(Self { topic, event, payload: start..start + payload.len(), privacy, meta })
            }
            _ => Err(errors),
        }
    }
}

fn topic(value: Option<&RawValue>) -> Result<String, String> {
    let topic = text(value)?;
    if topic.len() > TOPIC_BYTES_MAX { Err(too_long(TOPIC_BYTES_MAX)) } else { Ok(topic) }
}

fn text(value: Option<&RawValue>) -> Result<String, &'static str> {
    let text = string(value.ok_or(BLANK)?)?;
    if text.is_empty() { Err(BLANK) } else { Ok(text) }
}

/// A JSON string. Other values are refused without being parsed.
fn string(value: &RawValue) -> Result<String, &'static str> {
    let text = Some(value.get()).filter(|text| text.starts_with('"')).ok_or(INVALID)?;
    serde_json::from_str(text).map_err(|_half_a_surrogate_pair| INVALID)
}

fn payload<'a>(tenant: &Tenant, value: Option<&'a RawValue>) -> Result<&'a str, &'static str> {
    let payload = value.ok_or(BLANK)?.get();
    if !is_object(payload) {
        return Err(INVALID);
    }
    let exceeds = term_size::exceeds(payload, tenant.allowance.max_payload_bytes());
    if exceeds { Err(too_large(tenant)) } else { Ok(payload) }
}

fn privacy(value: Option<&RawValue>) -> Result<Privacy, &'static str> {
    match value.map_or("false", RawValue::get) {
        "true" | "\"true\"" | "\"1\"" => Ok(Privacy::Private),
        "false" | "\"false\"" | "\"0\"" => Ok(Privacy::Public),
        _ => Err(INVALID),
    }
}

fn id(value: Option<&RawValue>) -> Result<Option<String>, &'static str> {
    let Some(id) = value.map(string).transpose()? else { return Ok(None) };
    if uuid::Uuid::try_parse(&id).is_ok() { Ok(Some(id)) } else { Err(INVALID) }
}
