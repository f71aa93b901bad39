//! Connections to PostgreSQL that end between two calls.

use harness::Postgres;
use serde_json::json;

use crate::node::{Node, end_connections};

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
