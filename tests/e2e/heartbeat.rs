//! Heartbeats: answered at once, whatever else the socket is doing (docs/protocol/websocket.md#heartbeats).

use std::time::Duration;

use harness::{World, check};

#[tokio::test]
async fn a_heartbeat_is_answered_before_anything_is_joined() {
    check(
        r#"
        ann connects
        ann > [null,"7","phoenix","heartbeat",{}]
        ann < [null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn refs_are_returned_with_their_type() {
    check(
        r#"
        ann connects
        ann > [null,"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e","phoenix","heartbeat",{}]
        ann < [null,"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e","phoenix","phx_reply",{"status":"ok","response":{}}]
        ann > [null,null,"phoenix","heartbeat",{}]
        ann < [null,null,"phoenix","phx_reply",{"status":"ok","response":{}}]
        ann > [null,7,"phoenix","heartbeat",{}]
        ann < [null,7,"phoenix","phx_reply",{"status":"ok","response":{}}]
        ann > [null,"quo\"te\n","phoenix","heartbeat",{}]
        ann < [null,"quo\"te\n","phoenix","phx_reply",{"status":"ok","response":{}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn python_sends_no_ref_and_is_answered_with_a_null_one() {
    check(
        r#"
        ann (v1) connects
        ann > {"event":"heartbeat","payload":{},"topic":"phoenix","ref":null,"join_ref":null}
        ann < {"topic":"phoenix","event":"phx_reply","ref":null,"payload":{"status":"ok","response":{}}}
        "#,
    )
    .await;
}

#[tokio::test]
async fn any_payload_is_accepted() {
    check(
        r#"
        ann connects
        ann > [null,"1","phoenix","heartbeat",null]
        ann < [null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]
        ann > [null,"2","phoenix","heartbeat",{"access_token":"x"}]
        ann < [null,"2","phoenix","phx_reply",{"status":"ok","response":{}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_delayed_refusal_does_not_hold_up_heartbeats_or_other_joins() {
    let world =
        World::with(|settings| settings.server.channel_error_backoff = Duration::from_secs(3600)).await;
    world
        .check(
            r#"
            ann connects
            ann > ["8","8","realtime:locked","phx_join",{"config":{"private":true}}]
            ann is quiet
            ann joins realtime:room
            ann is quiet
            "#,
        )
        .await;
    world.stop().await;
}
