//! The bus, from what it is made of to what clients of several nodes see.

mod broadcast;
mod conformance;
mod damaged;
mod evicted;
mod forged;
mod history;
mod keep_alive;
mod loss;
mod outages;
mod polls;
mod presence;
mod reconnecting;
mod redis;
mod rejected;
mod slow_link;
mod tapped;
mod users;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::{Client, Redis, Request, TokenIssuer, World, eventually};
use hub::{
    Bounds, Dialect, Frame, Group, Hub, Member, Membership, Outbox, Privacy, Receives, RoomKey, Space,
};
use serde_json::{Value, json};
use settings::Settings;

const ROOM: &str = "realtime:room";
/// The name of the room on the bus, and its channel in Redis.
const NAME: &str = "default:phoenix:public:room";
const CHANNEL: &str = "realtime:room:default:phoenix:public:room";

/// A node on `redis`, by way of `address`: quick to leave rooms, and to announce presence.
pub(crate) fn at(redis: &Redis, address: SocketAddr) -> impl Fn(&mut Settings) {
    let (url, authority) = (redis.url_at(address), redis.authority());
    move |settings| {
        settings.bus.redis_url = Some(url.clone().into());
        settings.bus.tls_ca_file.clone_from(&authority);
        settings.bus.linger = Duration::from_millis(50);
        settings.presence.coalesce = Duration::ZERO;
        settings.admin.jwt_secret = Some(operators().secret().into());
    }
}

fn operators() -> TokenIssuer {
    TokenIssuer::new("the operators' secret, of thirty-two bytes")
}

/// The page `/status`.
async fn status(world: &World) -> Value {
    let token = operators().sign(&json!({"exp": 4_000_000_000_u64}));
    world.send(Request::get("/status").bearer(&token)).await.json()
}

pub(crate) fn on(redis: &Redis) -> impl Fn(&mut Settings) {
    at(redis, redis.address())
}

/// Two nodes that are connected to each other.
pub(crate) async fn two(change: impl Fn(&mut Settings)) -> (World, World) {
    let one = World::with(&change).await;
    let two = one.beside(&change).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    (one, two)
}

/// Waits until this node is connected to the bus and counts this many nodes on it.
pub(crate) async fn wait_for_nodes(world: &World, nodes: usize) {
    eventually("the node is connected to the others", async || {
        world.number("realtime_bus_connected").await == 1.0
            && world.number("realtime_bus_nodes").await == nodes as f64
    })
    .await;
}

/// Waits until this node has lost its connection to the bus.
pub(crate) async fn wait_for_disconnect(world: &World) {
    eventually("the node is disconnected from the bus", async || {
        world.number("realtime_bus_connected").await == 0.0
    })
    .await;
}

/// A client that is in the room under `key`; its first state.
async fn member(world: &World, key: &str) -> (Client, Value) {
    let mut client = world.connect().await;
    client.join(ROOM, json!({"presence": {"key": key, "enabled": true}})).await;
    let state = client.next_json().await;
    assert_eq!(state[3], "presence_state", "{state}");
    (client, state[4].clone())
}

/// Joins a room of this node directly, without a client connection.
fn join_locally(hub: &Arc<Hub>, topic: &str) -> Membership {
    let (space, privacy) = (Space::Phoenix, Privacy::Public);
    join_room(hub, RoomKey { tenant: "default".into(), space, privacy, topic: topic.into() })
}

/// As [`join_locally`], a room of any tenant.
fn join_room(hub: &Arc<Hub>, key: RoomKey) -> Membership {
    let outbox =
        Arc::new(Outbox::new(Bounds { frames: 100, bytes: 1 << 20 }, hub::TenantMemory::unlimited()));
    let member =
        Member { outbox, dialect: Dialect::new(0), group: Group::DEFAULT, receives: Receives::Everything };
    hub.join(key, member, &Frame::new("joined".into(), 0))
}

/// Tracks `payload` in the room, and waits for the reply.
async fn track(client: &mut Client, payload: Value) {
    let call = json!({"type": "presence", "event": "track", "payload": payload});
    client.push("track", ROOM, "presence", &call).await;
    client.settle().await;
}

/// Sends a broadcast to the room.
async fn send_broadcast(client: &mut Client, payload: Value) {
    let call = json!({"type": "broadcast", "event": "said", "payload": payload});
    client.push("say", ROOM, "broadcast", &call).await;
}

/// Waits until a client that joins on this node receives exactly these keys in the room.
async fn wait_for_presence(world: &World, keys: &[impl AsRef<str>]) {
    let mut last = Value::Null;
    let what = format!("the room's presence is {:?}", keys.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    eventually(&what, async || {
        let (_client, state) = member(world, "look").await;
        let tracked = state.as_object().expect("a state");
        let holds = tracked.len() == keys.len() && keys.iter().all(|key| tracked.contains_key(key.as_ref()));
        if last != state {
            eprintln!("tracked: {:?}", tracked.keys().collect::<Vec<_>>());
            last = state;
        }
        holds
    })
    .await;
}
