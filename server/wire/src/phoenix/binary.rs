//! Dialect V2, binary: user broadcasts in (kind 3) and out (kind 4).
//!
//! Lengths are single bytes, the fields follow in the order of their lengths, the payload is the rest.
//! Kinds 0, 1 and 2 are those of Phoenix itself. No SDK sends them, and realtime-js throws when it receives one, so they
//! are neither read nor written.

use hub::Frame;

use super::{DecodeError, Ref, ReplyTarget, UnreadableBroadcast, UserBroadcast, UserPayload};
use crate::raw_json;
use crate::websocket::FrameBuilder;

const USER_BROADCAST_PUSH: u8 = 3;
const USER_BROADCAST: u8 = 4;

const ENCODING_BINARY: u8 = 0;
const ENCODING_JSON: u8 = 1;

pub(super) fn decode(frame: &[u8]) -> Result<UserBroadcast<'_>, UnreadableBroadcast<'_>> {
    let (&kind, rest) = frame.split_first().ok_or(DecodeError::Truncated)?;
    if kind != USER_BROADCAST_PUSH {
        return Err(DecodeError::Kind(kind).into());
    }
    let (&[join_ref, reference, topic, event, metadata, encoding], mut rest) =
        rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
    let [join_ref, reference, topic, event, metadata] = [
        take(&mut rest, join_ref)?,
        take(&mut rest, reference)?,
        take(&mut rest, topic)?,
        take(&mut rest, event)?,
        take(&mut rest, metadata)?,
    ];
    let join_ref = Ref::from_text(text(join_ref, DecodeError::Ref)?);
    let reference = Ref::from_text(text(reference, DecodeError::Ref)?);
    let topic = text(topic, DecodeError::Topic)?;
    let content = || {
        let (event, metadata) = (text(event, DecodeError::Event)?, text(metadata, DecodeError::Metadata)?);
        Ok((event, object(metadata)?, payload(encoding, rest)?))
    };
    match content() {
        Ok((event, metadata, payload)) => {
            Ok(UserBroadcast { join_ref, reference, topic, event, metadata, payload })
        }
        Err(error) => {
            Err(UnreadableBroadcast { error, reply_target: Some(ReplyTarget { join_ref, reference, topic }) })
        }
    }
}

/// Cuts the next field off `rest`.
fn take<'a>(rest: &mut &'a [u8], length: u8) -> Result<&'a [u8], DecodeError> {
    let (field, after) = rest.split_at_checked(length.into()).ok_or(DecodeError::Truncated)?;
    *rest = after;
    Ok(field)
}

fn text(field: &[u8], not_text: DecodeError) -> Result<&str, DecodeError> {
    std::str::from_utf8(field).map_err(|_| not_text)
}

fn object(metadata: &str) -> Result<Option<&str>, DecodeError> {
    if metadata.is_empty() {
        return Ok(None);
    }
    if raw_json::is_valid(metadata) && raw_json::is_object(metadata) {
        return Ok(Some(metadata));
    }
    Err(DecodeError::Metadata)
}

/// Any encoding but 0 means JSON, as upstream reads it.
fn payload(encoding: u8, bytes: &[u8]) -> Result<UserPayload<'_>, DecodeError> {
    if encoding == ENCODING_BINARY {
        return Ok(UserPayload::Binary(bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Payload)?;
    if raw_json::is_valid(text) { Ok(UserPayload::Json(text)) } else { Err(DecodeError::Payload) }
}

/// The kind 4 frame of a broadcast; `None` when a field is too long for its length byte.
pub(crate) fn user_broadcast(
    topic: &str,
    event: &str,
    metadata: &str,
    payload: UserPayload<'_>,
) -> Option<Frame> {
    let (encoding, payload) = match payload {
        UserPayload::Binary(bytes) => (ENCODING_BINARY, bytes),
        UserPayload::Json(text) => (ENCODING_JSON, text.as_bytes()),
    };
    let length = |field: &str| u8::try_from(field.len()).ok();
    let header = [USER_BROADCAST, length(topic)?, length(event)?, length(metadata)?, encoding];
    let fields = topic.len() + event.len() + metadata.len();
    let mut frame = FrameBuilder::binary(header.len() + fields + payload.len());
    frame.push_bytes(&header);
    frame.push_str(topic);
    frame.push_str(event);
    frame.push_str(metadata);
    frame.push_bytes(payload);
    Some(frame.finish())
}
