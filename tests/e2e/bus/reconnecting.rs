//! The first moments of a new connection: rooms are stored and read while they open, close and change.
//!
//! Which of two things that are ready a link does first is left to chance, so each test tries often.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{World, eventually};
use hub::{Bounds, Membership, PresenceEntry};
use realtime_server::bus::{Broker, Bus as _, BusError, Channel, Command, SnapshotChange};
use serde_json::json;

use super::tapped::{BusRequest, Tapped};
use super::{NAME, join_locally, member, track, wait_for_nodes};

const ROUNDS: usize = 12;

/// A node on a bus with a tap.
async fn tapped() -> (World, Broker, Tapped) {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker.clone());
    let world = World::on(bus.clone(), |settings| {
        settings.bus.linger = Duration::from_millis(1);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    wait_for_nodes(&world, 1).await;
    (world, broker, bus)
}

/// Cuts the connection and waits for the next.
async fn reconnect(world: &World, broker: &Broker) {
    let before = world.number("realtime_bus_reconnects_total").await;
    broker.disconnect(world.node().id);
    eventually("there is a new connection", async || {
        world.number("realtime_bus_reconnects_total").await > before
    })
    .await;
}

// A delta of a room that has not been stored over this connection is no delta: changes taken without a connection
// are not in it. Stored like that, it makes a snapshot that lacks the earlier members, at the newest position.
#[tokio::test]
async fn the_first_change_over_a_new_connection_is_a_whole_snapshot() {
    let (world, broker, bus) = tapped().await;
    let (mut ann, _) = member(&world, "ann").await;
    track(&mut ann, json!({})).await;
    let hub = Arc::clone(&world.node().hub);
    let first: Arc<Mutex<Option<SnapshotChange>>> = Arc::default();
    let (recorded, mut bob) = (Arc::clone(&first), None);
    bus.tap(move |request| {
        match request {
            BusRequest::Connect => {
                let bob = bob.insert(join_locally(&hub, "room"));
                bob.track(PresenceEntry { key: "bob".into(), meta: "{}".into() });
                *recorded.lock().expect("no holder panics") = None;
            }
            BusRequest::Send(commands) => {
                for command in *commands {
                    if let Command::Store { room, change, .. } = command {
                        assert_eq!(&**room, NAME);
                        recorded.lock().expect("no holder panics").get_or_insert_with(|| change.clone());
                    }
                }
            }
            BusRequest::Subscribe(_) | BusRequest::Check => {}
        }
        Ok::<(), BusError>(())
    });
    for _ in 0..ROUNDS {
        reconnect(&world, &broker).await;
        eventually("it is stored", async || first.lock().expect("no holder panics").is_some()).await;
        let first = first.lock().expect("no holder panics").take();
        let Some(SnapshotChange::Replace(whole)) = first else { panic!("{first:?} is not the whole") };
        assert_eq!(whole.entries.len(), 2);
    }
    world.stop().await;
}

// The node would never unsubscribe, and every new connection would request the room's snapshots.
#[tokio::test]
async fn a_room_that_closes_before_it_is_resubscribed_is_not_subscribed() {
    let (world, broker, bus) = tapped().await;
    let hub = Arc::clone(&world.node().hub);
    let visitor: Arc<Mutex<Option<Membership>>> = Arc::default();
    let (inside, mut sends) = (Arc::clone(&visitor), 0);
    bus.tap(move |request| {
        match request {
            BusRequest::Connect => sends = 0,
            // The node announces itself, lists its rooms, and reports its users.
            BusRequest::Send(_) => {
                sends += 1;
                if sends == 2 {
                    drop(inside.lock().expect("no holder panics").take());
                }
            }
            BusRequest::Subscribe(_) | BusRequest::Check => {}
        }
        Ok::<(), BusError>(())
    });
    for _ in 0..ROUNDS {
        *visitor.lock().expect("no holder panics") = Some(join_locally(&hub, "room"));
        eventually("the room is subscribed", async || broker.subscribers(NAME) == 1).await;
        reconnect(&world, &broker).await;
        eventually("the room has closed", async || world.number("realtime_rooms").await == 0.0).await;
        eventually("the room is unsubscribed", async || broker.subscribers(NAME) == 0).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_room_that_closes_while_it_is_subscribed_is_unsubscribed() {
    let (world, broker, bus) = tapped().await;
    let hub = Arc::clone(&world.node().hub);
    let mut visitor = None;
    bus.tap(move |request| {
        match request {
            BusRequest::Connect => visitor = Some(join_locally(&hub, "room")),
            BusRequest::Subscribe(rooms) if rooms.iter().any(|room| &**room == NAME) => drop(visitor.take()),
            BusRequest::Subscribe(_) | BusRequest::Send(_) | BusRequest::Check => {}
        }
        Ok::<(), BusError>(())
    });
    for _ in 0..ROUNDS {
        reconnect(&world, &broker).await;
        eventually("the room has closed", async || world.number("realtime_rooms").await == 0.0).await;
        eventually("the room is unsubscribed", async || broker.subscribers(NAME) == 0).await;
    }
    world.stop().await;
}

// The cause may be a command sent over it. Then the next connection is lost, too.
#[tokio::test]
async fn a_connection_that_is_lost_right_away_is_one_more_failed_attempt() {
    let (world, broker, bus) = tapped().await;
    let attempts: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let tried = Arc::clone(&attempts);
    bus.tap(move |request| match request {
        BusRequest::Connect => {
            tried.lock().expect("no holder panics").push(Instant::now());
            Ok(())
        }
        BusRequest::Subscribe(_) | BusRequest::Check => Ok(()),
        BusRequest::Send(_) => Err(BusError::Closed),
    });
    broker.disconnect(world.node().id);
    eventually("it was tried", async || attempts.lock().expect("no holder panics").len() >= 5).await;
    let attempts = attempts.lock().expect("no holder panics").clone();
    assert!(attempts[4] - attempts[3] > Duration::from_millis(300), "they come less and less often");
    assert_eq!(world.number("realtime_bus_connected").await, 0.0);
    assert_eq!(world.number("realtime_bus_reconnects_total").await, 0.0);
    bus.tap(|_| Ok(()));
    eventually("it is back", async || world.number("realtime_bus_reconnects_total").await == 1.0).await;
    world.stop().await;
}

// Nodes of version 1.0 request what they miss.
#[tokio::test]
async fn a_snapshot_that_an_older_node_requests_is_published() {
    const REQUEST_SNAPSHOT: u8 = 4;
    const SNAPSHOT: u8 = 3;
    let (world, broker, bus) = tapped().await;
    let (mut ann, _) = member(&world, "ann").await;
    track(&mut ann, json!({})).await;
    let published: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let kept = Arc::clone(&published);
    bus.tap(move |request| {
        if let BusRequest::Send(commands) = request {
            for command in *commands {
                if let Command::Store { message, .. } = command {
                    kept.lock().expect("no holder panics").push(message.clone());
                }
            }
        }
        Ok::<(), BusError>(())
    });
    let (mut older, _inbox) = broker.connect(hub::NodeId::new(7)).await.expect("a connection");
    for of in [None, Some(world.node().id)] {
        let of: Vec<u8> = of.iter().flat_map(|of| of.get().to_be_bytes()).collect();
        let message = [&[1, REQUEST_SNAPSHOT, 0, 0, 0, 0, 0, 0, 0, 7], &of[..]].concat();
        let channel = Channel::Room(NAME.into());
        older.send(vec![Command::Publish { channel, message: message.into() }]).await.expect("sent");
        eventually("the snapshot is published", async || {
            let published = std::mem::take(&mut *published.lock().expect("no holder panics"));
            published.iter().any(|message| message[1] == SNAPSHOT)
        })
        .await;
    }
    world.stop().await;
}
