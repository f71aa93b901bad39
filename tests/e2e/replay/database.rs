//! What SQL has sent to private rooms.

use harness::{Client, Dialect, Frame, World};
use serde_json::{Value, json};

use super::{join, numbers, payloads, refusal};
use crate::private_rooms::PrivateRooms;

const ROOM: &str = "realtime:room";

pub(super) async fn v1_as(world: &World, token: &str) -> Client {
    let target = format!("/socket/websocket?apikey={token}&vsn=1.0.0");
    world.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds")
}

/// A server whose database lets `ann` read the room.
pub(super) async fn rooms() -> PrivateRooms {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    rooms
}

pub(super) async fn ann(rooms: &PrivateRooms) -> Client {
    v1_as(&rooms.world, &rooms.token("ann", 0)).await
}

/// What a client of `ann` receives that joins with this replay.
pub(super) async fn replayed(rooms: &PrivateRooms, replay: Value) -> Vec<Value> {
    let mut client = ann(rooms).await;
    let reply = join(&mut client, ROOM, replay, true).await;
    assert_eq!(reply["status"], "ok", "{reply}");
    payloads(client.received().await)
}

/// Sends messages with these numbers, each by a transaction of its own.
pub(super) fn send(rooms: &PrivateRooms, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        rooms.postgres.sql(&format!("SELECT realtime.send('{{\"n\": {n}}}', 'e', 'room')"));
    }
}

pub(super) fn id(rooms: &PrivateRooms, n: u64) -> String {
    rooms.postgres.sql(&format!("SELECT id FROM realtime.messages WHERE payload ->> 'n' = '{n}'"))
}

