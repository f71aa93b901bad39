//! Join payloads of every SDK, and malformed ones (docs/protocol/channels.md#join-payload).

use std::time::Duration;

use wire::supabase::{JoinRequest, JoinToken, Private, Replay, ReplayRequest};

fn own(token: &str) -> JoinToken {
    JoinToken::Own(token.into())
}

#[test]
fn realtime_js_with_everything() {
    let join = JoinRequest::parse(
        r#"{"config":{
            "broadcast":{"ack":true,"self":true,"replay":{"since":1755770000000,"limit":10},"replication_ready":true},
            "presence":{"key":"me","enabled":true},
            "postgres_changes":[{"event":"INSERT", "schema":"public","filter":"id=eq.1"},null,{"x":1}],
            "private":true},
          "access_token":"jwt-1","version":"realtime-js/2.112.2"}"#,
    );
    assert!(join.ack && join.self_broadcast && join.replication_ready && join.presence_enabled);
    let replay = ReplayRequest { since: Some(1_755_770_000_000), after: Vec::new(), limit: Some(10) };
    assert_eq!(join.replay, Some(Replay::Messages(replay)));
    assert_eq!(join.presence_key.as_deref(), Some("me"));
    let entries: Vec<_> = join.postgres_changes.iter().map(|entry| entry.get()).collect();
    assert_eq!(entries, [r#"{"event":"INSERT", "schema":"public","filter":"id=eq.1"}"#, r#"{"x":1}"#]);
    assert_eq!((join.private, &join.token), (Private::Yes, &own("jwt-1")));
    assert!(!join.legacy && join.problems.is_empty());
}

#[test]
fn realtime_py_sends_null_for_what_it_does_not_use() {
    let join = JoinRequest::parse(
        r#"{"config":{"broadcast":null,"presence":null,"postgres_changes":null,"private":null},"access_token":null}"#,
    );
    assert!(!join.ack && !join.self_broadcast && !join.presence_enabled && !join.legacy);
    assert_eq!((join.private, join.token), (Private::No, JoinToken::FromHandshake));
    assert!(join.postgres_changes.is_empty() && join.problems.is_empty());
}

#[test]
fn no_config_is_a_legacy_join() {
    let join = JoinRequest::parse(r#"{"user_token":"jwt"}"#);
    assert!(join.legacy && join.problems.is_empty());
    assert_eq!((join.private, join.token), (Private::No, own("jwt")));
    assert!(!JoinRequest::parse(r#"{"config":null}"#).legacy);
}

#[test]
fn booleans_may_be_strings_in_any_case() {
    let join = JoinRequest::parse(
        r#"{"config":{"broadcast":{"ack":"TRUE","self":"False"},"presence":{"enabled":"true"},"private":"True"}}"#,
    );
    assert!(join.ack && !join.self_broadcast && join.presence_enabled);
    assert_eq!(join.private, Private::Yes);
    assert!(join.problems.is_empty());
}

#[test]
fn a_private_that_cannot_be_read_is_not_public() {
    for private in ["1", "\"yes\"", "[]", "{}", "\"\""] {
        let join = JoinRequest::parse(&format!(r#"{{"config":{{"private":{private}}}}}"#));
        assert_eq!(join.private, Private::Unreadable, "{private}");
        assert_eq!(join.problems, ["config.private: expected boolean"]);
    }
    for payload in ["null", "[]", "", r#"{"config":[]}"#, r#"{"config":"x"}"#] {
        assert_eq!(JoinRequest::parse(payload).private, Private::Unreadable, "{payload}");
    }
}

#[test]
fn wrong_types_take_defaults_and_are_named() {
    let join = JoinRequest::parse(
        r#"{"config":{"broadcast":{"ack":1,"self":[]},"presence":{"key":{},"enabled":"no"},
            "postgres_changes":[1,{"a":2}]},"access_token":5,"user_token":{}}"#,
    );
    assert!(!join.ack && !join.self_broadcast && !join.presence_enabled && join.presence_key.is_none());
    assert_eq!(join.postgres_changes.len(), 1);
    assert_eq!(join.token, JoinToken::FromHandshake);
    assert_eq!(
        join.problems,
        [
            "access_token: expected string",
            "user_token: expected string",
            "config.broadcast.ack: expected boolean",
            "config.broadcast.self: expected boolean",
            "config.presence.enabled: expected boolean",
            "config.presence.key: expected string",
            "config.postgres_changes: expected an array of maps",
        ]
    );

    let join = JoinRequest::parse(r#"{"config":{"broadcast":1,"presence":"x","postgres_changes":{}}}"#);
    assert_eq!(
        join.problems,
        [
            "config.broadcast: expected a map",
            "config.presence: expected a map",
            "config.postgres_changes: expected an array of maps",
        ]
    );
    assert_eq!(join.private, Private::No);
}

#[test]
fn a_join_says_how_long_it_waits_for_its_changes() {
    let parse = |options: &str| {
        JoinRequest::parse(&format!(r#"{{"config":{{"postgres_changes_options":{options}}}}}"#))
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (options, wait) in [
        ("null", None),
        ("{}", None),
        (r#"{"wait":false,"timeout":5000}"#, None),
        (r#"{"wait":true}"#, seconds(15)),
        (r#"{"wait":"TRUE","timeout":null}"#, seconds(15)),
        (r#"{"wait":true,"timeout":5000}"#, seconds(5)),
    ] {
        let join = parse(options);
        assert_eq!(join.changes_wait, wait, "{options}");
        assert!(join.problems.is_empty(), "{options}");
    }
    for (options, wait, problem) in [
        ("1", None, "config.postgres_changes_options: expected a map"),
        (r#"{"wait":1}"#, None, "config.postgres_changes_options.wait: expected boolean"),
        (
            r#"{"wait":true,"timeout":0}"#,
            seconds(15),
            "config.postgres_changes_options.timeout: expected milliseconds, at least 1",
        ),
    ] {
        let join = parse(options);
        assert_eq!((join.changes_wait, &join.problems[..]), (wait, &[problem][..]), "{options}");
    }
}

// Clients from before `enabled` send `config.presence` alone.
#[test]
fn presence_is_enabled_by_either_field() {
    for (presence, enabled) in [
        (r#"{"key":"me"}"#, true),
        (r#"{"key":""}"#, true),
        ("{}", true),
        (r#"{"key":"me","enabled":null}"#, true),
        (r#"{"key":"me","enabled":true}"#, true),
        (r#"{"key":"me","enabled":false}"#, false),
        ("null", false),
        ("7", false),
    ] {
        let join = JoinRequest::parse(&format!(r#"{{"config":{{"presence":{presence}}}}}"#));
        assert_eq!(join.presence_enabled, enabled, "{presence}");
    }
}

#[test]
fn presence_keys_are_text() {
    for (key, expected) in [
        ("\"a\\u00e9\"", Some("aé")),
        ("17", Some("17")),
        ("-3", Some("-3")),
        ("1.5", Some("1.5")),
        ("\"\"", None),
        ("null", None),
    ] {
        let join = JoinRequest::parse(&format!(r#"{{"config":{{"presence":{{"key":{key}}}}}}}"#));
        assert_eq!(join.presence_key.as_deref(), expected, "{key}");
        assert!(join.problems.is_empty());
    }
}

#[test]
fn replication_ready_is_requested_by_any_truthy_value() {
    for (value, expected) in
        [("true", true), ("\"false\"", true), ("0", true), ("{}", true), ("false", false), ("null", false)]
    {
        let join =
            JoinRequest::parse(&format!(r#"{{"config":{{"broadcast":{{"replication_ready":{value}}}}}}}"#));
        assert_eq!(join.replication_ready, expected, "{value}");
    }
}

#[test]
fn replay_is_requested_even_by_null() {
    let replay = |replay: &str| {
        JoinRequest::parse(&format!(r#"{{"config":{{"broadcast":{{"replay":{replay}}}}}}}"#)).replay
    };
    let request = |since, after: &[u128], limit| {
        Some(Replay::Messages(ReplayRequest { since, after: after.to_vec(), limit }))
    };
    assert_eq!(replay(r#"{"since":5}"#), request(Some(5), &[], None));
    assert_eq!(replay(r#"{"since":5,"after":null,"limit":null}"#), request(Some(5), &[], None));
    assert_eq!(replay(r#"{"since":5,"after":[]}"#), request(Some(5), &[], None));
    assert_eq!(replay(r#"{"since":-5,"limit":0}"#), request(Some(-5), &[], Some(1)));
    assert_eq!(replay(r#"{"since":5,"limit":9999999999}"#), request(Some(5), &[], Some(u32::MAX)));
    let [one, two] = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"];
    assert_eq!(replay(&format!(r#"{{"after":"{two}"}}"#)), request(None, &[2], None));
    assert_eq!(
        replay(&format!(r#"{{"since":5,"limit":7,"after":["{two}","{one}","{two}"]}}"#)),
        request(Some(5), &[1, 2], Some(7))
    );
    let many = vec![format!("\"{one}\""); 101].join(",");
    for invalid in [
        "{}",
        r#"{"since":"5"}"#,
        r#"{"since":null}"#,
        r#"{"since":5.5}"#,
        r#"{"since":5,"limit":"1"}"#,
        r#"{"since":253402300800000}"#,
        r#"{"since":99999999999999999999}"#,
        r#"{"after":null}"#,
        r#"{"after":[]}"#,
        r#"{"after":1}"#,
        r#"{"after":"5","since":5}"#,
        r#"{"after":{"id":1},"since":5}"#,
        &format!(r#"{{"after":["{one}",2]}}"#),
        &format!(r#"{{"after":"{one}","since":5.5}}"#),
        &format!(r#"{{"after":[{many}]}}"#),
    ] {
        assert_eq!(replay(invalid), Some(Replay::Invalid), "{invalid}");
    }
    for no_map in ["null", "7", "[]", "\"since\""] {
        assert_eq!(replay(no_map), Some(Replay::NoMap), "{no_map}");
    }
    assert_eq!(JoinRequest::parse(r#"{"config":{"broadcast":{}}}"#).replay, None);
}

#[test]
fn which_token_is_used() {
    for (payload, expected) in [
        (r#"{"access_token":"a"}"#, own("a")),
        (r#"{"access_token":""}"#, own("")),
        (r#"{"access_token":"a","user_token":"u"}"#, own("u")),
        (r#"{"access_token":null,"user_token":"u"}"#, own("u")),
        (r#"{"access_token":"a","user_token":1}"#, own("a")),
        (r#"{"access_token":"sb_publishable_x"}"#, JoinToken::FromHandshake),
        (r#"{"access_token":"sb_x","user_token":"u"}"#, JoinToken::FromHandshake),
        (r#"{"access_token":"a","user_token":"sb_x"}"#, JoinToken::FromHandshake),
        (r#"{"user_token":"sb_x"}"#, JoinToken::FromHandshake),
        ("{}", JoinToken::FromHandshake),
    ] {
        assert_eq!(JoinRequest::parse(payload).token, expected, "{payload}");
    }
}

#[test]
fn a_token_does_not_show_in_debug_output() {
    let join = JoinRequest::parse(r#"{"access_token":"secret"}"#);
    assert!(!format!("{join:?}").contains("secret"));
}
