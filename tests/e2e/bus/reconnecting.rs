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

use super::tapped::{Asked, Tapped};
use super::{NAME, guest, hears, member, track};

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
    hears(&world, 1).await;
    (world, broker, bus)
}

/// Cuts the connection and waits for the next.
async fn reconnect(world: &World, broker: &Broker) {
    let before = world.number("realtime_bus_reconnects_total").await;
    broker.cut(world.node().id);
    eventually("there is a new connection", async || {
        world.number("realtime_bus_reconnects_total").await > before
    })
    .await;
}

// News of a room that nobody has been told of over this connection are no news: what was taken while there was none
// is not in them. Published like that, they make a copy that lacks whoever was there before, at the newest position.
#[tokio::test]
async fn what_is_shown_over_a_new_connection_is_whole_from_the_first_word() {
    let (world, broker, bus) = tapped().await;
    let (mut ann, _) = member(&world, "ann").await;
    track(&mut ann, json!({})).await;
    let hub = Arc::clone(&world.node().hub);
    let first: Arc<Mutex<Option<SnapshotChange>>> = Arc::default();
    let (shown, mut bob) = (Arc::clone(&first), None);
    bus.tap(move |asked| {
        match asked {
            Asked::Connect => {
                let bob = bob.insert(guest(&hub, "room"));
                bob.track(PresenceEntry { key: "bob".into(), meta: "{}".into() });
                *shown.lock().expect("nobody panics") = None;
            }
            Asked::Send(commands) => {
                for command in *commands {
                    if let Command::Store { room, change, .. } = command {
                        assert_eq!(&**room, NAME);
                        shown.lock().expect("nobody panics").get_or_insert_with(|| change.clone());
                    }
                }
            }
            Asked::Subscribe(_) | Asked::Check => {}
        }
        Ok::<(), BusError>(())
    });
    for _ in 0..ROUNDS {
        reconnect(&world, &broker).await;
        eventually("it is shown", async || first.lock().expect("nobody panics").is_some()).await;
        let first = first.lock().expect("nobody panics").take();
        let Some(SnapshotChange::Replace(whole)) = first else { panic!("{first:?} is not the whole") };
        assert_eq!(whole.entries.len(), 2);
    }
    world.stop().await;
}

// Nobody would ever leave it again, and whoever has it in its list would be asked for it over every connection.
#[tokio::test]
async fn a_room_that_closes_before_it_is_listened_to_again_is_not() {
    let (world, broker, bus) = tapped().await;
    let hub = Arc::clone(&world.node().hub);
    let visitor: Arc<Mutex<Option<Membership>>> = Arc::default();
    let (inside, mut said) = (Arc::clone(&visitor), 0);
    bus.tap(move |asked| {
        match asked {
            Asked::Connect => said = 0,
            // It greets the others, lists its rooms, and says who its users are.
            Asked::Send(_) => {
                said += 1;
                if said == 2 {
                    drop(inside.lock().expect("nobody panics").take());
                }
            }
            Asked::Subscribe(_) | Asked::Check => {}
        }
        Ok::<(), BusError>(())
    });
    for _ in 0..ROUNDS {
        *visitor.lock().expect("nobody panics") = Some(guest(&hub, "room"));
        eventually("it is listened to", async || broker.subscribers(NAME) == 1).await;
        reconnect(&world, &broker).await;
        eventually("the room has closed", async || world.number("realtime_rooms").await == 0.0).await;
        eventually("nobody listens to it", async || broker.subscribers(NAME) == 0).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_room_that_closes_before_it_is_heard_of_is_left_all_the_same() {
    let (world, broker, bus) = tapped().await;
    let hub = Arc::clone(&world.node().hub);
    let mut visitor = None;
    bus.tap(move |asked| {
        match asked {
            Asked::Connect => visitor = Some(guest(&hub, "room")),
            Asked::Subscribe(rooms) if rooms.iter().any(|room| &**room == NAME) => drop(visitor.take()),
            Asked::Subscribe(_) | Asked::Send(_) | Asked::Check => {}
        }
        Ok::<(), BusError>(())
    });
    for _ in 0..ROUNDS {
        reconnect(&world, &broker).await;
        eventually("the room has closed", async || world.number("realtime_rooms").await == 0.0).await;
        eventually("nobody listens to it", async || broker.subscribers(NAME) == 0).await;
    }
    world.stop().await;
}

// Perhaps it is lost because of what is told or read over it. Then the next one will be, too.
#[tokio::test]
async fn a_connection_that_is_lost_right_away_is_one_more_failed_attempt() {
    let (world, broker, bus) = tapped().await;
    let attempts: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let tried = Arc::clone(&attempts);
    bus.tap(move |asked| match asked {
        Asked::Connect => {
            tried.lock().expect("nobody panics").push(Instant::now());
            Ok(())
        }
        Asked::Subscribe(_) | Asked::Check => Ok(()),
        Asked::Send(_) => Err(BusError::Closed),
    });
    broker.cut(world.node().id);
    eventually("it was tried", async || attempts.lock().expect("nobody panics").len() >= 5).await;
    let attempts = attempts.lock().expect("nobody panics").clone();
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
    bus.tap(move |asked| {
        if let Asked::Send(commands) = asked {
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
