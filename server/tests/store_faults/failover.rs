//! The name of the database leads to another server, while connections to the one before stay open.

use std::time::Duration;

use harness::{ChaosProxy, Postgres, eventually, eventually_within};
use serde_json::json;

use crate::node::Node;

/// How many nodes are notified of changes by this server.
const LISTENERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'supabase_mt_realtime' AND query LIKE 'LISTEN%'";

/// How long it may take until the server that the name leads to is used.
const HEALED_MAX: Duration = Duration::from_secs(10);

/// A node of a database whose name is an address of a proxy.
async fn behind_a_name(postgres: &Postgres) -> (Node, ChaosProxy) {
    let name = ChaosProxy::to(postgres.address()).await;
    let node = Node::of(&postgres.url_at(name.address()));
    node.create("acme").await;
    node.until_usable().await;
    (node, name)
}

async fn until_changed(node: &Node, users: u32) {
    eventually_within(HEALED_MAX, "a tenant can be changed", async || {
        node.put("acme", json!({ "max_concurrent_users": users })).await.status == 200
    })
    .await;
}

/// What a server has stored.
fn users(postgres: &Postgres) -> String {
    postgres.sql("SELECT max_concurrent_users FROM _realtime.tenants WHERE external_id = 'acme'")
}

#[tokio::test]
async fn a_writer_that_was_demoted_is_left_also_by_connections_that_stay_open() {
    let writer = Postgres::alone(&[]);
    let (node, name) = behind_a_name(&writer).await;
    let standby = writer.standby();
    until_changed(&node, 10).await;
    eventually("the node listens", async || writer.sql(LISTENERS) == "1").await;

    standby.take_over_from(&writer);
    name.redirect(standby.address());
    until_changed(&node, 11).await;
    assert_eq!(users(&standby), "11");
    let is_followed = async || standby.sql(LISTENERS) == "1";
    eventually_within(HEALED_MAX, "the node listens to the new writer", is_followed).await;
    standby.sql("UPDATE _realtime.tenants SET max_concurrent_users = 12");
    standby.sql("NOTIFY realtime_tenants, 'acme'");
    assert_eq!(node.get("acme").await.json()["data"]["max_concurrent_users"], 12);
}

#[tokio::test]
async fn a_reader_to_which_the_name_leads_for_a_while_is_left() {
    let writer = Postgres::alone(&[]);
    let (node, name) = behind_a_name(&writer).await;
    let reader = writer.standby();
    name.plug_into(reader.address());
    eventually("a change is refused", async || {
        let refused = node.put("acme", json!({ "max_concurrent_users": 10 })).await;
        refused.status == 503 && node.server.process.log().contains("in a read-only transaction")
    })
    .await;
    node.until_usable().await;
    assert_eq!(node.handshake("acme").await, 101, "it can be read");

    name.redirect(writer.address());
    until_changed(&node, 11).await;
    assert_eq!(users(&writer), "11");
    let is_followed = async || writer.sql(LISTENERS) == "1";
    eventually_within(HEALED_MAX, "the node listens to the writer", is_followed).await;
}
