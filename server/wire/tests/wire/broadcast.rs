//! Which form of a broadcast each dialect receives (docs/protocol/channels.md#broadcasts).

use hub::{Dialect, Encode};
use wire::phoenix::{UserPayload, V1, V2};
use wire::supabase::{Broadcast, replayed};

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

#[test]
fn earlier_messages_are_pushed_to_a_single_member() {
    let id = 0x0191_f0e2_7c1a_7d55_9f0e_2b6f_3a1c_4d5e;
    let of = |dialect, payload| replayed(dialect, "\"6\"", "realtime:room1", id, ("e\"", payload));
    let text = |dialect| reader::text(&of(dialect, UserPayload::Json("{ \"v\":1}")).unwrap()).to_owned();
    let body = r#"{"event":"e\"","payload":{ "v":1},"type":"broadcast","meta":{"replayed":true,"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}}"#;
    assert_eq!(text(V2), format!(r#"["6",null,"realtime:room1","broadcast",{body}]"#));
    assert_eq!(
        text(V1),
        format!(r#"{{"topic":"realtime:room1","event":"broadcast","payload":{body},"ref":null}}"#)
    );
    assert!(of(V1, UserPayload::Binary(b"x")).is_none());
    let frame = of(V2, UserPayload::Binary(b"x")).unwrap();
    let meta = r#"{"replayed":true,"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}"#;
    let expected = [&[4, 14, 2, 61, 0][..], b"realtime:room1", b"e\"", meta.as_bytes(), b"x"].concat();
    assert_eq!((meta.len(), &frame.bytes()[2..]), (61, &expected[..]));
}

#[test]
fn the_id_is_that_of_the_metadata() {
    let with = |meta| Broadcast::Http { event: "e", payload: "{}", meta }.id();
    assert_eq!(with(Some(r#"{"id":"00000000-0000-0000-0000-000000000007"}"#)), Some(7));
    for none in [None, Some(r#"{"id":"z"}"#), Some(r#"{"id":7}"#), Some("{}")] {
        assert_eq!(with(none), None, "{none:?}");
    }
    assert_eq!(
        Broadcast::Text { payload: r#"{"meta":{"id":"00000000-0000-0000-0000-000000000007"}}"# }.id(),
        None
    );
}
