//! Payloads inside the envelope, and their sizes.

use serde_json::{Map, Value};
use wire::phoenix::UserPayload;
use wire::supabase::{self, JoinRequest, JoinToken, PresenceCall, Private, Replay, TokenRefresh};
use wire::term_size as size;

/// The payload of `phx_join`.
pub fn join_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let join = JoinRequest::parse(text);
    if let Some(Replay::Messages(request)) = &join.replay {
        assert!(request.limit != Some(0) && request.after.len() <= 100);
        assert!(request.since.is_some() || !request.after.is_empty());
    }
    if let JoinToken::Own(token) = &join.token {
        assert!(!token.starts_with("sb_"), "an API key is no token");
    }
    assert!(join.presence_key.as_deref() != Some(""), "an empty key is none");
    assert!(join.private != Private::Unreadable || !join.problems.is_empty(), "it is said why");

    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let Value::Object(_) = value else { return assert_eq!(join.private, Private::Unreadable) };
    let config = &value["config"];
    assert_eq!(join.legacy, value.get("config").is_none());
    let private = match (config, &config["private"]) {
        (Value::Object(_), Value::Bool(true)) => Private::Yes,
        (Value::Object(_), Value::String(text)) if text.eq_ignore_ascii_case("true") => Private::Yes,
        (Value::Object(_), Value::String(text)) if text.eq_ignore_ascii_case("false") => Private::No,
        (Value::Object(_), Value::Bool(false) | Value::Null) | (Value::Null, _) => Private::No,
        _ => Private::Unreadable,
    };
    assert_eq!(join.private, private);
    assert_eq!(join.replay.is_some(), config["broadcast"].get("replay").is_some());

    let entries = config["postgres_changes"].as_array().map_or(&[][..], Vec::as_slice);
    let entries: Vec<_> = entries.iter().filter(|entry| entry.is_object()).collect();
    assert_eq!(join.postgres_changes.len(), entries.len());
    for (entry, expected) in join.postgres_changes.iter().zip(entries) {
        assert_eq!(serde_json::from_str::<Value>(entry.get()).unwrap(), *expected, "in order, untouched");
    }
}

/// The payload of `presence`.
pub fn presence_call(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let call = PresenceCall::parse(text);
    if let PresenceCall::Track(tracked) = call {
        check_meta(tracked);
    }
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return };
    let Some(event) = members.get("event") else { return assert_eq!(call, PresenceCall::Nothing) };
    match (event.as_str().map(str::to_ascii_lowercase).as_deref(), call) {
        (Some("track"), PresenceCall::Track(tracked)) => {
            let expected = members.get("payload").cloned().unwrap_or_else(|| Map::new().into());
            assert_eq!(serde_json::from_str::<Value>(tracked).unwrap(), expected);
        }
        (Some("track"), PresenceCall::TrackNotAMap) => assert!(!members["payload"].is_object()),
        (Some("untrack"), PresenceCall::Untrack) => {}
        (other, PresenceCall::Unknown) => assert!(!matches!(other, Some("track" | "untrack"))),
        (event, call) => panic!("{event:?} was read as {call:?}"),
    }
}

/// The payload of `access_token`.
pub fn token_refresh(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let refresh = TokenRefresh::parse(text);
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return };
    let expected = match members.get("access_token") {
        Some(Value::Null) => TokenRefresh::Unchanged,
        Some(Value::String(token)) if token.starts_with("sb_") => TokenRefresh::Unchanged,
        Some(Value::String(token)) => TokenRefresh::New(token.as_str().into()),
        _ => TokenRefresh::Unreadable,
    };
    assert_eq!(refresh, expected);
}

/// A tracked object.
pub fn presence_meta(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_meta(text);
    }
}

/// The meta is the object, with our refs and without the user's.
fn check_meta(tracked: &str) {
    let first = supabase::presence_meta(tracked, "F3g3A5Sb9ynNKjbE", None);
    let second = supabase::presence_meta(tracked, "GGx0Zt3mQK4AAQIB", Some("F3g3A5Sb9ynNKjbE"));
    assert!(second.len() <= tracked.len() + 70, "nothing is added but the refs");
    let state = supabase::presence_payload([("a", first.as_str()), ("a", &second)].into_iter());
    assert!(serde_json::from_str::<&serde_json::value::RawValue>(&state).is_ok());

    let mut expected = match serde_json::from_str(tracked) {
        Ok(Value::Object(members)) => members,
        Ok(_) => Map::new(),
        // Nested too deeply, or not decodable: then neither is the meta.
        Err(_) => return,
    };
    expected.remove("phx_ref_prev");
    expected.insert("phx_ref".into(), "F3g3A5Sb9ynNKjbE".into());
    assert_eq!(serde_json::from_str::<Map<_, _>>(&first).unwrap(), expected);
    expected.insert("phx_ref".into(), "GGx0Zt3mQK4AAQIB".into());
    expected.insert("phx_ref_prev".into(), "F3g3A5Sb9ynNKjbE".into());
    assert_eq!(serde_json::from_str::<Map<_, _>>(&second).unwrap(), expected);
}

/// Any JSON, and any bytes as a user's payload.
pub fn term_size(data: &[u8]) {
    let binary = size::user_broadcast("e", UserPayload::Binary(data), None);
    assert_eq!(binary, 1 + 2 + 6 + 8 + 5 + data.len() + 5);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let total = size::json(text);
    assert!(total <= 3 * text.len() + 4, "what `exceeds` relies on");
    for limit in [0, total - 1, total, total + 1, 3 * text.len() + 4, usize::MAX] {
        assert_eq!(size::exceeds(text, limit), total > limit);
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return assert_eq!(total, text.len() + 1) };
    let expected = 1 + reference_size(&value);
    assert!(total >= expected, "members of the same name count each");
    assert_eq!(size::json(&value.to_string()), expected);
}

/// The table of docs/protocol/limits.md#payload-size, row by row.
pub fn reference_size(value: &Value) -> usize {
    match value {
        Value::Null => 5,
        Value::Bool(true) => 6,
        Value::Bool(false) => 7,
        Value::String(text) => 5 + text.len(),
        Value::Number(number) => match number.as_i128() {
            None => 9,
            Some(0..=255) => 2,
            Some(integer) if i32::try_from(integer).is_ok() => 5,
            Some(integer) => {
                let bytes = integer.unsigned_abs().to_be_bytes();
                3 + bytes.iter().skip_while(|byte| **byte == 0).count()
            }
        },
        Value::Array(elements) if elements.is_empty() => 1,
        Value::Array(elements) => {
            let is_byte = |element: &Value| element.as_u64().is_some_and(|integer| integer <= 255);
            if elements.len() <= 65535 && elements.iter().all(is_byte) {
                return 3 + elements.len();
            }
            6 + elements.iter().map(reference_size).sum::<usize>()
        }
        Value::Object(members) => {
            5 + members.iter().map(|(key, value)| 5 + key.len() + reference_size(value)).sum::<usize>()
        }
    }
}
