//! Whole conversations, text only, line by line (docs/protocol/channels.md).

use hub::{Dialect, Encode};
use wire::phoenix::{self, DecodeError, Status, V1, V2};
use wire::supabase::{PresenceDiff, presence_diff, presence_payload, system};

use crate::fuzz::reader;

const JOINED: &str = r#"{"postgres_changes":[]}"#;

/// Replies to the message `incoming` and compares the frame.
fn check_reply(dialect: Dialect, incoming: &str, status: Status, response: &str, expected: &str) {
    let push = phoenix::decode_text(dialect, incoming).unwrap();
    let (join_ref, reference) = (push.join_ref.as_json(), push.reference.as_json());
    let reply = phoenix::reply(dialect, join_ref, reference, &push.topic, status, response);
    assert_eq!(reader::text(&reply), expected);
}

#[test]
fn supabase_js_in_a_private_room() {
    check_reply(
        V2,
        r#"["6","6","realtime:room1","phx_join",{"config":{"private":true},"access_token":"jwt-1"}]"#,
        Status::Ok,
        JOINED,
        r#"["6","6","realtime:room1","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]"#,
    );
    assert_eq!(
        reader::text(&phoenix::push(V2, "\"6\"", "realtime:room1", "presence_state", "{}")),
        r#"["6",null,"realtime:room1","presence_state",{}]"#
    );
    check_reply(
        V2,
        r#"["6","7","realtime:room1","presence",{"type":"presence","event":"track","payload":{"u":1}}]"#,
        Status::Ok,
        "{}",
        r#"["6","7","realtime:room1","phx_reply",{"status":"ok","response":{}}]"#,
    );
    let joins = presence_payload([("0f6c…", r#"{"u":1,"phx_ref":"GGx0Zt3mQK4AAQIB"}"#)].into_iter());
    let diff = presence_diff(&joins, "{}");
    assert_eq!(
        reader::text(&PresenceDiff { payload: &diff }.encode("room1", V2).unwrap()),
        r#"[null,null,"realtime:room1","presence_diff",{"joins":{"0f6c…":{"metas":[{"u":1,"phx_ref":"GGx0Zt3mQK4AAQIB"}]}},"leaves":{}}]"#
    );
    check_reply(
        V2,
        r#"[null,"9","phoenix","heartbeat",{}]"#,
        Status::Ok,
        "{}",
        r#"[null,"9","phoenix","phx_reply",{"status":"ok","response":{}}]"#,
    );
    check_reply(
        V2,
        r#"["6","12","realtime:room1","phx_leave",{}]"#,
        Status::Ok,
        "{}",
        r#"["6","12","realtime:room1","phx_reply",{"status":"ok","response":{}}]"#,
    );
    assert_eq!(
        reader::text(&phoenix::closed(V2, "\"6\"", "realtime:room1")),
        r#"["6","6","realtime:room1","phx_close",{}]"#
    );
}

#[test]
fn realtime_py_and_an_expired_token() {
    check_reply(
        V1,
        r#"{"event":"phx_join","payload":{"config":{"broadcast":null}},"topic":"realtime:db","ref":"1","join_ref":null}"#,
        Status::Ok,
        r#"{"postgres_changes":[{"event":"*","schema":"public","table":"todos","id":77541012}]}"#,
        r#"{"topic":"realtime:db","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[{"event":"*","schema":"public","table":"todos","id":77541012}]}},"ref":"1"}"#,
    );
    check_reply(
        V1,
        r#"{"event":"heartbeat","payload":{},"topic":"phoenix","ref":null,"join_ref":null}"#,
        Status::Ok,
        "{}",
        r#"{"topic":"phoenix","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":null}"#,
    );
    let subscribed = system("postgres_changes", Status::Ok, "Subscribed to PostgreSQL", "db");
    assert_eq!(
        reader::text(&phoenix::push(V1, "null", "realtime:db", "system", &subscribed)),
        r#"{"topic":"realtime:db","event":"system","payload":{"channel":"db","extension":"postgres_changes","message":"Subscribed to PostgreSQL","status":"ok"},"ref":null}"#
    );
    let expired = system("system", Status::Error, "Token has expired 0 seconds ago", "db");
    assert_eq!(
        reader::text(&phoenix::push(V1, "null", "realtime:db", "system", &expired)),
        r#"{"topic":"realtime:db","event":"system","payload":{"channel":"db","extension":"system","message":"Token has expired 0 seconds ago","status":"error"},"ref":null}"#
    );
    assert_eq!(
        reader::text(&phoenix::closed(V1, "null", "realtime:db")),
        r#"{"topic":"realtime:db","event":"phx_close","payload":{},"ref":null}"#
    );
}

#[test]
fn a_topic_that_is_not_joined() {
    let frame =
        phoenix::reply(V2, "null", "\"9\"", "other:x", Status::Error, r#"{"reason":"unmatched topic"}"#);
    assert_eq!(
        reader::text(&frame),
        r#"[null,"9","other:x","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#
    );
}

#[test]
fn a_crash_and_a_close_name_the_join_that_ends() {
    assert_eq!(
        reader::text(&phoenix::crashed(V2, "\"6\"", "realtime:room1")),
        r#"["6","6","realtime:room1","phx_error",{"reason":"channel_crash"}]"#
    );
    // V1 clients have only `ref` to tell an old join's close from their own.
    assert_eq!(
        reader::text(&phoenix::closed(V1, "\"6\"", "realtime:room1")),
        r#"{"topic":"realtime:room1","event":"phx_close","payload":{},"ref":"6"}"#
    );
}

#[test]
fn refs_are_returned_with_their_json_type() {
    for reference in ["\"6\"", "6", "null", "\"0f8fad5b-d9cb-469f-a165-70867728950e\""] {
        check_reply(
            V2,
            &format!(r#"[{reference},{reference},"t","e",null]"#),
            Status::Ok,
            "{}",
            &format!(r#"[{reference},{reference},"t","phx_reply",{{"status":"ok","response":{{}}}}]"#),
        );
        check_reply(
            V1,
            &format!(r#"{{"ref":{reference},"topic":"t","event":"e","payload":[]}}"#),
            Status::Ok,
            "{}",
            &format!(
                r#"{{"topic":"t","event":"phx_reply","payload":{{"status":"ok","response":{{}}}},"ref":{reference}}}"#
            ),
        );
    }
}

#[test]
fn topics_are_returned_exactly_whatever_they_contain() {
    let push = phoenix::decode_text(V2, r#"[null,"1","realtime:\"\u00e9\\:x","e",{}]"#).unwrap();
    assert_eq!(push.topic, "realtime:\"é\\:x");
    let frame = phoenix::closed(V2, "\"1\"", &push.topic);
    assert_eq!(reader::text(&frame), r#"["1","1","realtime:\"é\\:x","phx_close",{}]"#);
}

#[test]
fn v2_accepts_five_elements_or_more() {
    let push = phoenix::decode_text(V2, r#" ["1","2","t","e", {"a": 1} ,[[]],"more"] "#).unwrap();
    assert_eq!(push.payload, r#"{"a": 1}"#);
    assert!(push.payload_is_object());
    let refused = |text| phoenix::decode_text(V2, text).unwrap_err();
    assert_eq!(refused(r#"["1","2","t","e"]"#), DecodeError::WrongShape);
    assert_eq!(refused(r#"{"topic":"t","event":"e","payload":{},"ref":"1"}"#), DecodeError::WrongShape);
    assert_eq!(refused("{}"), DecodeError::WrongShape);
    assert_eq!(refused(""), DecodeError::NotJson);
    assert_eq!(refused("potato"), DecodeError::NotJson);
    assert_eq!(refused(r#"["1","2","t","e",{}]]"#), DecodeError::NotJson);
    assert_eq!(refused(r#"["1","2","t","e",{"a":}]"#), DecodeError::NotJson);
    assert_eq!(refused(r#"["1","2",3,"e",{}]"#), DecodeError::Topic);
    assert_eq!(refused(r#"["1","2","t",null,{}]"#), DecodeError::Event);
    assert_eq!(refused(r#"["1",{},"t","e",{}]"#), DecodeError::Ref);
}

#[test]
fn v1_requires_four_keys_and_ignores_others() {
    let text = r#"{"x":[1],"topic":"t","ref":null,"event":"e","payload":{},"join_ref":"6"}"#;
    let push = phoenix::decode_text(V1, text).unwrap();
    assert_eq!((push.join_ref.as_json(), push.reference.is_null()), ("\"6\"", true));
    for key in ["topic", "event", "payload", "ref"] {
        let without = text.replace(&format!("\"{key}\":"), "\"other\":");
        assert_eq!(phoenix::decode_text(V1, &without), Err(DecodeError::WrongShape), "{key}");
    }
    assert_eq!(phoenix::decode_text(V1, r#"["6","7","t","e",{}]"#), Err(DecodeError::WrongShape));
}

#[test]
fn half_a_surrogate_pair_is_valid_in_a_payload_but_not_in_a_topic() {
    assert_eq!(phoenix::decode_text(V2, r#"[null,"1","\ud800","e",{}]"#), Err(DecodeError::Topic));
    assert_eq!(phoenix::decode_text(V2, r#"[null,"1","t","\udc00",{}]"#), Err(DecodeError::Event));
    let push = phoenix::decode_text(V2, r#"[null,"1","t","e",{"\ud800":"\ud800"}]"#).unwrap();
    assert_eq!(push.payload, r#"{"\ud800":"\ud800"}"#);
}

#[test]
fn five_megabytes_of_brackets_are_read_without_a_deep_stack() {
    let deep = ["[".repeat(2_500_000), "]".repeat(2_500_000)].concat();
    let text = format!(r#"[null,"1","t","e",{deep}]"#);
    assert_eq!(phoenix::decode_text(V2, &text).unwrap().payload, deep);
    assert_eq!(phoenix::decode_text(V2, &text[..2_000_000]), Err(DecodeError::NotJson));
}

#[test]
fn the_head_of_a_message_says_what_it_is_about() {
    let whole =
        r#"["6","7","realtime:room1","broadcast",{"type":"broadcast","event":"e","payload":{"a":1}}]"#;
    let head = phoenix::decode_text_head(V2, &whole[..50]).expect("the event is there");
    assert_eq!((head.join_ref.as_json(), head.reference.as_json()), ("\"6\"", "\"7\""));
    assert_eq!((&*head.topic, &*head.event, head.payload), ("realtime:room1", "broadcast", ""));
    let whole =
        r#"{"topic":"realtime:room1","event":"broadcast","payload":{"a":1},"ref":"7","join_ref":"6"}"#;
    let head = phoenix::decode_text_head(V1, &whole[..60]).expect("the event is there");
    assert_eq!(
        (&*head.topic, &*head.event, head.reference.as_json()),
        ("realtime:room1", "broadcast", "null")
    );
    let head = phoenix::decode_text_head(V1, whole).expect("the event is there");
    assert_eq!((head.join_ref.as_json(), head.reference.as_json()), ("\"6\"", "\"7\""));
    for (dialect, text) in
        [(V2, r#"["6","7","realtime:room1","bro"#), (V1, r#"{"topic":"a","eve"#), (V2, ""), (V1, "[1]")]
    {
        assert_eq!(phoenix::decode_text_head(dialect, text), None, "{text}");
    }
}
