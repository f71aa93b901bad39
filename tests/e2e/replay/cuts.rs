//! A client whose connection is cut at random misses nothing and receives nothing twice, as long as rooms keep what it
//! misses: it names the last messages that it has received.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{ChaosProxy, Client, Dialect, Endpoint, Frame, Redis, Token, World};
use serde_json::{Value, json};
use settings::{History, Settings};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{ROOM, history};
use crate::bus::{on, two};
use crate::count;

/// How long connections are cut.
const TIME: Duration = Duration::from_secs(6);

/// The messages that the client names, as many as it may. The newer half are those of 750 ms of two senders: longer than a message
/// takes to the other node on a busy machine.
const NAMED: usize = 100;

/// How often a sender sends. Rooms keep the messages of fifteen seconds of two senders, longer than a client is away.
const PACE: Duration = Duration::from_millis(30);

/// Random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    /// Prints the seed. That of `REPLAY_SEED` is used if there is one.
    fn new() -> Random {
        let given = std::env::var("REPLAY_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("REPLAY_SEED={seed}");
        Random(seed)
    }

    /// A number below `max`.
    fn below(&mut self, max: u64) -> u64 {
        // A linear congruential generator, of which the upper bits are good enough.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % max
    }
}

/// Sends numbered messages until it is stopped, and returns how many.
fn sender(world: &World, name: &'static str, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (world, stop) = (world.behind(world.endpoint()), Arc::clone(stop));
    tokio::spawn(async move {
        let mut client = world.connect().await;
        client.join(ROOM, json!({"broadcast": {"ack": true}})).await;
        let (mut sent, mut pace) = (0, interval(PACE));
        // No more messages at once after the machine has stood still.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            sent += 1;
            let payload = json!({"type": "broadcast", "event": name, "payload": {"n": sent}});
            client.push("9", ROOM, "broadcast", &payload).await;
            while client.next_json().await[3] != "phx_reply" {}
        }
        sent
    })
}

/// What a client has received, over many connections.
#[derive(Default)]
struct Received {
    /// The senders and their numbers.
    messages: Vec<(String, u64)>,
    /// The ids of the last ones.
    ids: VecDeque<String>,
}

impl Received {
    fn note(&mut self, payload: &Value) {
        assert_ne!(payload["message"], "Earlier messages may be missing");
        if let (Some(event), Some(n)) = (payload["event"].as_str(), payload["payload"]["n"].as_u64()) {
            self.messages.push((event.to_owned(), n));
            self.ids.push_back(payload["meta"]["id"].as_str().expect("an id").to_owned());
            if self.ids.len() > NAMED {
                self.ids.pop_front();
            }
        }
    }

    /// Joins, and receives until `until`, or until the connection is over.
    async fn receive(&mut self, client: &mut Client, until: Instant) {
        let replay =
            if self.ids.is_empty() { json!({"since": 0, "limit": 1000}) } else { json!({"after": self.ids}) };
        let config = json!({"broadcast": {"replay": replay}});
        client.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
        while Instant::now() < until {
            match client.next().await {
                Frame::Json(message) => {
                    assert_ne!(message["payload"]["status"], "error", "{message}");
                    self.note(&message["payload"]);
                }
                frame if Client::is_over(&frame) => return,
                other => panic!("{other}"),
            }
        }
    }

    /// Joins a last time, and receives until there are `all` messages, and what follows them.
    async fn receive_rest(&mut self, client: &mut Client, all: u64) {
        let config = json!({"broadcast": {"replay": {"after": self.ids}}});
        client.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
        while (self.messages.len() as u64) < all {
            self.note(&client.next_json().await["payload"]);
        }
        for frame in client.received().await {
            let Frame::Json(message) = frame else { panic!("{frame}") };
            self.note(&message["payload"]);
        }
    }

    /// Every message of each sender was received once, and in order.
    fn check(&self, sender: &str, sent: u64) {
        let of_sender = self.messages.iter().filter(|(name, _)| name == sender);
        let numbers: Vec<u64> = of_sender.map(|(_, n)| *n).collect();
        let wrong = (1..).zip(&numbers).find(|(expected, n)| expected != *n);
        assert_eq!((numbers.len() as u64, wrong), (sent, None), "of {sender}");
    }
}

/// Cuts connections of a client that moves between `worlds`, in which `senders` send.
async fn check(worlds: &[&World], senders: &[(&World, &'static str)]) {
    let mut random = Random::new();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = senders.iter().map(|(world, name)| (*name, sender(world, name, &stop))).collect();
    let (mut received, mut cuts) = (Received::default(), 0);
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let world = worlds[random.below(worlds.len() as u64) as usize];
        let proxy = ChaosProxy::to(world.address()).await;
        let proxied = world.behind(Endpoint::at(proxy.address()));
        let mut client = proxied.connect_as(Dialect::V1, Token::Valid).await;
        let cut_after = Duration::from_millis(10 + random.below(150));
        let cut = tokio::spawn(async move {
            sleep(cut_after).await;
            proxy.cut();
        });
        received.receive(&mut client, end).await;
        cut.await.expect("no panic");
        cuts += 1;
        sleep(Duration::from_millis(random.below(100))).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for (name, sender) in senders {
        sent.push((name, sender.await.expect("no panic")));
    }
    let mut client = worlds[0].connect_as(Dialect::V1, Token::Valid).await;
    let all: u64 = sent.iter().map(|(_, sent)| sent).sum();
    received.receive_rest(&mut client, all).await;
    println!("{all} messages, {cuts} cuts");
    for (name, sent) in sent {
        received.check(name, sent);
    }
}

/// Rooms that keep as much as a client may be sent at once.
fn keeping(settings: &mut Settings) {
    let most = count(1_000);
    settings.broadcast.history = History { max_messages: most, max_replay: most, ..history() };
}

#[tokio::test]
async fn a_client_of_one_node_misses_nothing_and_receives_nothing_twice() {
    let world = World::with(keeping).await;
    check(&[&world], &[(&world, "ann"), (&world, "bob")]).await;
    world.stop().await;
}

// Each node receives its own messages first, so that two clients may receive them in different orders.
#[tokio::test]
async fn a_client_that_moves_between_two_nodes_misses_nothing_and_receives_nothing_twice() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings| {
        on(&redis)(settings);
        keeping(settings);
    })
    .await;
    check(&[&one, &two], &[(&one, "ann"), (&two, "bob")]).await;
    for world in [one, two] {
        world.stop().await;
    }
}
