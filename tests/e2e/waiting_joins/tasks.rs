//! How many joins of one connection are authorized at once (`server.max_tasks_per_connection`).

use std::sync::Arc;

use realtime_server::auth::Rights;

use super::gate::Gate;
use super::world;
use crate::size;

#[tokio::test]
async fn only_so_many_tasks_of_a_connection_work_at_once() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |settings| {
        settings.server.max_tasks_per_connection = size(1);
        settings.limits.max_channels_per_client = size(3);
    })
    .await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann joins realtime:open
        ann > ["2","2","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["3","3","realtime:wait-2","phx_join",{"config":{}}]
        # Waiting joins count among the channels of the connection.
        ann > ["4","4","realtime:third","phx_join",{"config":{}}]
        ann < ["4","4","realtime:third","phx_reply",{"status":"error","response":{"reason":"ChannelRateLimitReached: Too many channels"}}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait-2", Ok(Rights::ALL));
    gate.working(1).await;
    room.check("ann is quiet").await;
    gate.decide("wait-1", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["2","2","realtime:wait-1","phx_reply",_]
        ann < ["3","3","realtime:wait-2","phx_reply",_]
        "#,
    )
    .await;
    world.stop().await;
}

// The setting is that of the connection's handshake, whenever its first join waits.
#[tokio::test]
async fn a_change_of_the_number_of_tasks_applies_to_new_connections() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check("ann joins realtime:open").await;
    world.apply(|settings| settings.server.max_tasks_per_connection = size(1));
    room.check(
        r#"
        ann > ["2","2","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["3","3","realtime:wait-2","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.working(2).await;
    room.check(
        r#"
        bob connects
        bob > ["1","1","realtime:wait-3","phx_join",{"config":{}}]
        bob > ["2","2","realtime:wait-4","phx_join",{"config":{}}]
        bob is quiet
        "#,
    )
    .await;
    gate.working(3).await;
    world.stop().await;
}