#[tokio::test]
async fn a_private_channel_is_sent_what_the_database_has_sent_before() {
    let rooms = rooms().await;
    send(&rooms, 1..=2);
    rooms.postgres.sql(r"SELECT realtime.send_binary('\x00ff10', 'b', 'room')");
    let bytes_id = rooms.postgres.sql("SELECT id FROM realtime.messages WHERE binary_payload IS NOT NULL");
    rooms.postgres.sql(
        "SELECT realtime.send('{}', 'public', 'room', false), realtime.send('{}', 'other', 'another room');
         INSERT INTO realtime.messages (topic, extension, event, payload, private) VALUES
            ('room', 'presence', 'e', '{}', true), ('room', 'broadcast', NULL, '{}', true), ('room', 'broadcast', 'e', NULL, true);
         INSERT INTO realtime.messages (topic, extension, event, payload, private, inserted_at)
            VALUES ('room', 'broadcast', 'in the future', '{}', true, now() AT TIME ZONE 'UTC' + interval '90 seconds')",
    );
    let mut ann = rooms.connect("ann").await;
    let config = json!({"private": true, "broadcast": {"replay": {"since": 0}}});
    ann.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    for n in 1..=2 {
        let id = id(&rooms, n);
        let meta = json!({"replayed": true, "id": id});
        let payload = json!({"type": "broadcast", "event": "e", "payload": {"n": n, "id": id}, "meta": meta});
        assert_eq!(ann.next_json().await, json!(["1", null, ROOM, "broadcast", payload]));
    }
    let meta = format!(r#"{{"replayed":true,"id":"{bytes_id}"}}"#);
    let frame = [&[4, 13, 1, 61, 0][..], ROOM.as_bytes(), b"b", meta.as_bytes(), &[0, 255, 16]].concat();
    assert_eq!(ann.next().await, Frame::Binary(frame));
    ann.expect_quiet().await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn as_many_messages_are_sent_as_upstream_has_it() {
    let rooms = rooms().await;
    rooms.postgres.sql(
        "INSERT INTO realtime.messages (topic, extension, event, payload, private, inserted_at)
         SELECT 'room', 'broadcast', 'e', jsonb_build_object('n', n), true, now() AT TIME ZONE 'UTC' - interval '1 minute' + n * interval '1 second'
         FROM generate_series(1, 30) AS n",
    );
    let ask = async |replay: Value| numbers(&replayed(&rooms, replay).await);
    assert_eq!(ask(json!({"since": 0})).await, (6..=30).collect::<Vec<_>>());
    assert_eq!(ask(json!({"since": 0, "limit": 500})).await, (6..=30).collect::<Vec<_>>());
    assert_eq!(ask(json!({"since": 0, "limit": 0})).await, [30]);
    let since = rooms.postgres.sql("SELECT (extract(epoch FROM inserted_at) * 1000)::bigint + 1 FROM realtime.messages WHERE payload ->> 'n' = '28'");
    assert_eq!(ask(json!({"since": since.parse::<u64>().expect("a time")})).await, [29, 30]);
    assert_eq!(ask(json!({"since": -62_167_219_200_000_i64, "limit": 1})).await, [30]);
    for no_map in [Value::Null, json!(7)] {
        assert_eq!(ask(no_map).await, [0; 0], "it has no effect");
    }
    let reason = refusal(&mut ann(&rooms).await, ROOM, json!({"since": "0"}), true).await;
    assert_eq!(reason, "UnableToReplayMessages: Replay params are not valid");
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_client_is_sent_what_follows_the_messages_that_it_has() {
    let rooms = rooms().await;
    send(&rooms, 1..=3);
    // All of one transaction have the same time.
    rooms
        .postgres
        .sql("SELECT realtime.send(jsonb_build_object('n', n), 'e', 'room') FROM generate_series(4, 8) AS n");
    let ids: Vec<String> = (1..=8).map(|n| id(&rooms, n)).collect();
    let ask = async |replay: Value| replayed(&rooms, replay).await;
    assert_eq!(numbers(&ask(json!({"after": ids[1]})).await), [3, 4, 5, 6, 7, 8]);
    assert_eq!(
        numbers(&ask(json!({"after": ids[5]})).await),
        [7, 8],
        "in the order in which they were written"
    );
    assert_eq!(numbers(&ask(json!({"after": ids[7], "since": 0})).await), [0; 0]);
    let named = [0, 2, 4, 6].map(|index: usize| &ids[index]);
    assert_eq!(numbers(&ask(json!({ "after": named })).await), [4, 6, 8]);
    let messages = ask(json!({"after": "6f1c1f0e-7d1c-4b57-9d2e-0b1f5a4c3d2e", "since": 0})).await;
    assert_eq!(messages[0]["message"], "Earlier messages may be missing");
    assert_eq!(numbers(&messages[1..]), [1, 2, 3, 4, 5, 6, 7, 8]);
    // A transaction that began first, and was committed last.
    let mut session = rooms.postgres.session();
    session.run(r#"BEGIN; SELECT realtime.send('{"n": 9}', 'e', 'room')"#);
    send(&rooms, 10..=10);
    session.run("COMMIT");
    let named = json!({"after": [ids[7], id(&rooms, 10)]});
    assert_eq!(numbers(&ask(named).await), [9]);
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_client_that_may_not_read_broadcasts_is_refused() {
    let rooms = rooms().await;
    rooms.allow("bob", &["read presence", "write presence"]);
    let mut bob = v1_as(&rooms.world, &rooms.token("bob", 0)).await;
    let config =
        json!({"private": true, "presence": {"enabled": true}, "broadcast": {"replay": {"since": 0}}});
    bob.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    assert_eq!(
        bob.next_json().await["payload"]["response"]["reason"],
        "Unauthorized: You do not have permissions to read from this Channel topic: room"
    );
    rooms.world.stop().await;
}

#[tokio::test]
async fn what_the_database_sends_while_clients_join_arrives_once() {
    let rooms = rooms().await;
    let mut first = ann(&rooms).await;
    let config = json!({"private": true, "broadcast": {"replication_ready": true}});
    first.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    while first.next_json().await["event"] != "system" {}
    for round in 0..10 {
        let (begin, end) = (round * 10 + 1, round * 10 + 10);
        let mut ann = ann(&rooms).await;
        // In flight between the database and the server while the client joins.
        let sql = format!(
            "SELECT realtime.send(jsonb_build_object('n', n), 'e', 'room') FROM generate_series({begin}, {end}) AS n"
        );
        let mut session = rooms.postgres.session();
        let sending = tokio::task::spawn_blocking(move || session.run(&sql));
        let replay = json!({"since": 0, "limit": 25});
        assert_eq!(join(&mut ann, ROOM, replay, true).await["status"], "ok");
        sending.await.expect("no panic");
        let mut received = Vec::new();
        while received.last() != Some(&end) {
            received.extend(numbers(&[ann.next_json().await["payload"].take()]));
        }
        let first = received[0];
        assert_eq!(received, (first..=end).collect::<Vec<_>>());
        ann.expect_quiet().await;
    }
    rooms.world.stop().await;
}
