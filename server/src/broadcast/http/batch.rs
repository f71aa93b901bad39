//! Many messages in one request (http §6). One bad message refuses all, and the answer says for each what
//! is wrong with it.

use hub::Hub;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use wire::supabase::Broadcast;
use wire::term_size;

use super::super::publish;
use super::{BLANK, INVALID, Refused, TOO_LARGE, room, spend};
use crate::tenants::Tenant;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
}

/// A message as it came. The payload stays text: it is passed on as its sender spelled it.
#[derive(Deserialize)]
struct Fields<'a> {
    topic: Option<Value>,
    event: Option<Value>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    private: Option<Value>,
    id: Option<Value>,
}

/// A message that can be sent.
struct Message<'a> {
    topic: String,
    event: String,
    payload: &'a str,
    private: bool,
    meta: Option<String>,
}

/// What is wrong with a message, by field.
type Errors = Map<String, Value>;

pub(super) fn send(hub: &Hub, tenant: &Tenant, body: &[u8]) -> Result<(), Refused> {
    let read: Vec<Result<Message<'_>, Errors>> =
        messages(body)?.into_iter().map(|fields| Message::check(tenant, fields)).collect();
    if read.iter().any(Result::is_err) {
        let errors: Vec<_> = read.into_iter().map(|message| message.err().unwrap_or_default()).collect();
        return Err(Refused::errors(json!({ "messages": errors })));
    }
    spend(tenant, read.len() as u64)?;
    // Private messages need the tenant's database to be authorized. This server knows none yet, and drops
    // them as upstream drops what it cannot authorize: the answer is 202 all the same.
    for message in read.iter().flatten().filter(|message| !message.private) {
        let Message { topic, event, payload, meta, .. } = message;
        let event = Broadcast::Http { event, payload, meta: meta.as_deref() };
        publish(hub, tenant, &room(tenant, topic), &event);
    }
    Ok(())
}

fn messages(body: &[u8]) -> Result<Vec<Fields<'_>>, Refused> {
    let wrong = |text: &str| Refused::errors(json!({ "messages": [text] }));
    let body: Body<'_> = match serde_json::from_slice(body) {
        Ok(body) => body,
        // Valid JSON without the key, as upstream sees anything that is not an object.
        Err(error) if error.is_data() => Body { messages: None },
        Err(_not_json) => return Err(Refused::not_json()),
    };
    let messages = body.messages.ok_or_else(|| wrong(BLANK))?;
    let messages: Vec<Fields<'_>> = serde_json::from_str(messages.get()).map_err(|_shape| wrong(INVALID))?;
    if messages.is_empty() { Err(wrong(BLANK)) } else { Ok(messages) }
}

impl<'a> Message<'a> {
    fn check(tenant: &Tenant, fields: Fields<'a>) -> Result<Self, Errors> {
        let mut errors = Errors::new();
        let mut wrong = |field: &str, text: &str| errors.insert(field.into(), json!([text]));
        let topic = text(fields.topic).map_err(|why| wrong("topic", why));
        let event = text(fields.event).map_err(|why| wrong("event", why));
        let payload = payload(tenant, fields.payload).map_err(|why| wrong("payload", why));
        let private = flag(fields.private).map_err(|why| wrong("private", why));
        let id = id(fields.id).map_err(|why| wrong("id", why));
        match (topic, event, payload, private, id) {
            (Ok(topic), Ok(event), Ok(payload), Ok(private), Ok(id)) => {
                let meta = id.map(|id| json!({ "id": id }).to_string());
                Ok(Self { topic, event, payload, private, meta })
            }
            _ => Err(errors),
        }
    }
}

fn text(value: Option<Value>) -> Result<String, &'static str> {
    match value {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None | Some(Value::String(_)) => Err(BLANK),
        Some(_) => Err(INVALID),
    }
}

fn payload<'a>(tenant: &Tenant, value: Option<&'a RawValue>) -> Result<&'a str, &'static str> {
    let payload = value.map(RawValue::get).filter(|text| *text != "null").ok_or(BLANK)?;
    if !payload.starts_with('{') {
        return Err(INVALID);
    }
    let exceeds = term_size::exceeds(payload, tenant.allowance.max_payload_bytes);
    if exceeds { Err(TOO_LARGE) } else { Ok(payload) }
}

fn flag(value: Option<Value>) -> Result<bool, &'static str> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(Value::String(text)) if text == "true" || text == "1" => Ok(true),
        Some(Value::String(text)) if text == "false" || text == "0" => Ok(false),
        Some(_) => Err(INVALID),
    }
}

fn id(value: Option<Value>) -> Result<Option<String>, &'static str> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if uuid::Uuid::try_parse(&text).is_ok() => Ok(Some(text)),
        Some(_) => Err(INVALID),
    }
}
