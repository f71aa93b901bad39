//! Broadcasts that SQL sends: `realtime.send`, triggers, and rows of `realtime.messages` (docs/protocol/database-broadcasts.md).

mod faults;
mod nodes;

use harness::{Client, Dialect, Frame, World, eventually};
use serde_json::{Value, json};

use crate::private_rooms::PrivateRooms;

const ROOM: &str = "realtime:room";

/// A V1 client of a user, which receives everything as JSON.
async fn v1(world: &World, token: &str) -> Client {
    let target = format!("/socket/websocket?apikey={token}&vsn=1.0.0");
    world.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds")
}

/// Joins a room, and waits until broadcasts from the database reach it.
async fn join_ready(client: &mut Client, is_private: bool) {
    let config = json!({"private": is_private, "broadcast": {"replication_ready": true}});
    client.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    let reply = next(client).await;
    assert_eq!(
        (&reply["event"], &reply["payload"]["status"]),
        (&json!("phx_reply"), &json!("ok")),
        "{reply}"
    );
    let system = next(client).await;
    assert_eq!(system["payload"]["message"], "Replication connection established", "{system}");
}

/// The next message of a V1 client, beside presence.
async fn next(client: &mut Client) -> Value {
    loop {
        let message = client.next_json().await;
        if message["event"] != "presence_state" {
            return message;
        }
    }
}

/// The payload of the next broadcast.
async fn broadcast(client: &mut Client) -> Value {
    let message = next(client).await;
    assert_eq!(message["event"], "broadcast", "{message}");
    message["payload"].clone()
}

#[tokio::test]
async fn sql_sends_to_private_and_public_rooms() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    let mut public = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut public, false).await;
    rooms.postgres.sql(r#"SELECT realtime.send('{"n": 1}', 'e', 'room')"#);
    let received = broadcast(&mut ann).await;
    let id = rooms.postgres.sql("SELECT id FROM realtime.messages");
    assert_eq!(
        received,
        json!({"event": "e", "type": "broadcast", "payload": {"n": 1, "id": id}, "meta": {"id": id}})
    );
    public.expect_quiet().await;
    rooms.postgres.sql(r#"SELECT realtime.send('{"n": 2, "id": "own"}', 'e', 'room', false)"#);
    let received = broadcast(&mut public).await;
    assert_eq!(received["payload"], json!({"n": 2, "id": "own"}), "an id of the sender stays");
    ann.expect_quiet().await;
    // A row that is written directly, and one that is rolled back.
    rooms.postgres.sql("BEGIN; SELECT realtime.send('{}', 'rolled back', 'room'); ROLLBACK");
    rooms.postgres.sql("INSERT INTO realtime.messages (topic, extension, event, payload, private) VALUES ('room', 'broadcast', 'direct', '{}', true)");
    assert_eq!(broadcast(&mut ann).await["event"], "direct");
    rooms.world.stop().await;
}

#[tokio::test]
async fn clients_of_v2_receive_binary_frames_with_metadata() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ready = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ready, true).await;
    let mut ann = rooms.joined("ann", json!({})).await;
    rooms.postgres.sql(r#"SELECT realtime.send('{"n": 1}', 'e', 'room')"#);
    let id = rooms.postgres.sql("SELECT id FROM realtime.messages");
    let meta = format!(r#"{{"id":"{id}"}}"#);
    let frame = |encoding: u8, meta: &str, payload: &[u8]| {
        let mut frame = vec![4, 13, 1, u8::try_from(meta.len()).expect("short"), encoding];
        frame.extend([ROOM.as_bytes(), b"e", meta.as_bytes(), payload].concat());
        Frame::Binary(frame)
    };
    let payload = format!(r#"{{"n": 1, "id": "{id}"}}"#);
    let received = ann.next().await;
    let Frame::Binary(bytes) = &received else { panic!("{received}") };
    let Frame::Binary(expected) = frame(1, &meta, b"") else { unreachable!() };
    let (head, body) = bytes.split_at(expected.len());
    assert_eq!(head, expected);
    let [received, expected] =
        [body, payload.as_bytes()].map(|json| serde_json::from_slice::<Value>(json).expect("JSON"));
    assert_eq!(received, expected);
    assert_eq!(broadcast(&mut ready).await["meta"]["id"], id);

    rooms.postgres.sql(r"SELECT realtime.send_binary('\x00ff10', 'e', 'room')");
    let id = rooms.postgres.sql("SELECT id FROM realtime.messages WHERE binary_payload IS NOT NULL");
    assert_eq!(ann.next().await, frame(0, &format!(r#"{{"id":"{id}"}}"#), &[0, 255, 16]));
    ready.expect_quiet().await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn triggers_send_changes() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    rooms.postgres.sql(
        "CREATE TABLE public.todos (id int PRIMARY KEY, title text);
         CREATE FUNCTION public.send_changes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM realtime.broadcast_changes('room', TG_OP, TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, NEW, OLD);
             RETURN NULL;
         END $$;
         CREATE TRIGGER sends AFTER INSERT OR UPDATE OR DELETE ON public.todos FOR EACH ROW EXECUTE FUNCTION public.send_changes();
         INSERT INTO public.todos VALUES (1, 'one');
         UPDATE public.todos SET title = 'two';
         DELETE FROM public.todos",
    );
    let (one, two) = (json!({"id": 1, "title": "one"}), json!({"id": 1, "title": "two"}));
    for (operation, record, old_record) in
        [("INSERT", one.clone(), Value::Null), ("UPDATE", two.clone(), one), ("DELETE", Value::Null, two)]
    {
        let mut received = broadcast(&mut ann).await;
        let id = received["meta"]["id"].clone();
        assert_eq!(received["event"], operation);
        let payload = received["payload"].take();
        assert_eq!(
            payload,
            json!({"id": id, "operation": operation, "schema": "public", "table": "todos", "record": record, "old_record": old_record})
        );
    }
    rooms.world.stop().await;
}

#[tokio::test]
async fn what_is_committed_arrives_in_the_order_of_commits_and_none_is_lost() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    // A transaction that begins first and is committed last.
    let mut session = rooms.postgres.session();
    session.run(r#"BEGIN; SELECT realtime.send('{"n": -1}', 'e', 'room')"#);
    rooms.postgres.sql(
        "SELECT realtime.send(jsonb_build_object('n', n), 'e', 'room') FROM generate_series(0, 4999) AS n",
    );
    session.run("COMMIT");
    for expected in (0..5_000).chain([-1]) {
        assert_eq!(broadcast(&mut ann).await["payload"]["n"], expected);
    }
    rooms.world.stop().await;
}

#[tokio::test]
async fn rows_that_cannot_be_sent_are_counted() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    rooms.world.apply(|settings| settings.limits.max_payload_size_in_kb = crate::count(1));
    rooms.postgres.sql(
        "INSERT INTO realtime.messages (topic, extension, event, payload, private) VALUES
             ('room', 'broadcast', NULL, '{}', true),
             ('room', 'broadcast', 'e', NULL, true),
             ('room', 'broadcast', 'e', '{}', NULL),
             ('room', 'broadcast', 'e', jsonb_build_object('text', repeat('x', 3000)), true),
             ('room', 'broadcast', 'last', '{}', true)",
    );
    assert_eq!(broadcast(&mut ann).await["event"], "last");
    let dropped = r#"realtime_database_broadcasts_dropped_total{tenant="default"}"#;
    eventually("four are counted", async || rooms.world.number(dropped).await == 4.0).await;
    rooms.world.stop().await;
}
