//! Rights are asked again when a client refreshes its token, and at intervals (docs/protocol/private-rooms.md#rights-that-change).

use std::time::Duration;

use harness::{Client, Postgres};
use serde_json::{Value, json};

use super::{PrivateRooms, ROOM, send, texts};

/// Expects the end of the channel with this text.
async fn expect_end(client: &mut Client, text: &str) {
    let system = client.next_json().await;
    assert_eq!(
        (&system[3], &system[4]["status"], &system[4]["message"]),
        (&json!("system"), &json!("error"), &json!(text))
    );
    assert_eq!(client.next_json().await[3], "phx_close");
}

async fn refresh(client: &mut Client, token: &str) {
    client.push("9", ROOM, "access_token", &json!({"access_token": token})).await;
}

#[tokio::test]
async fn a_refresh_withdraws_and_grants() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast", "write broadcast", "read presence"]);
    rooms.allow("bob", &["read presence"]);
    let enabled = || json!({"presence": {"enabled": true}, "broadcast": {"ack": true}});
    let mut ann = rooms.joined("ann", enabled()).await;
    let mut bob = rooms.joined("bob", enabled()).await;
    assert_eq!(ann.next_json().await[3], "presence_state");
    assert_eq!(bob.next_json().await[3], "presence_state");

    rooms.allow("bob", &["read broadcast"]);
    refresh(&mut bob, &rooms.token("bob", 1)).await;
    let mut number = 10;
    while texts(&mut bob).await.is_empty() {
        number += 1;
        assert_eq!(send(&mut ann, &number.to_string(), "hi").await, Value::Null);
        bob.settle().await;
    }

    rooms.withdraw("ann", "write broadcast");
    refresh(&mut ann, &rooms.token("ann", 1)).await;
    while send(&mut ann, "5", "still allowed").await.is_null() {}
    rooms.withdraw("ann", "read broadcast");
    refresh(&mut ann, &rooms.token("ann", 2)).await;
    expect_end(&mut ann, "You no longer have permission to read from this Channel topic: room").await;

    rooms.withdraw("bob", "read broadcast");
    rooms.withdraw("bob", "read presence");
    bob.received().await;
    refresh(&mut bob, &rooms.token("bob", 2)).await;
    expect_end(&mut bob, "You do not have permissions to read from this Channel topic: room").await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn at_intervals_rights_are_withdrawn_without_a_refresh() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.database.recheck_interval = Some(Duration::from_secs(1));
    })
    .await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut ann = rooms.joined("ann", json!({})).await;
    rooms.withdraw("ann", "read broadcast");
    expect_end(&mut ann, "You do not have permissions to read from this Channel topic: room").await;
    rooms.world.stop().await;
}
