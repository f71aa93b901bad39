//! The four rights: to read and to send broadcasts, to read presence and to track it.

use harness::Dialect;
use serde_json::{Value, json};

use super::{PrivateRooms, ROOM, join, may_not_read, reply, send, texts};

const ACK: fn() -> Value = || json!({"broadcast": {"ack": true}});

#[tokio::test]
async fn those_may_join_who_may_read_something() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    rooms.allow("bob", &["read presence"]);
    rooms.allow("eve", &["write broadcast", "write presence"]);
    let mut ann = rooms.joined("ann", ACK()).await;
    for (sub, config, reason) in [
        ("bob", json!({"presence": {"enabled": true}}), Value::Null),
        ("bob", json!({}), may_not_read()),
        ("eve", json!({"presence": {"enabled": true}}), may_not_read()),
        ("carol", json!({}), may_not_read()),
    ] {
        let mut client = rooms.connect(sub).await;
        assert_eq!(join(&mut client, config.clone()).await, reason, "{sub} {config}");
        if reason.is_null() {
            assert_eq!(send(&mut ann, "2", "hi").await, Value::Null);
            assert!(texts(&mut client).await.is_empty(), "presence alone shows no broadcasts");
        }
    }
    // A public room of the same name is another room, and asks no policy.
    let mut public = rooms.connect("carol").await;
    public.join(ROOM, json!({})).await;
    assert_eq!(send(&mut ann, "3", "private").await, Value::Null);
    public.expect_quiet().await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_broadcast_that_is_denied_is_answered() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    rooms.allow("bob", &["read broadcast", "write broadcast"]);
    let mut ann = rooms.joined("ann", ACK()).await;
    let mut bob = rooms.joined("bob", json!({})).await;
    let denied = "You do not have permissions to write to this Channel topic";
    assert_eq!(send(&mut ann, "2", "hi").await, denied);
    assert!(texts(&mut bob).await.is_empty());
    // Without acknowledgements a `system` message says so, once in a while.
    let mut silent = rooms.joined("ann", json!({})).await;
    let payload = json!({"type": "broadcast", "event": "e", "payload": {}});
    for reference in ["2", "3", "4"] {
        silent.push(reference, ROOM, "broadcast", &payload).await;
    }
    let frame = silent.next_json().await;
    assert_eq!(
        (&frame[3], &frame[4]["status"], &frame[4]["message"]),
        (&json!("system"), &json!("ok"), &json!(denied))
    );
    silent.expect_quiet().await;
    bob.push(
        "2",
        ROOM,
        "broadcast",
        &json!({"type": "broadcast", "event": "e", "payload": {"text": "to all"}}),
    )
    .await;
    bob.settle().await;
    assert_eq!(texts(&mut ann).await, ["to all"]);
    rooms.world.stop().await;
}

#[tokio::test]
async fn presence_is_tracked_and_seen_by_those_who_may() {
    let rooms = PrivateRooms::start().await;
    let enabled = || json!({"presence": {"enabled": true}});
    rooms.allow("ann", &["read presence", "write presence"]);
    rooms.allow("bob", &["read broadcast", "write presence"]);
    rooms.allow("carl", &["read presence"]);
    let mut ann = rooms.joined("ann", enabled()).await;
    assert_eq!(ann.next_json().await[3], "presence_state");
    let mut bob = rooms.joined("bob", enabled()).await;
    let mut carl = rooms.joined("carl", enabled()).await;
    let track = |who: &str| json!({"type": "presence", "event": "track", "payload": {"who": who}});
    ann.push("2", ROOM, "presence", &track("ann")).await;
    assert_eq!(reply(&mut ann, "2").await, Value::Null);
    bob.push("2", ROOM, "presence", &track("bob")).await;
    assert_eq!(reply(&mut bob, "2").await, Value::Null, "present without seeing the others");
    carl.push("2", ROOM, "presence", &track("carl")).await;
    let denied = "You do not have permissions to track presence in this Channel topic";
    // What is seen of the others may come before that reply, and after it.
    let (mut seen, mut refused) = (String::new(), Value::Null);
    while refused.is_null() || !(seen.contains("\"ann\"") && seen.contains("\"bob\"")) {
        let frame = carl.next_json().await;
        if frame[1] == "2" {
            refused = frame[4]["response"]["reason"].clone();
        }
        seen += &frame.to_string();
    }
    assert_eq!(refused, denied);
    assert!(!seen.contains("\"carl\""));
    bob.expect_quiet().await;
    rooms.world.stop().await;
}

// Functions of the tenant name their tables as this role finds them.
#[tokio::test]
async fn functions_in_policies_have_the_search_path_of_the_role() {
    let rooms = PrivateRooms::start().await;
    rooms.postgres.sql(
        "CREATE FUNCTION public.is_member() RETURNS boolean STABLE LANGUAGE plpgsql AS $$ BEGIN
             RETURN EXISTS (SELECT 1 FROM rights WHERE sub = current_setting('request.jwt.claim.sub'));
         END $$;
         CREATE POLICY members ON realtime.messages FOR SELECT TO authenticated USING (is_member())",
    );
    rooms.allow("ann", &["anything"]);
    let _ann = rooms.joined("ann", json!({})).await;
    let mut nul = rooms.connect("ann\0").await;
    assert_eq!(join(&mut nul, json!({})).await, may_not_read(), "it is another user");
    rooms.world.stop().await;
}

#[tokio::test]
async fn policies_see_the_row_the_claims_and_the_headers() {
    let rooms = PrivateRooms::start().await;
    rooms.postgres.sql(
        "CREATE POLICY sees ON realtime.messages FOR SELECT TO authenticated USING (
             topic = realtime.topic() AND NOT private AND event IS NULL AND payload IS NULL
             AND current_setting('request.jwt.claim.sub') = 'O''Reilly \\'
             AND current_setting('request.jwt.claim.role') = 'authenticated'
             AND current_setting('request.jwt.claims')::jsonb -> 'app' -> 'teams' ? 'blue'
             AND current_setting('request.headers')::jsonb ->> 'x-device' = 'phone')",
    );
    let claims = json!({"role": "authenticated", "sub": "O'Reilly \\", "exp": 4_000_000_000_u64, "app": {"teams": ["blue"]}});
    let token = rooms.world.sign(&claims);
    let mut without = rooms.connect_with(&token).await;
    assert_eq!(join(&mut without, json!({})).await, may_not_read());
    let target = format!("/socket/websocket?apikey={token}&vsn=2.0.0");
    let headers = [("x-device", "phone"), ("x-request-id", "1")];
    let client = rooms.world.connect_with_headers(Dialect::V2, &target, &headers).await;
    let mut client = client.expect("the handshake succeeds");
    assert_eq!(join(&mut client, json!({})).await, Value::Null);
    rooms.world.stop().await;
}
