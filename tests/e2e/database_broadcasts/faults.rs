//! The session that reads the log ends, or cannot be opened: everything else goes on, and clients are notified of the gap.

use std::time::Duration;

use harness::{ChaosProxy, Client, Postgres, Request, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ROOM, broadcast, join_ready, next, v1};
use crate::private_rooms::{self, PrivateRooms};

/// Waits for the notice of a gap. Broadcasts that were sent before may come first.
async fn expect_gap(client: &mut Client) {
    let mut notice = next(client).await;
    while notice["event"] == "broadcast" {
        notice = next(client).await;
    }
    let (status, text) = (&notice["payload"]["status"], &notice["payload"]["message"]);
    assert_eq!((status, text), (&json!("ok"), &json!("Messages from the database may have been missed")));
}

/// Sends until a broadcast is received.
async fn until_received(postgres: &Postgres, client: &mut Client) {
    let mut number = 0;
    eventually("broadcasts are received", async || {
        number += 1;
        postgres.sql(&format!("SELECT realtime.send('{{\"n\": {number}}}', 'again', 'room')"));
        timeout(Duration::from_millis(100), broadcast(client)).await.is_ok()
    })
    .await;
}

async fn ready(postgres: Postgres) -> (PrivateRooms, Client) {
    let rooms = PrivateRooms::with(postgres, |_| {}).await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    (rooms, ann)
}

#[tokio::test]
async fn a_session_that_is_terminated_is_replaced() {
    let (rooms, mut ann) = ready(Postgres::start()).await;
    for end in [
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime_replication_connection' AND datname = current_database()",
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()",
    ] {
        rooms.postgres.sql(end);
        expect_gap(&mut ann).await;
        until_received(&rooms.postgres, &mut ann).await;
        ann.received().await;
    }
    rooms.world.stop().await;
}

// Without a join: those who are there keep receiving.
#[tokio::test]
async fn with_changed_settings_members_receive_from_the_new_connection() {
    let (rooms, mut ann) = ready(Postgres::start()).await;
    let url = rooms.postgres.url().replace("postgres://", "postgresql://");
    rooms.world.apply(|settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.clone().into());
    });
    expect_gap(&mut ann).await;
    until_received(&rooms.postgres, &mut ann).await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_publication_that_is_dropped_is_made_again() {
    let (rooms, mut ann) = ready(Postgres::start()).await;
    rooms.postgres.sql("DROP PUBLICATION supabase_realtime_messages_publication");
    rooms.postgres.sql("SELECT realtime.send('{}', 'lost', 'room')");
    expect_gap(&mut ann).await;
    until_received(&rooms.postgres, &mut ann).await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_database_that_is_killed_and_started_is_read_again() {
    let (rooms, mut ann) = ready(Postgres::alone(&[])).await;
    rooms.postgres.end(Signal::KILL);
    let mut public = v1(&rooms.world, &rooms.token("bob", 0)).await;
    public.join(ROOM, json!({})).await;
    rooms.postgres.start_again();
    expect_gap(&mut ann).await;
    until_received(&rooms.postgres, &mut ann).await;
    rooms.world.stop().await;
}

/// How long it may take until the server that the name leads to is used.
const HEALED_MAX: Duration = Duration::from_secs(10);

/// With a database whose name is an address of a proxy.
async fn behind_a_name(postgres: &Postgres) -> (PrivateRooms, Client, ChaosProxy) {
    let name = ChaosProxy::to(postgres.address()).await;
    let url = postgres.url_at(name.address());
    let rooms = PrivateRooms::with(postgres.clone(), |settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    })
    .await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    join_ready(&mut ann, true).await;
    (rooms, ann, name)
}

/// Waits until broadcasts of the server that the name leads to are received, and private rooms are decided there.
async fn until_used(rooms: &PrivateRooms, ann: &mut Client) {
    let read = timeout(HEALED_MAX, expect_gap(ann)).await;
    read.expect("the server that the name leads to is read");
    until_received(&rooms.postgres, ann).await;
    rooms.allow("bob", &["read broadcast"]);
    rooms.joined("bob", json!({})).await;
}

