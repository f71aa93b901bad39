//! Messages lost between nodes are counted, each once: by the node that did not hand it over, or by the one
//! that did not get it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{ChaosProxy, Client, Frame, Redis, Request, Token, World, eventually};
use hub::Bounds;
use realtime_server::bus::{Broker, Bus as _, BusError, Channel, Command};
use serde_json::{Value, json};
use settings::Settings;
use tokio::task::AbortHandle;

use super::tapped::{BusRequest, Tapped};
use super::{ROOM, at, on, send_broadcast, two, wait_for_disconnect, wait_for_nodes};

/// Where messages come from outside, on a node without members.
const OUTSIDE: &str = "realtime:outside";

async fn joined(world: &World, topic: &str) -> Client {
    let mut client = world.connect().await;
    client.join(topic, json!({})).await;
    client
}

/// Counts the broadcasts that a client receives, until it is dropped.
struct Counting {
    count: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Counting {
    fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn counting(mut client: Client) -> Counting {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let task = tokio::spawn(async move {
        loop {
            let received = client.received().await;
            let broadcasts =
                received.iter().filter(|frame| matches!(frame, Frame::Json(it) if it[3] == "broadcast"));
            counted.fetch_add(broadcasts.count() as u64, Ordering::Relaxed);
        }
    });
    Counting { count, task: task.abort_handle() }
}

async fn post(world: &World, payload: Value) {
    let body = json!({"messages": [{"topic": "outside", "event": "said", "payload": {"said": payload}}]});
    let request = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
    let answer = world.send(request.header("content-type", "application/json").body(body.to_string())).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Pseudo-random numbers, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Sends many broadcasts while connections are closed at any moment, on either side. `CHAOS_SEED` repeats what was closed when.
async fn chaos(change: impl Fn(&mut Settings)) {
    const STEPS: u64 = 60;
    const MESSAGES: u64 = 20;
    let seed = std::env::var("CHAOS_SEED").map_or_else(
        |_not_set| RandomState::new().hash_one(()),
        |seed| seed.parse().expect("`CHAOS_SEED` is a number"),
    );
    eprintln!("CHAOS_SEED={seed}");
    let mut chance = Chance(seed);
    let redis = Redis::start().await;
    let (mut worlds, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let proxy = ChaosProxy::to(redis.address()).await;
        let world = World::with(|settings| {
            at(&redis, proxy.address())(settings);
            settings.limits.max_events_per_second = crate::count(1_000_000);
            change(settings);
        })
        .await;
        worlds.push(world);
        proxies.push(proxy);
    }
    for world in &worlds {
        wait_for_nodes(world, 3).await;
    }
    let mut ann = joined(&worlds[0], ROOM).await;
    let mut delivered = Vec::new();
    for world in &worlds[1..] {
        delivered.push([counting(joined(world, ROOM).await), counting(joined(world, OUTSIDE).await)]);
    }
    let total = |counts: &[Counting; 2]| counts.iter().map(Counting::get).sum::<u64>();
    send_broadcast(&mut ann, json!("first")).await;
    post(&worlds[0], json!("first")).await;
    eventually("both have received it", async || delivered.iter().all(|counts| total(counts) == 2)).await;
    let mut sent = 2;
    for _ in 0..STEPS {
        let broken = chance.next(MESSAGES);
        for n in 0..MESSAGES {
            if n == broken {
                match chance.next(6) {
                    0 => drop(redis.kill_connections("realtime-server:publish").await),
                    1 => drop(redis.kill_connections("realtime-server:subscribe").await),
                    2 => drop(redis.kill_connections("realtime-server:read").await),
                    node => proxies[node as usize - 3].cut(),
                }
            }
            send_broadcast(&mut ann, json!(n)).await;
            post(&worlds[0], json!(n)).await;
            sent += 2;
        }
        proxies.iter().for_each(ChaosProxy::mend);
        ann.settle().await;
        if chance.next(3) == 0 {
            for world in &worlds {
                wait_for_nodes(world, 3).await;
            }
        }
    }
    let unsent = async || worlds[0].number("realtime_bus_unsent_total").await;
    for (world, delivered) in worlds[1..].iter().zip(&delivered) {
        let mut last = Value::Null;
        eventually("everything is delivered or counted", async || {
            let missed = world.number("realtime_bus_missed_total").await;
            let now = json!({"delivered": total(delivered), "missed": missed, "unsent": unsent().await, "sent": sent});
            if last != now {
                eprintln!("{now}");
                last = now;
            }
            total(delivered) as f64 + missed + unsent().await == sent as f64
        })
        .await;
    }
    drop(delivered);
    for world in worlds {
        world.stop().await;
    }
}

#[tokio::test]
async fn each_message_is_delivered_or_counted_whichever_connection_is_closed() {
    chaos(|_| {}).await;
}

#[tokio::test]
async fn what_does_not_fit_into_a_queue_is_counted_as_well() {
    chaos(|settings| settings.bus.max_frames = std::num::NonZeroU32::new(4).expect("not zero")).await;
}

/// Waits until every node has renewed its lease, and so has published to the others.
async fn wait_for_lease_renewals(redis: &Redis) {
    let leases = redis.keys("realtime:lease:*").await;
    for lease in leases {
        let mut last = i64::MAX;
        eventually("the lease is renewed", async || {
            let left: i64 = redis.ask(&["PTTL", &lease]).await;
            left > std::mem::replace(&mut last, left)
        })
        .await;
    }
}

// Nothing else is sent in the room, before or after.
#[tokio::test]
async fn messages_of_a_quiet_room_are_counted_by_a_node_that_was_disconnected() {
    let redis = Redis::start().await;
    let quick = |settings: &mut Settings| settings.bus.lease = Duration::from_secs(1);
    let one = World::with(|settings| {
        on(&redis)(settings);
        quick(settings);
    })
    .await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let two = one
        .beside(|settings| {
            at(&redis, proxy.address())(settings);
            quick(settings);
        })
        .await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (mut ann, _bob) = (joined(&one, ROOM).await, joined(&two, ROOM).await);
    let (_carl, _dora) = (joined(&one, OUTSIDE).await, joined(&two, OUTSIDE).await);
    wait_for_lease_renewals(&redis).await;
    for round in 1..4 {
        proxy.cut();
        wait_for_disconnect(&two).await;
        for n in 0..5 {
            send_broadcast(&mut ann, json!(n)).await;
        }
        let published = f64::from(round) * 5.0;
        eventually("they are published", async || {
            one.number("realtime_bus_published_total").await == published
        })
        .await;
        proxy.mend();
        eventually("it is counted", async || two.number("realtime_bus_missed_total").await == published)
            .await;
    }
    assert_eq!(one.number("realtime_bus_missed_total").await, 0.0);
    one.stop().await;
    two.stop().await;
}

// Messages published before this node had a member in the room are not missed either.
#[tokio::test]
async fn messages_of_a_room_without_members_are_not_missed() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    let mut ann = joined(&one, ROOM).await;
    for round in 0..3 {
        for n in 0..5 {
            send_broadcast(&mut ann, json!(n)).await;
        }
        eventually("they are published", async || one.number("realtime_bus_published_total").await >= 5.0)
            .await;
        let bob = joined(&two, ROOM).await;
        wait_for_lease_renewals(&redis).await;
        assert!(redis.kill_connections("realtime-server:subscribe").await > 0);
        let before = f64::from(round) + 1.0;
        for world in [&one, &two] {
            eventually("it is back", async || world.number("realtime_bus_reconnects_total").await == before)
                .await;
        }
        wait_for_lease_renewals(&redis).await;
        assert_eq!(two.number("realtime_bus_missed_total").await, 0.0);
        drop(bob);
        eventually("the room is left", async || redis.subscribers(super::CHANNEL).await == 1).await;
    }
    one.stop().await;
    two.stop().await;
}

/// The NUMBERED kind of messages between nodes, and their bytes without an event.
const NUMBERED: u8 = 6;
const COUNT_BYTES: usize = 26;

/// What is published in rooms from now on.
fn room_messages(bus: &Tapped) -> Arc<Mutex<Vec<Bytes>>> {
    let messages: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let sent = Arc::clone(&messages);
    bus.tap(move |request| {
        if let BusRequest::Send(commands) = request {
            for command in *commands {
                if let Command::Publish { channel: Channel::Room(_), message } = command {
                    sent.lock().expect("no holder panics").push(message.clone());
                }
            }
        }
        Ok::<(), BusError>(())
    });
    messages
}

/// How many of these are counts without an event.
fn counts(messages: &Mutex<Vec<Bytes>>) -> usize {
    let messages = messages.lock().expect("no holder panics");
    messages.iter().filter(|it| it[1] == NUMBERED && it.len() == COUNT_BYTES).count()
}

// Until it announces that it can read sequence numbers. It would lose messages that it cannot read.
#[tokio::test]
async fn a_node_of_an_older_version_is_sent_no_numbers() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker.clone());
    let one = World::on(bus.clone(), |_| {}).await;
    wait_for_nodes(&one, 1).await;
    let messages = room_messages(&bus);
    let (mut connection, _inbox) = broker.connect(hub::NodeId::new(7)).await.expect("a connection");
    let mut ann = joined(&one, ROOM).await;
    for (text, expected) in [
        (None, NUMBERED),
        (Some(r#"{"from":7,"said":"Hello"}"#), 1),
        (Some(r#"{"from":7,"said":"Hello","streams":1}"#), NUMBERED),
    ] {
        if let Some(text) = text {
            let message = text.as_bytes().to_vec().into();
            connection.send(vec![Command::Publish { channel: Channel::Nodes, message }]).await.expect("sent");
        }
        eventually("messages are encoded as the other node can read them", async || {
            send_broadcast(&mut ann, json!(1)).await;
            ann.settle().await;
            messages.lock().expect("no holder panics").last().is_some_and(|last| last[1] == expected)
        })
        .await;
    }
    one.stop().await;
}

// A count that may not be sent yet is sent when it may.
#[tokio::test]
async fn requested_counts_are_sent_once_all_nodes_can_read_them() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker.clone());
    let one = World::on(bus.clone(), |_| {}).await;
    wait_for_nodes(&one, 1).await;
    let messages = room_messages(&bus);
    let (mut connection, _inbox) = broker.connect(hub::NodeId::new(7)).await.expect("a connection");
    let mut publish = |text: &'static str| {
        let message = text.as_bytes().into();
        connection.send(vec![Command::Publish { channel: Channel::Nodes, message }])
    };
    let mut ann = joined(&one, ROOM).await;
    publish(r#"{"from":7,"said":"Hello"}"#).await.expect("sent");
    publish(r#"{"from":7,"said":{"Count":{"since_ms":60000}}}"#).await.expect("sent");
    for n in 0..50 {
        send_broadcast(&mut ann, json!(n)).await;
        publish(r#"{"from":7,"said":{"Count":{"since_ms":60000}}}"#).await.expect("sent");
        ann.settle().await;
    }
    assert_eq!(counts(&messages), 0);
    publish(r#"{"from":7,"said":"Told","streams":1}"#).await.expect("sent");
    eventually("the count is sent", async || counts(&messages) == 1).await;
    one.stop().await;
}

// When Redis is back, every node requests counts of every other, and each answer has an entry per room.
#[tokio::test]
async fn many_requests_for_counts_have_one_answer() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker.clone());
    let one = World::on(bus.clone(), |_| {}).await;
    wait_for_nodes(&one, 1).await;
    let messages = room_messages(&bus);
    let (mut connection, _inbox) = broker.connect(hub::NodeId::new(7)).await.expect("a connection");
    let mut ann = joined(&one, ROOM).await;
    send_broadcast(&mut ann, json!("first")).await;
    ann.settle().await;
    let begun = Instant::now();
    for _ in 0..200 {
        let message = br#"{"from":7,"said":{"Count":{"since_ms":60000}},"streams":1}"#.as_slice().into();
        connection.send(vec![Command::Publish { channel: Channel::Nodes, message }]).await.expect("sent");
        ann.settle().await;
    }
    eventually("they are answered", async || counts(&messages) > 0).await;
    assert!(counts(&messages) as u64 <= begun.elapsed().as_secs() + 2, "{}", counts(&messages));
    one.stop().await;
}
