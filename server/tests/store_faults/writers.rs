//! Two nodes that write the same tenant at the same time.

use futures_util::future::join_all;
use harness::{Postgres, eventually};
use serde_json::json;

use crate::node::Node;

const WRITES: u32 = 15;

/// Writes a field that has one writer, again when the others were faster, and finds it as it was written.
async fn write(node: &Node, other: &Node, field: &str) {
    for value in 1..=WRITES {
        loop {
            let answer = node.put("acme", json!({ field: value })).await;
            match answer.status {
                200 => break assert_eq!(answer.json()["data"][field], value, "{field}"),
                409 => {}
                status => panic!("{status}: {}", answer.text()),
            }
        }
        assert_eq!(other.get("acme").await.json()["data"][field], value, "{field} is lost");
    }
}

#[tokio::test]
async fn no_update_of_a_field_is_lost_and_the_nodes_agree() {
    let postgres = Postgres::start();
    let (one, two) = (Node::of(&postgres.url()), Node::of(&postgres.url()));
    one.create("acme").await;
    eventually("the other node has it", async || two.handshake("acme").await == 101).await;
    let of_one = ["max_concurrent_users", "max_channels_per_client"];
    let of_two = ["max_events_per_second", "max_joins_per_second"];
    tokio::join!(
        join_all(of_one.map(|field| write(&one, &two, field))),
        join_all(of_two.map(|field| write(&two, &one, field))),
    );
    for node in [&one, &two] {
        let data = &node.get("acme").await.json()["data"];
        for field in of_one.iter().chain(&of_two) {
            assert_eq!(data[field], WRITES, "{field}");
        }
    }
    // Both write one field, and what is stored last applies on both.
    for _ in 0..5 {
        let (suspended, resumed) = tokio::join!(
            one.put("acme", json!({"suspend": true})),
            two.put("acme", json!({"suspend": false}))
        );
        assert!([suspended.status, resumed.status].iter().all(|status| matches!(status, 200 | 409)));
        let stored = postgres.sql("SELECT suspend FROM _realtime.tenants");
        let expected = if stored == "t" { 403 } else { 101 };
        let applies = async |node: &Node| {
            eventually("it applies", async || node.handshake("acme").await == expected).await;
        };
        tokio::join!(applies(&one), applies(&two));
    }
}