#[tokio::test]
async fn a_writer_that_was_demoted_is_left_also_by_connections_that_stay_open() {
    let writer = Postgres::alone(&[]);
    let (mut rooms, mut ann, name) = behind_a_name(&writer).await;
    let standby = writer.standby();
    expect_gap(&mut ann).await;
    until_received(&rooms.postgres, &mut ann).await;
    ann.received().await;
    standby.take_over_from(&writer);
    name.redirect(standby.address());
    rooms.postgres = standby;
    until_used(&rooms, &mut ann).await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_reader_to_which_the_name_leads_for_a_while_is_left() {
    let writer = Postgres::alone(&[]);
    let (rooms, mut ann, name) = behind_a_name(&writer).await;
    let Some(reader) = writer.standby_without_decoding() else {
        rooms.world.stop().await;
        return;
    };
    name.plug_into(reader.address());
    let refusal = r#"realtime_codes_total{tenant="default",code="StartReplicationFailed"}"#;
    eventually("its log is not read", async || {
        rooms.world.send(Request::get("/metrics")).await.text().contains(refusal)
    })
    .await;
    name.redirect(writer.address());
    until_used(&rooms, &mut ann).await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn without_logical_decoding_everything_else_works_and_the_join_says_so() {
    let rooms = PrivateRooms::with(Postgres::alone(&["wal_level=replica"]), |_| {}).await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    let config = json!({"private": true, "broadcast": {"replication_ready": true, "ack": true}});
    ann.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    assert_eq!(next(&mut ann).await["payload"]["status"], "ok");
    let notice = next(&mut ann).await["payload"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        notice.starts_with("Broadcasts from the database are not available: ")
            && notice.contains("wal_level"),
        "{notice}"
    );
    ann.push("2", ROOM, "broadcast", &json!({"type": "broadcast", "event": "e", "payload": {}})).await;
    assert_eq!(next(&mut ann).await["payload"]["status"], "ok");
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_role_that_may_not_read_the_log_has_private_rooms_nevertheless() {
    // Alone, so that it makes the roles itself and may act as them.
    let postgres = Postgres::alone(&[]);
    let role = "plain";
    postgres.sql("CREATE ROLE plain LOGIN CREATEROLE BYPASSRLS; GRANT CREATE ON DATABASE postgres TO plain");
    let url = postgres.url().replace("postgres@", &format!("{role}@"));
    let rooms = PrivateRooms::with(postgres, |settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    })
    .await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = rooms.connect("ann").await;
    assert_eq!(
        private_rooms::join(&mut ann, json!({"broadcast": {"replication_ready": true}})).await,
        Value::Null
    );
    let notice = ann.next_json().await[4]["message"].as_str().unwrap_or_default().to_owned();
    assert!(notice.contains("may not read the write-ahead log"), "{notice}");
    rooms.world.stop().await;
}

#[tokio::test]
async fn without_a_free_wal_sender_the_join_says_so_and_a_free_one_is_used() {
    let postgres = Postgres::alone(&["max_wal_senders=1"]);
    let Some(programs) = postgres.receive_log() else { return };
    let rooms = PrivateRooms::with(postgres, |_| {}).await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = v1(&rooms.world, &rooms.token("ann", 0)).await;
    let config = json!({"private": true, "broadcast": {"replication_ready": true}});
    ann.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    assert_eq!(next(&mut ann).await["payload"]["status"], "ok");
    let notice = next(&mut ann).await["payload"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(notice.contains("no free WAL sender"), "{notice}");
    drop(programs);
    until_received(&rooms.postgres, &mut ann).await;
    rooms.world.stop().await;
}

// Neither the memory of the server nor what other clients send depends on the size of a transaction. In a cluster of its own, since
// a new slot, of any database, waits for the transactions that are open.
#[tokio::test]
async fn a_transaction_of_many_rows_delays_no_broadcast() {
    let (rooms, mut ann) = ready(Postgres::alone(&[])).await;
    rooms.world.apply(|settings| settings.limits.max_events_per_second = crate::count(10_000_000));
    let (mut one, mut other) = (rooms.world.connect().await, rooms.world.connect().await);
    for client in [&mut one, &mut other] {
        client.join("realtime:public", json!({})).await;
    }
    let many = "BEGIN; SELECT realtime.send('{}', 'first', 'room');
         SELECT realtime.send(jsonb_build_object('n', n), 'e', 'elsewhere') FROM generate_series(1, 20000) AS n;
         SELECT realtime.send('{}', 'last', 'room'); COMMIT";
    let mut session = rooms.postgres.session();
    let writing = tokio::task::spawn_blocking(move || session.run(many));
    assert_eq!(broadcast(&mut ann).await["event"], "first");
    let mut passed = 0;
    let payload = json!({"type": "broadcast", "event": "e", "payload": {}});
    // Whether the next one is there.
    while timeout(Duration::ZERO, broadcast(&mut ann)).await.is_err() {
        one.push("2", "realtime:public", "broadcast", &payload).await;
        other.next_json().await;
        passed += 1;
    }
    // However fast the machine is: one or two pass while all rows are read at once.
    assert!(passed >= 4, "{passed} broadcasts");
    writing.await.expect("it is committed");
    rooms.world.stop().await;
}
