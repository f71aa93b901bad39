//! Messages in both dialects.

use hub::{Dialect, Encode};
use serde_json::Value;
use serde_json::value::RawValue;
use wire::phoenix::{self, Push, Ref, Status, UserPayload, V1, V2};
use wire::supabase::Broadcast;

use super::reader;

/// Text from a V1 client.
pub fn decode_text_v1(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let push = phoenix::decode_text(V1, text);
    if let Ok(push) = &push {
        check_push(V1, push);
    }
    if let Ok(Value::Object(members)) = serde_json::from_str(text) {
        let of = |key| members.get(key).unwrap_or(&Value::Null);
        let whole = ["ref", "payload"].iter().all(|key| members.contains_key(*key));
        let expected = whole.then(|| [of("join_ref"), of("ref"), of("topic"), of("event"), of("payload")]);
        check_agreement(expected, push.ok());
    }
}

/// Text from a V2 client.
pub fn decode_text_v2(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let push = phoenix::decode_text(V2, text);
    if let Ok(push) = &push {
        check_push(V2, push);
    }
    if let Ok(Value::Array(elements)) = serde_json::from_str(text) {
        let expected = elements.first_chunk::<5>().map(|five| five.each_ref());
        check_agreement(expected, push.ok());
    }
}

/// An accepted push can be answered and delivered in every dialect.
fn check_push(dialect: Dialect, push: &Push<'_>) {
    assert!(is_json(push.payload));
    assert_eq!(push.payload_is_object(), push.payload.starts_with('{'));
    for reference in [&push.join_ref, &push.reference] {
        check_ref(reference);
        assert!(reference.as_json().len() <= 257, "255 bytes and its quotes");
    }

    let (join_ref, reference) = (push.join_ref.as_json(), push.reference.as_json());
    let reply = phoenix::reply(dialect, join_ref, reference, &push.topic, Status::Ok, push.payload);
    let reply = if dialect == V1 { reader::v1(&reply) } else { reader::v2(&reply) };
    assert_eq!(reply.reference, reference);
    assert_eq!(reply.join_ref.as_deref(), (dialect == V2).then_some(join_ref));
    assert_eq!(serde_json::from_str::<String>(&reply.topic).unwrap(), push.topic);

    let broadcast = Broadcast::Text { payload: push.payload };
    for (dialect, read) in [(V1, reader::v1 as fn(&_) -> _), (V2, reader::v2)] {
        let message = read(&broadcast.encode(&push.topic, dialect).expect("text has no limits"));
        assert_eq!(message.payload, push.payload, "passed on byte for byte");
        assert_eq!(message.reference, "null");
        assert_eq!(message.event, "\"broadcast\"");
        let topic: String = serde_json::from_str(&message.topic).unwrap();
        assert_eq!(topic.strip_prefix("realtime:"), Some(&*push.topic));
    }
}

fn check_ref(reference: &Ref<'_>) {
    let json = reference.as_json();
    assert!(is_json(json));
    assert!(
        json == "null"
            || json.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
    );
    assert_eq!(reference.is_null(), json == "null");
    assert_eq!(reference.clone().into_owned(), *reference);
}

/// What a plain JSON reader accepts as a message is accepted as the same message, and nothing else is.
fn check_agreement(expected: Option<[&Value; 5]>, push: Option<Push<'_>>) {
    let is_ref = |value: &Value| value.is_string() || value.is_number() || value.is_null();
    let expected = expected.filter(|[join_ref, reference, topic, event, _]| {
        is_ref(join_ref) && is_ref(reference) && topic.is_string() && event.is_string()
    });
    let Some([join_ref, reference, topic, event, payload]) = expected else {
        return assert!(push.is_none(), "accepted what is no message");
    };
    let Some(push) = push else {
        // The value does not show how a ref was written, so only a short one must be accepted.
        let is_short = |value: &Value| value.as_str().is_some_and(|text| text.len() < 40) || value.is_null();
        return assert!(!is_short(join_ref) || !is_short(reference), "refused a message");
    };
    let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
    assert_eq!(value(push.join_ref.as_json()), *join_ref);
    assert_eq!(value(push.reference.as_json()), *reference);
    assert_eq!(push.topic, topic.as_str().unwrap());
    assert_eq!(push.event, event.as_str().unwrap());
    assert_eq!(value(push.payload), *payload);
}

/// A binary frame from a client of either dialect.
pub fn decode_binary(data: &[u8]) {
    assert!(phoenix::decode_binary(V1, data).is_err(), "V1 has no binary messages");
    let Ok(broadcast) = phoenix::decode_binary(V2, data) else { return };
    check_ref(&broadcast.join_ref);
    check_ref(&broadcast.reference);
    assert!(broadcast.metadata.is_none_or(is_json));

    let fields: usize = data[1..6].iter().map(|length| usize::from(*length)).sum();
    let expected = &data[7 + fields..];
    let payload = match broadcast.payload {
        UserPayload::Json(text) => text.as_bytes(),
        UserPayload::Binary(bytes) => bytes,
    };
    assert_eq!(payload, expected, "the payload is the rest");

    let topic = broadcast.topic.strip_prefix("realtime:").unwrap_or("room1");
    let outgoing =
        Broadcast::User { event: broadcast.event, payload: broadcast.payload, meta: broadcast.metadata };
    let frame = outgoing.encode(topic, V2).expect("what fits into kind 3 fits into kind 4");
    let received = reader::user_broadcast(&frame);
    assert_eq!(received.topic.strip_prefix("realtime:"), Some(topic));
    assert_eq!(received.event, broadcast.event);
    assert_eq!(received.metadata, broadcast.metadata.unwrap_or(""));
    assert_eq!(received.is_json, matches!(broadcast.payload, UserPayload::Json(_)));
    assert_eq!(received.payload, expected);

    match (outgoing.encode(topic, V1), broadcast.payload) {
        (None, UserPayload::Binary(_)) => {}
        (Some(frame), UserPayload::Json(_)) => assert!(is_json(&reader::v1(&frame).payload)),
        _ => panic!("V1 receives JSON and nothing else"),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}
