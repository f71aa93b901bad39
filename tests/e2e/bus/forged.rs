//! Numbers that no node has published: another process writes to Redis, or a node has gone wrong.

use std::time::Duration;

use harness::{Dialect, Request, Token, World, eventually};
use hub::{Bounds, NodeId};
use realtime_server::bus::{Broker, Bus as _, BusConnection, Channel, Command};
use serde_json::json;
use wire::relay::{self, SequenceNumber};

use super::{NAME, ROOM, wait_for_nodes};

const FORGER: NodeId = NodeId::new(7);

/// A node whose tenant may have two users, and another connection to its bus.
async fn world_and_forger() -> (World, Box<dyn BusConnection>) {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let world = World::on(broker.clone(), |settings| {
        settings.limits.max_concurrent_users = Some(crate::size(2));
    })
    .await;
    wait_for_nodes(&world, 1).await;
    let (connection, _inbox) = broker.connect(FORGER).await.expect("a connection");
    (world, connection)
}

async fn publish(connection: &mut dyn BusConnection, channel: Channel, message: impl Into<bytes::Bytes>) {
    let message = message.into();
    connection.send(vec![Command::Publish { channel, message }]).await.expect("sent");
}

async fn ignored(world: &World, messages: f64) {
    eventually("the message is ignored, and counted", async || {
        world.number("realtime_bus_unread_total").await == messages
    })
    .await;
}

#[tokio::test]
async fn users_that_no_node_can_have_are_not_counted() {
    let (world, mut connection) = world_and_forger().await;
    for (messages, users) in [(1.0, u64::MAX), (2.0, 1 << 40)] {
        let users = json!({"default": users});
        let message = json!({"from": 7, "said": {"Users": {"whole": false, "users": users}}, "streams": 1});
        publish(&mut *connection, Channel::Nodes, message.to_string()).await;
        ignored(&world, messages).await;
        let target = world.target("/realtime/v1/websocket", Dialect::V2, Token::Valid);
        assert_eq!(world.send(Request::upgrade(&target)).await.status, 101);
    }
    world.stop().await;
}

#[tokio::test]
async fn messages_that_no_node_can_have_published_are_not_counted_as_missed() {
    let (world, mut connection) = world_and_forger().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    let numbers = [(1, 5), (1, 1 << 40), (1, u64::MAX), (u64::MAX, 0), (2, 1 << 40), (1, 7)];
    for (stream, before) in numbers {
        let message = relay::numbered_events(FORGER, SequenceNumber { stream, before }, []);
        publish(&mut *connection, Channel::Room(NAME.into()), message).await;
    }
    ignored(&world, 4.0).await;
    eventually("what is missing is counted", async || world.number("realtime_bus_missed_total").await == 2.0)
        .await;
    world.stop().await;
}
