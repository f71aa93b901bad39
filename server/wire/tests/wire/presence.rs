//! Presence calls, metas, states and diffs (docs/protocol/channels.md#presence-messages).

use wire::supabase::{PresenceCall, presence_diff, presence_meta, presence_payload};

#[test]
fn calls_are_read_in_any_case() {
    let parse = PresenceCall::parse;
    let track = r#"{"type":"presence","event":"TRACK","payload":{ "u":1}}"#;
    assert_eq!(parse(track), PresenceCall::Track(r#"{ "u":1}"#));
    assert_eq!(parse(r#"{"event":"track"}"#), PresenceCall::Track("{}"));
    assert_eq!(parse(r#"{"type":"presence","event":"Untrack"}"#), PresenceCall::Untrack);
    assert_eq!(parse(r#"{"type":"presence"}"#), PresenceCall::Nothing);
    assert_eq!(parse(r#"{"event":"wave"}"#), PresenceCall::Unknown);
    assert_eq!(parse(r#"{"event":null}"#), PresenceCall::Unknown);
    assert_eq!(parse("[]"), PresenceCall::Unknown);
}

#[test]
fn only_objects_can_be_tracked() {
    for payload in ["null", "[]", "\"x\"", "1"] {
        let call = format!(r#"{{"event":"track","payload":{payload}}}"#);
        assert_eq!(PresenceCall::parse(&call), PresenceCall::TrackNotAMap, "{payload}");
    }
}

#[test]
fn a_meta_keeps_every_byte_of_the_users_members() {
    assert_eq!(presence_meta(r#"{"u":1}"#, "R1", None), r#"{"u":1,"phx_ref":"R1"}"#);
    assert_eq!(presence_meta("{}", "R1", None), r#"{"phx_ref":"R1"}"#);
    assert_eq!(
        presence_meta(r#"{ "\u0061" : 1.50 , "b":{ "phx_ref":"mine" },"a":"\ud800"}"#, "R2", Some("R1")),
        r#"{"\u0061":1.50,"b":{ "phx_ref":"mine" },"a":"\ud800","phx_ref":"R2","phx_ref_prev":"R1"}"#
    );
}

#[test]
fn a_user_cannot_forge_refs() {
    let forged = r#"{"phx_ref":"x","a":1,"phx_re\u0066":{},"phx_ref_prev":"y"}"#;
    assert_eq!(presence_meta(forged, "R1", None), r#"{"a":1,"phx_ref":"R1"}"#);
}

#[test]
fn values_that_are_not_objects_have_no_members() {
    for payload in ["", "[]", r#"{"a":1"#, r#"{"a":1}}"#] {
        assert_eq!(presence_meta(payload, "R1", None), r#"{"phx_ref":"R1"}"#, "{payload}");
    }
}

#[test]
fn two_tabs_with_one_key_share_it() {
    let payload = presence_payload([("a", "{1}"), ("a", "{2}"), ("\"b", "{3}")].into_iter());
    assert_eq!(payload, r#"{"a":{"metas":[{1},{2}]},"\"b":{"metas":[{3}]}}"#);
    assert_eq!(presence_payload(std::iter::empty()), "{}");
}

#[test]
fn both_halves_of_a_diff_are_always_present() {
    assert_eq!(presence_diff("{}", "{}"), r#"{"joins":{},"leaves":{}}"#);
}
