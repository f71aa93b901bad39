//! Which form of a broadcast each dialect receives (docs/protocol/channels.md#broadcasts).

use hub::{Dialect, Encode};
use wire::phoenix::{UserPayload, V1, V2};
use wire::supabase::Broadcast;

use crate::fuzz::reader;

const META: &str = r#"{"replayed":true,"id":"z"}"#;

fn check(broadcast: Broadcast<'_>, dialect: Dialect, expected: &str) {
    assert_eq!(reader::text(&broadcast.encode("room1", dialect).unwrap()), expected);
}

#[test]
fn text_stays_text_as_it_was_sent() {
    let broadcast = Broadcast::Text { payload: r#"{ "type":"broadcast","event":"e","payload":{}}"# };
    check(
        broadcast,
        V2,
        r#"[null,null,"realtime:room1","broadcast",{ "type":"broadcast","event":"e","payload":{}}]"#,
    );
    check(
        broadcast,
        V1,
        r#"{"topic":"realtime:room1","event":"broadcast","payload":{ "type":"broadcast","event":"e","payload":{}},"ref":null}"#,
    );
}

#[test]
fn binary_json_becomes_text_for_v1() {
    let payload = UserPayload::Json(r#"{"x":1}"#);
    check(
        Broadcast::User { event: "cur\"sor", payload, meta: None },
        V1,
        r#"{"topic":"realtime:room1","event":"broadcast","payload":{"event":"cur\"sor","payload":{"x":1},"type":"broadcast"},"ref":null}"#,
    );
    check(
        Broadcast::User { event: "e", payload, meta: Some(META) },
        V1,
        r#"{"topic":"realtime:room1","event":"broadcast","payload":{"event":"e","payload":{"x":1},"type":"broadcast","meta":{"replayed":true,"id":"z"}},"ref":null}"#,
    );
}

#[test]
fn bytes_never_reach_v1() {
    let broadcast = Broadcast::User { event: "e", payload: UserPayload::Binary(b"{}"), meta: None };
    assert!(broadcast.encode("room1", V1).is_none());
    assert!(broadcast.encode("room1", V2).is_some());
}

#[test]
fn http_batches_are_text_in_every_dialect() {
    let broadcast = Broadcast::Http { event: "e", payload: r#"{"a":1}"#, meta: None };
    check(
        broadcast,
        V2,
        r#"[null,null,"realtime:room1","broadcast",{"event":"e","payload":{"a":1},"type":"broadcast"}]"#,
    );
    check(
        broadcast,
        V1,
        r#"{"topic":"realtime:room1","event":"broadcast","payload":{"event":"e","payload":{"a":1},"type":"broadcast"},"ref":null}"#,
    );
    check(
        Broadcast::Http { event: "e", payload: "{}", meta: Some(META) },
        V2,
        r#"[null,null,"realtime:room1","broadcast",{"event":"e","payload":{},"type":"broadcast","meta":{"replayed":true,"id":"z"}}]"#,
    );
}

#[test]
fn a_dialect_that_is_not_phoenix_receives_nothing() {
    assert!(Broadcast::Text { payload: "{}" }.encode("room1", Dialect::new(2)).is_none());
}
