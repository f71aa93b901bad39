//! Joins that wait for their authorization (docs/protocol/channels.md#waiting-joins).
//!
//! The authorizer of these tests answers topics that begin with `wait` only when the test says so, and all others at
//! once.

mod gate;
mod held_messages;
mod policy_changes;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use harness::{World, eventually};
use realtime_server::auth::Rights;
use settings::Settings;

use crate::size;
use gate::Gate;

async fn world(gate: &Arc<Gate>, change: impl FnOnce(&mut Settings)) -> World {
    World::extended(|server| server.authorizer(Arc::clone(gate) as _), change).await
}

#[tokio::test]
async fn a_refusal_after_the_wait_is_that_of_a_refused_join() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann (v1) connects
        ann > {"topic":"realtime:wait","event":"phx_join","payload":{"config":{}},"ref":"1","join_ref":"1"}
        ann > {"topic":"realtime:wait","event":"broadcast","payload":{"event":"hi"},"ref":"2"}
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < {"topic":"realtime:wait","event":"phx_reply","payload":{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}},"ref":"1"}
        ann < {"topic":"realtime:wait","event":"phx_reply","payload":{"status":"error","response":{"reason":"unmatched topic"}},"ref":"2"}
        ann is quiet
        ann > {"topic":"realtime:open","event":"phx_join","payload":{"config":{}},"ref":"3","join_ref":"3"}
        ann < {"topic":"realtime:open","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[]}},"ref":"3"}
        "#,
    )
    .await;
    world.stop().await;
}

// The time counts from the join on, so that a join which waits for its turn is refused as early.
#[tokio::test]
async fn a_join_is_refused_when_its_authorization_takes_too_long() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |settings| {
        settings.server.authorization_timeout = Duration::from_millis(300);
        settings.server.max_tasks_per_connection = size(1);
    })
    .await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["2","2","realtime:wait-2","phx_join",{"config":{}}]
        ann > ["1","3","realtime:wait-1","broadcast",{"event":"hi"}]
        ann < ["1","1","realtime:wait-1","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann < [null,"3","realtime:wait-1","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann < ["2","2","realtime:wait-2","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann is quiet
        "#,
    )
    .await;
    gate.cancelled(2).await;
    world.apply(|settings| settings.server.authorization_timeout = Duration::from_secs(60));
    room.check(
        r#"
        ann > ["4","4","realtime:wait-1","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait-1", Ok(Rights::ALL));
    room.check(
        r#"ann < ["4","4","realtime:wait-1","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]"#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_leave_cancels_the_wait() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["4","4","realtime:wait","phx_join",{"config":{}}]
        ann > ["4","5","realtime:wait","broadcast",{"event":"hi"}]
        # That of an earlier join is not meant.
        ann > ["3","6","realtime:wait","phx_leave",{}]
        ann is quiet
        ann > ["4","7","realtime:wait","phx_leave",{}]
        ann < [null,"5","realtime:wait","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann < ["4","7","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        ann < ["4","4","realtime:wait","phx_close",{}]
        ann is quiet
        "#,
    )
    .await;
    gate.cancelled(1).await;
    room.check("ann > [null,\"8\",\"realtime:wait\",\"phx_leave\",{}]").await;
    room.check(r#"ann < [null,"8","realtime:wait","phx_reply",{"status":"ok","response":{}}]"#).await;
    world.stop().await;
}

#[tokio::test]
async fn the_end_of_the_connection_cancels_the_wait() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["2","2","realtime:wait-2","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.working(2).await;
    room.check("ann vanishes").await;
    gate.cancelled(2).await;
    eventually("the connection has ended", async || world.node().connections() == 0).await;
    world.stop().await;
}

// docs/protocol/websocket.md#connections-without-channels
#[tokio::test]
async fn a_client_whose_join_waits_is_not_one_without_channels() {
    let gate = Arc::new(Gate::default());
    let world =
        world(&gate, |settings| settings.server.no_channel_timeout = Duration::from_millis(200)).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < ["1","1","realtime:wait","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}}]
        ann is closed 1013
        "#,
    )
    .await;
    world.stop().await;
}

// docs/protocol/channels.md#repeated-joins, for a join that has not been answered yet.
#[tokio::test]
async fn another_join_of_the_topic_replaces_the_waiting_one() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        bob connects
        bob > ["1","1","realtime:wait","phx_join",{"config":{}}]
        bob is quiet
        "#,
    )
    .await;
    gate.decide("wait", Ok(Rights::ALL));
    room.check(
        r#"
        bob < ["1","1","realtime:wait","phx_reply",_]
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann > ["1","2","realtime:wait","broadcast",{"event":"to the old join"}]
        ann > ["3","3","realtime:wait","phx_join",{"config":{}}]
        ann > ["3","4","realtime:wait","broadcast",{"event":"to the new join"}]
        ann < [null,"2","realtime:wait","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann is quiet
        "#,
    )
    .await;
    gate.cancelled(1).await;
    gate.decide("wait", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["3","3","realtime:wait","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < ["1","1","realtime:wait","phx_close",{}]
        bob < [null,null,"realtime:wait","broadcast",{"event":"to the new join"}]
        ann, bob are quiet
        # A joined topic that is joined again, twice: the member leaves at once, and each join but the last is closed.
        ann > ["5","5","realtime:wait","phx_join",{"config":{}}]
        bob > ["1","9","realtime:wait","broadcast",{"event":"between"}]
        bob is quiet
        ann is quiet
        ann > ["6","6","realtime:wait","phx_join",{"config":{}}]
        ann < ["3","3","realtime:wait","phx_close",{}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < ["6","6","realtime:wait","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}}]
        ann < ["5","5","realtime:wait","phx_close",{}]
        ann is quiet
        "#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_stop_disconnects_clients_whose_join_waits() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann > ["1","2","realtime:wait","broadcast",{"event":"hi"}]
        ann is quiet
        the server stops
        ann is closed 1012
        "#,
    )
    .await;
    gate.cancelled(1).await;
}
