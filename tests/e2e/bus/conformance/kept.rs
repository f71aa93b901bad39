//! Messages that a bus keeps of a room: their order, their bounds, and how they are read.

use std::time::Duration;

use hub::HistoryBounds;
use realtime_server::bus::{EntryPosition, EntryToKeep, KeptEntry};

use super::*;

const BOUNDS: HistoryBounds = HistoryBounds { messages: 4, bytes: 100, age: Duration::from_secs(60) };

fn keep(room: &str, text: &str, messages: u32, bounds: HistoryBounds) -> Command {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Command::Keep { room: room.into(), entry: EntryToKeep { message, messages, lost_at: 7, bounds } }
}

impl Node {
    async fn keep(&mut self, room: &str, text: &str, bounds: HistoryBounds) {
        let rejected = self.connection.send(vec![keep(room, text, 1, bounds)]).await.expect("sent");
        assert_eq!(rejected, []);
    }
}

async fn read(bus: &dyn Bus, room: &str, before: Option<EntryPosition>, count: usize) -> Vec<KeptEntry> {
    timeout(WAIT_MAX, bus.kept(&room.into(), before, count)).await.expect("in time").expect("read")
}

/// What a room keeps, the oldest entry first.
async fn kept(bus: &dyn Bus, room: &str) -> Vec<String> {
    let entries = read(bus, room, None, 100).await;
    entries.iter().rev().map(|entry| String::from_utf8_lossy(&entry.message).into_owned()).collect()
}

#[tokio::test]
async fn entries_of_all_nodes_are_kept_in_one_order_and_read_in_pages() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        ann.keep("a", "1", BOUNDS).await;
        bob.keep("a", "2", BOUNDS).await;
        bob.keep("b", "x", BOUNDS).await;
        ann.keep("a", "\r\n3\0", BOUNDS).await;
        assert_eq!(kept(&*bus, "a").await, ["1", "2", "\r\n3\0"]);
        assert_eq!(kept(&*bus, "b").await, ["x"]);
        assert_eq!(kept(&*bus, "c").await, [""; 0]);
        let newest = read(&*bus, "a", None, 2).await;
        assert_eq!((newest.len(), newest[0].lost_at), (2, 7));
        let rest = read(&*bus, "a", Some(newest[1].position), 2).await;
        assert_eq!((rest.len(), &*rest[0].message), (1, &b"1"[..]));
        assert!(rest[0].position < newest[1].position && newest[1].position < newest[0].position);
        assert_eq!(read(&*bus, "a", Some(rest[0].position), 2).await, []);
    }
}

#[tokio::test]
async fn what_is_kept_precedes_the_message_that_is_published_after_it() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        bob.subscribe(&["a"]).await;
        for number in 0..50 {
            let text = number.to_string();
            let commands = vec![keep("a", &text, 1, BOUNDS), publish_command("a", &text)];
            let sent = ann.connection.send(commands);
            assert_eq!(bob.receive(1).await, [format!("a: {text}")]);
            assert_eq!(kept(&*bus, "a").await.last(), Some(&text), "as soon as it is received");
            sent.await.expect("sent");
        }
    }
}

#[tokio::test]
async fn a_room_keeps_its_newest_entries_within_the_bounds() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let mut ann = connect(&*bus, ANN).await;
        for number in 0..9 {
            ann.keep("count", &number.to_string(), BOUNDS).await;
        }
        assert_eq!(kept(&*bus, "count").await, ["5", "6", "7", "8"]);
        // Entries of several messages go as a whole, when the rest is enough.
        for text in ["three", "two"] {
            let entry = keep("groups", text, if text == "two" { 2 } else { 3 }, BOUNDS);
            ann.connection.send(vec![entry]).await.expect("sent");
        }
        assert_eq!(kept(&*bus, "groups").await, ["three", "two"]);
        ann.connection.send(vec![keep("groups", "more", 2, BOUNDS)]).await.expect("sent");
        assert_eq!(kept(&*bus, "groups").await, ["two", "more"]);

        for letter in ["a", "b", "c"] {
            ann.keep("bytes", &letter.repeat(40), BOUNDS).await;
        }
        assert_eq!(kept(&*bus, "bytes").await, ["b".repeat(40), "c".repeat(40)]);
        ann.keep("bytes", &"d".repeat(100), BOUNDS).await;
        assert_eq!(kept(&*bus, "bytes").await, ["d".repeat(100)]);
        ann.keep("bytes", &"e".repeat(101), BOUNDS).await;
        assert_eq!(kept(&*bus, "bytes").await, [""; 0], "and what precedes it");
        ann.keep("bytes", "f", BOUNDS).await;
        assert_eq!(kept(&*bus, "bytes").await, ["f"]);
    }
}

#[tokio::test]
async fn entries_are_kept_until_they_are_too_old() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let mut ann = connect(&*bus, ANN).await;
        ann.keep("a", "old", BOUNDS).await;
        let short = HistoryBounds { age: Duration::from_millis(1), ..BOUNDS };
        // The clock of Redis has to go on by more than the age.
        eventually("the first one is dropped", async || {
            ann.keep("a", "new", short).await;
            !kept(&*bus, "a").await.contains(&"old".to_owned())
        })
        .await;
    }
}

#[tokio::test]
async fn in_redis_nothing_outlives_the_age_and_other_types_are_replaced() {
    let redis = Redis::start().await;
    let kind = Kind::Redis(redis);
    let bus = kind.bus(LONG_LEASE);
    let Kind::Redis(redis) = &kind else { unreachable!() };
    let mut ann = connect(&*bus, ANN).await;
    redis.run("SET realtime:history:a other").await;
    ann.keep("a", "1", BOUNDS).await;
    assert_eq!(kept(&*bus, "a").await, ["1"]);
    let left: u64 = redis.ask(&["PTTL", "realtime:history:a"]).await;
    assert!((1..=60_000).contains(&left), "{left}");
    // The connection that reads is opened again.
    assert_eq!(redis.kill_connections("realtime-server:history").await, 1);
    assert_eq!(kept(&*bus, "a").await, ["1"]);
}

#[tokio::test]
async fn what_redis_refuses_to_keep_is_published_nevertheless() {
    let redis = Redis::start().await;
    redis.run("ACL SETUSER default -eval").await;
    let kind = Kind::Redis(redis);
    let bus = kind.bus(LONG_LEASE);
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    bob.subscribe(&["a"]).await;
    let commands = vec![keep("a", "1", 3, BOUNDS), publish_command("a", "1")];
    let rejected = ann.connection.send(commands).await.expect("sent");
    assert!(matches!(&rejected[0].rejection, BusRejection::NotKept { messages: 3, .. }), "{rejected:?}");
    assert_eq!(rejected.len(), 1);
    assert_eq!(bob.receive(1).await, ["a: 1"]);
}
