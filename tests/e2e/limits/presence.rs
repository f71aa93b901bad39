//! Presence calls and tracked objects beyond a limit.

use std::time::Duration;

use harness::World;
use serde_json::json;
use settings::ByteSize;

use super::{ROOM, of, received};
use crate::{count, millis};

#[tokio::test]
async fn presence_calls_beyond_the_window_are_gathered_to_the_newest_state() {
    let world = World::with(|settings| {
        settings.limits.max_client_presence_events_per_window = count(5);
        settings.limits.client_presence_window_ms = millis(300);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    let mut bob = world.connect().await;
    bob.join(ROOM, json!({"presence": {"enabled": true}})).await;
    assert_eq!(bob.next_json().await[3], "presence_state");
    for n in 1..=100 {
        let track = json!({"type": "presence", "event": "track", "payload": {"n": n}});
        ann.push(&n.to_string(), ROOM, "presence", &track).await;
    }
    let mut diffs = 0;
    loop {
        let frame = bob.next_json().await;
        assert_eq!(frame[3], "presence_diff");
        diffs += 1;
        if frame[4]["joins"]["ann"]["metas"][0]["n"] == 100 {
            break;
        }
    }
    assert!(diffs <= 40, "{diffs} diffs");
    let answers = received(&mut ann).await;
    assert_eq!(of(&answers, "phx_reply").len(), 100, "every call is answered");
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "phx_error").is_empty(), "{answers:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_track_that_is_too_large_is_refused_and_the_channel_stays() {
    let world = World::with(|settings| settings.limits.max_payload_size_in_kb = count(1)).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    let large = json!({"type": "presence", "event": "track", "payload": {"a": "x".repeat(4000)}});
    ann.push("2", ROOM, "presence", &large).await;
    let answers = received(&mut ann).await;
    let reply = json!(["1", "2", ROOM, "phx_reply", {"status": "error", "response": {"reason": "Track message size exceeded"}}]);
    assert_eq!(of(&answers, "phx_reply"), [&reply]);
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "presence_diff").is_empty(), "{answers:?}");
    let small = json!({"type": "presence", "event": "track", "payload": {"a": "x"}});
    ann.push("3", ROOM, "presence", &small).await;
    assert_eq!(of(&received(&mut ann).await, "phx_reply")[0][4]["status"], "ok");
    world.stop().await;
}

#[tokio::test]
async fn too_many_presence_calls_of_a_tenant_never_close_a_channel() {
    let world = World::with(|settings| {
        settings.limits.max_presence_events_per_second = count(1);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    for n in 0..40 {
        let track = json!({"type": "presence", "event": "track", "payload": {"n": n}});
        ann.push(&n.to_string(), ROOM, "presence", &track).await;
    }
    let answers = received(&mut ann).await;
    assert_eq!(of(&answers, "phx_reply").len(), 40, "every call is answered");
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "phx_error").is_empty(), "{answers:?}");
    assert!(of(&answers, "system").len() <= 1, "one notice per window");
    world.stop().await;
}

// Tracked objects are kept and sent to each new member, so all rooms of a client count together.
#[tokio::test]
async fn bytes_tracked_in_all_rooms_of_a_client_are_limited() {
    let world = World::with(|settings| {
        settings.presence.max_bytes_per_client = ByteSize::kib(2);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let track =
        |bytes| format!(r#"{{"type":"presence","event":"track","payload":{{"a":"{}"}}}}"#, "x".repeat(bytes));
    let (much, more, little) = (track(1200), track(1100), track(10));
    let refused = r#"{"status":"error","response":{"reason":"Client presence size exceeded"}}"#;
    let notice =
        r#"{"extension":"system","status":"ok","message":"Client presence size exceeded","channel":"b"}"#;
    let shown = |key: &str, bytes| {
        format!(r#"{{"{key}":{{"metas":[{{"a":"{}","phx_ref":_}}]}}}}"#, "x".repeat(bytes))
    };
    world
        .check(&format!(
            r#"
            ann joins realtime:a {{"presence":{{"key":"ann","enabled":true}}}}
            ann < ["1",null,"realtime:a","presence_state",{{}}]
            ann joins realtime:b {{"presence":{{"key":"ann","enabled":true}}}}
            ann < ["2",null,"realtime:b","presence_state",{{}}]
            bob joins realtime:b {{"presence":{{"key":"bob","enabled":true}}}}
            bob < ["1",null,"realtime:b","presence_state",{{}}]

            ann > ["1","3","realtime:a","presence",{much}]
            ann <~ ["1","3","realtime:a","phx_reply",{{"status":"ok","response":{{}}}}]
            ann <~ [null,null,"realtime:a","presence_diff",_]
            ann > ["2","4","realtime:b","presence",{much}]
            ann <~ ["2","4","realtime:b","phx_reply",{refused}]
            ann <~ ["2",null,"realtime:b","system",{notice}]
            ann > ["2","5","realtime:b","presence",{more}]
            ann < ["2","5","realtime:b","phx_reply",{refused}]
            ann, bob are quiet

            # Other clients have limits of their own.
            bob > ["1","6","realtime:b","presence",{much}]
            bob <~ ["1","6","realtime:b","phx_reply",{{"status":"ok","response":{{}}}}]
            bob <~ [null,null,"realtime:b","presence_diff",{{"joins":{bob},"leaves":{{}}}}]
            ann < [null,null,"realtime:b","presence_diff",{{"joins":{bob},"leaves":{{}}}}]

            # What still fits is tracked, and an untrack makes room.
            ann > ["2","7","realtime:b","presence",{little}]
            bob < [null,null,"realtime:b","presence_diff",{{"joins":{ann_little},"leaves":{{}}}}]
            ann > ["1","8","realtime:a","presence",{{"type":"presence","event":"untrack"}}]
            ann > ["2","9","realtime:b","presence",{much}]
            bob < [null,null,"realtime:b","presence_diff",{{"joins":{{"ann":{{"metas":[_]}}}},"leaves":{ann_little}}}]
            bob is quiet
            "#,
            bob = shown("bob", 1200),
            ann_little = shown("ann", 10),
        ))
        .await;
    world.stop().await;
}
