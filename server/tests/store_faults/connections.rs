//! Connections to PostgreSQL that end between two calls.

use harness::{Postgres, eventually};
use serde_json::json;

use crate::node::{Node, SECRET, end_connections};

#[tokio::test]
async fn the_call_after_connections_have_ended_succeeds() {
    let postgres = Postgres::start();
    let node = Node::of(&postgres.url());
    node.create("acme").await;
    node.until_usable().await;
    for value in 1..=5 {
        end_connections(&postgres);
        let changed = node.put("acme", json!({"max_concurrent_users": value})).await;
        assert_eq!(changed.status, 200, "{}", node.server.process.log());
        end_connections(&postgres);
        assert_eq!(node.get("acme").await.json()["data"]["max_concurrent_users"], value);
    }
    assert_eq!(node.outages(), 0, "{}", node.server.process.log());
    node.until_usable().await;
}

// It may also end between the check of the pool and the statement.
#[tokio::test]
async fn a_read_whose_connection_ends_is_repeated_over_another() {
    let postgres = Postgres::start();
    let node = Node::of(&postgres.url());
    node.create("acme").await;
    node.until_usable().await;
    let mut blocker = postgres.session();
    blocker.run("BEGIN; LOCK TABLE _realtime.tenants IN ACCESS EXCLUSIVE MODE");
    let waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async || postgres.sql(&format!("SELECT count(*) {waiting}")) != "0";
    let ended = async {
        eventually("a statement waits for the lock", &waits).await;
        postgres.sql(&format!("SELECT pg_terminate_backend(pid, 10000) {waiting}"));
        eventually("another one waits", &waits).await;
        drop(blocker);
    };
    let (shown, ()) = tokio::join!(node.get("acme"), ended);
    assert_eq!(shown.status, 200, "{}", node.server.process.log());
    assert_eq!(node.outages(), 0, "{}", node.server.process.log());
}

#[tokio::test]
async fn a_write_that_a_demoted_writer_refuses_is_repeated_over_another_connection() {
    let postgres = Postgres::start();
    let node = Node::of(&postgres.url());
    node.create("acme").await;
    postgres.sql(
        "CREATE SEQUENCE writes;
         CREATE FUNCTION demoted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('public.writes') % 2 = 1 THEN RAISE 'it is a reader' USING ERRCODE = '25006'; END IF;
             RETURN coalesce(NEW, OLD);
         END $$;
         CREATE TRIGGER demoted BEFORE INSERT OR UPDATE OR DELETE ON _realtime.tenants FOR EACH ROW EXECUTE FUNCTION demoted()",
    );
    assert_eq!(node.put("acme", json!({"max_concurrent_users": 7})).await.status, 200);
    assert_eq!(node.get("acme").await.json()["data"]["max_concurrent_users"], 7);
    assert_eq!(node.put("second", json!({"jwt_secret": SECRET})).await.status, 201);
    assert_eq!(node.outages(), 0, "{}", node.server.process.log());
}
