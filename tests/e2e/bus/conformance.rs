//! What every bus must do. Each test runs on all implementations.

mod kept;
mod leases;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use harness::{ChaosProxy, Redis, WAIT_MAX, eventually};
use hub::{Bounds, MemoryKind, NodeId, TenantMemory};
use realtime_server::bus::{
    self, Arrival, BATCH_MAX, Broker, Bus, BusConnection, BusError, BusRejection, Channel, Command, Inbox,
    LargeRooms, ReceivedMessage, RoomName, SnapshotChange, StoredSnapshot, StoredSnapshots,
};
use tokio::time::timeout;

const ALL: Bounds = Bounds { frames: u32::MAX, bytes: usize::MAX };

const ANN: NodeId = NodeId::new(1);
const BOB: NodeId = NodeId::new(2);
const CARL: NodeId = NodeId::new(3);

/// Long enough for a slow machine, short enough to wait for.
const LEASE: Duration = Duration::from_millis(400);
const LONG_LEASE: Duration = Duration::from_secs(60);

/// How much may wait in the inbox of a node.
const INBOX: Bounds = Bounds { frames: 100_000, bytes: 1 << 26 };

/// An implementation.
enum Kind {
    Local,
    Redis(Redis),
}

impl Kind {
    async fn all() -> [Self; 2] {
        [Self::Local, Self::Redis(Redis::start().await)]
    }

    fn bus(&self, lease: Duration) -> Box<dyn Bus> {
        match self {
            Self::Local => Box::new(Broker::new(lease, INBOX)),
            Self::Redis(redis) => {
                let mut settings = settings::Bus { lease, ..settings::Bus::default() };
                settings.redis_url = Some(redis.url().into());
                Box::new(redis_bus(&settings))
            }
        }
    }
}

/// The bus over Redis that `settings` name.
fn redis_bus(settings: &settings::Bus) -> bus::Redis {
    bus::Redis::new(settings, INBOX).expect("settings that can be used").expect("an address")
}

/// A node's connection and inbox.
struct Node {
    connection: Box<dyn BusConnection>,
    inbox: Arc<Inbox>,
    messages: Vec<ReceivedMessage>,
}

async fn connect(bus: &dyn Bus, node: NodeId) -> Node {
    let (connection, inbox) = bus.connect(node).await.expect("a connection");
    Node { connection, inbox, messages: Vec::new() }
}

impl Node {
    async fn subscribe(&mut self, rooms: &[&str]) {
        self.connection.subscribe(&names(rooms)).await.expect("a subscription");
    }

    async fn publish(&mut self, room: &str, text: &str) {
        self.connection.send(vec![publish_command(room, text)]).await.expect("sent");
    }

    async fn store(&mut self, room: &str, change: SnapshotChange, text: &str) {
        let message = Bytes::copy_from_slice(text.as_bytes());
        let command = Command::Store { room: room.into(), change, message };
        self.connection.send(vec![command]).await.expect("sent");
    }

    /// The next `count` messages.
    async fn take(&mut self, count: usize) -> Vec<ReceivedMessage> {
        let take = async {
            while self.messages.len() < count {
                let arrivals = self.inbox.take(ALL).await.expect("the connection holds");
                self.messages.extend(arrivals.into_iter().map(|arrival| match arrival {
                    Arrival::Message(received) => received,
                    Arrival::Overflow(overflow) => panic!("dropped: {overflow:?}"),
                }));
            }
        };
        timeout(WAIT_MAX, take).await.expect("messages come");
        self.messages.drain(..count).collect()
    }

    /// The next `count` messages, as «room: text».
    async fn receive(&mut self, count: usize) -> Vec<String> {
        self.take(count).await.iter().map(describe).collect()
    }

    /// Receives nothing but the message that it publishes now.
    async fn receives_nothing(&mut self) {
        let end = Command::Publish { channel: Channel::Nodes, message: "end".into() };
        self.connection.send(vec![end]).await.expect("sent");
        assert_eq!(self.receive(1).await, ["all nodes: end"]);
    }

    /// The snapshots in the first of the rooms.
    async fn read(&mut self, rooms: &[RoomName]) -> Vec<StoredSnapshots> {
        self.connection.snapshots(rooms, LargeRooms::new(|_| None)).await.expect("snapshots").rooms
    }

    async fn snapshots(&mut self, room: &str) -> Vec<(NodeId, StoredSnapshot)> {
        let mut copies: Vec<_> = self.read(&names(&[room])).await.remove(0).expect("allowed");
        copies.sort_by_key(|(node, _)| *node);
        let copies = copies.into_iter().map(|(node, snapshot)| {
            let mut snapshot = snapshot.expect("nothing was evicted");
            snapshot.entries.sort();
            (node, snapshot)
        });
        copies.collect()
    }

    async fn alive(&mut self) -> Vec<NodeId> {
        let mut alive = self.connection.renew().await.expect("a lease").alive;
        alive.sort();
        alive
    }
}

fn names(rooms: &[&str]) -> Vec<RoomName> {
    rooms.iter().map(|room| (*room).into()).collect()
}

fn publish_command(room: &str, text: &str) -> Command {
    Command::Publish { channel: Channel::Room(room.into()), message: Bytes::copy_from_slice(text.as_bytes()) }
}

fn describe(received: &ReceivedMessage) -> String {
    let text = String::from_utf8_lossy(&received.message);
    match &received.channel {
        Channel::Room(room) => format!("{room}: {text}"),
        Channel::Nodes => format!("all nodes: {text}"),
    }
}

fn snapshot(position: &'static str, entries: &[(u64, &'static str)]) -> StoredSnapshot {
    let entries = entries.iter().map(|(id, entry)| (*id, Bytes::from(*entry))).collect();
    StoredSnapshot { position: position.into(), entries }
}

#[tokio::test]
async fn messages_reach_the_subscribers_of_a_room() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        bob.subscribe(&["a", "b"]).await;
        ann.publish("a", "1").await;
        ann.publish("c", "2").await;
        ann.publish("b", "3").await;
        assert_eq!(bob.receive(2).await, ["a: 1", "b: 3"]);
        ann.receives_nothing().await;
        assert_eq!(bob.receive(1).await, ["all nodes: end"]);

        bob.connection.unsubscribe(&names(&["a"])).await.expect("unsubscribed");
        ann.publish("a", "4").await;
        ann.publish("b", "5").await;
        assert_eq!(bob.receive(1).await, ["b: 5"]);
    }
}

#[tokio::test]
async fn a_subscriber_receives_its_own_messages() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let mut ann = connect(&*bus, ANN).await;
        ann.subscribe(&["a"]).await;
        ann.publish("a", "1").await;
        assert_eq!(ann.receive(1).await, ["a: 1"]);
    }
}

#[tokio::test]
async fn messages_arrive_in_the_order_in_which_they_are_handed_over() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        bob.subscribe(&["a"]).await;
        let mut answers = Vec::new();
        for batch in 0..200 {
            // The next batch is sent before the answer to this one.
            let commands = (0..50).map(|n| publish_command("a", &(batch * 50 + n).to_string())).collect();
            answers.push(ann.connection.send(commands));
        }
        for answer in answers {
            answer.await.expect("sent");
        }
        let expected: Vec<_> = (0..10_000).map(|n| format!("a: {n}")).collect();
        assert_eq!(bob.receive(10_000).await, expected);
    }
}

#[tokio::test]
async fn names_and_messages_may_be_of_any_kind() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let mut ann = connect(&*bus, ANN).await;
        let odd = "default:phoenix:public:a:b *?[]\\ \r\n\t\0 ünï👋 {tag}";
        ann.subscribe(&[odd, ""]).await;
        let message = Bytes::from((0..=255).cycle().take(300_000).collect::<Vec<u8>>());
        let channel = Channel::Room(odd.into());
        ann.connection
            .send(vec![
                Command::Publish { channel: channel.clone(), message: message.clone() },
                publish_command("", ""),
            ])
            .await
            .expect("sent");
        let received = ann.take(2).await;
        assert_eq!(received[0], ReceivedMessage { channel, message });
        assert_eq!(describe(&received[1]), ": ");
    }
}

#[tokio::test]
async fn changes_are_stored_and_published_at_once() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        let mut carl = connect(&*bus, CARL).await;
        bob.subscribe(&["a"]).await;
        ann.store("a", SnapshotChange::Replace(snapshot("p1", &[(1, "one"), (2, "two")])), "delta 1").await;
        assert_eq!(bob.receive(1).await, ["a: delta 1"]);
        assert_eq!(bob.snapshots("a").await, [(ANN, snapshot("p1", &[(1, "one"), (2, "two")]))]);

        let set = vec![(2, "zwei".into()), (3, "three".into())];
        ann.store(
            "a",
            SnapshotChange::Update { position: "p2".into(), set, removed: vec![1, 77] },
            "delta 2",
        )
        .await;
        assert_eq!(bob.receive(1).await, ["a: delta 2"]);
        assert_eq!(bob.snapshots("a").await, [(ANN, snapshot("p2", &[(2, "zwei"), (3, "three")]))]);

        bob.store("a", SnapshotChange::Replace(snapshot("q", &[(1, "bob")])), "mine").await;
        ann.store("a", SnapshotChange::Replace(snapshot("p3", &[(9, "nine")])), "whole").await;
        let expected = [(ANN, snapshot("p3", &[(9, "nine")])), (BOB, snapshot("q", &[(1, "bob")]))];
        assert_eq!(carl.snapshots("a").await, expected);
        assert_eq!(ann.snapshots("a").await, expected[1..], "its own it has");

        ann.store("a", SnapshotChange::Remove, "gone").await;
        assert_eq!(carl.snapshots("a").await, [(BOB, snapshot("q", &[(1, "bob")]))]);
        assert_eq!(ann.snapshots("b").await, []);
        assert_eq!(bob.receive(3).await, ["a: mine", "a: whole", "a: gone"]);
    }
}

#[tokio::test]
async fn snapshots_come_in_the_order_of_the_request() {
    for kind in Kind::all().await {
        let bus = kind.bus(LONG_LEASE);
        let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
        let rooms: Vec<RoomName> = (0..BATCH_MAX).map(|n| format!("room {n}").into()).collect();
        for room in rooms.iter().step_by(3) {
            let whole =
                StoredSnapshot { position: "p".into(), entries: vec![(1, Bytes::from(room.to_string()))] };
            ann.store(room, SnapshotChange::Replace(whole), "whole").await;
        }
        let copies = bob.read(&rooms).await;
        assert_eq!(copies.len(), rooms.len());
        for (n, (room, copies)) in rooms.iter().zip(copies).enumerate() {
            let stored: Vec<_> = copies
                .expect("allowed")
                .into_iter()
                .map(|(_, copy)| copy.expect("it exists").entries[0].1.clone())
                .collect();
            let expected = (n % 3 == 0).then(|| Bytes::from(room.to_string()));
            assert_eq!(stored, Vec::from_iter(expected), "{room}");
        }
    }
}

// Or what many rooms have would have to fit into memory at once.
#[tokio::test]
async fn snapshots_of_the_first_rooms_come_when_not_all_fit() {
    let kind = Kind::Redis(Redis::start().await);
    let bus = kind.bus(LONG_LEASE);
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    let sizes = [100_000, 50_000, 200_000, 1_000_000, 10];
    let rooms: Vec<RoomName> = (0..sizes.len()).map(|n| format!("room {n}").into()).collect();
    for (room, size) in rooms.iter().zip(sizes) {
        let whole = StoredSnapshot { position: "p".into(), entries: vec![(1, Bytes::from(vec![0; size]))] };
        ann.store(room, SnapshotChange::Replace(whole), "whole").await;
    }
    let mut answered = Vec::new();
    let mut next = 0;
    while next < rooms.len() {
        let snapshots = bob.read(&rooms[next..]).await;
        answered.push(snapshots.len());
        next += snapshots.len();
    }
    assert_eq!(answered, [2, 1, 1, 1]);
}

// Several at once would take more than is set aside for the link.
#[tokio::test]
async fn of_large_rooms_one_is_read_at_a_time_and_charged_until_it_is_dropped() {
    const LARGE: usize = 1_000_000;
    let kind = Kind::Redis(Redis::start().await);
    let bus = kind.bus(LONG_LEASE);
    let (mut ann, mut bob) = (connect(&*bus, ANN).await, connect(&*bus, BOB).await);
    for (room, size) in [("first", LARGE), ("second", LARGE), ("small", 10)] {
        let whole = StoredSnapshot { position: "p".into(), entries: vec![(1, Bytes::from(vec![0; size]))] };
        ann.store(room, SnapshotChange::Replace(whole), "whole").await;
    }
    let account = TenantMemory::unlimited();
    let of_all = Arc::clone(&account);
    let large = LargeRooms::new(move |_| Some(Arc::clone(&of_all)));
    let [first, second, small] =
        ["first", "second", "small"].map(|room| bob.connection.snapshots(&names(&[room]), large.clone()));
    let first = first.await.expect("snapshots");
    let charged = account.used(MemoryKind::Presence);
    assert!((2 * LARGE..3 * LARGE).contains(&charged), "{charged} bytes of {LARGE} are charged");
    let mut second = tokio::spawn(second);
    // The request for it follows that for the size of the second one.
    small.await.expect("a small room does not wait");
    let early = timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err(), "the second is read while the first is there");
    assert_eq!(account.used(MemoryKind::Presence), charged);
    drop(first);
    drop(second.await.expect("no panic").expect("snapshots"));
    assert_eq!(account.used(MemoryKind::Presence), 0);
}

#[tokio::test]
async fn a_refresh_reports_what_is_missing() {
    let kind = Kind::Redis(Redis::start().await);
    let (Kind::Redis(redis), bus) = (&kind, kind.bus(LONG_LEASE)) else { unreachable!("it is a Redis") };
    let mut ann = connect(&*bus, ANN).await;
    let rooms = names(&["a", "b", "c", "d"]);
    for room in &rooms {
        ann.store(room, SnapshotChange::Replace(snapshot("p", &[(1, "one")])), "whole").await;
    }
    for command in ["DEL realtime:present:b", "SET realtime:present:d nonsense"] {
        redis.run(command).await;
    }
    let snapshots = redis.keys("realtime:shown:*:c").await;
    let _: usize = redis.ask(&["DEL", &snapshots[0]]).await;
    let rejected = ann.connection.refresh(&rooms).await.expect("refreshed");
    let rejected: Vec<_> = rejected.iter().map(|it| (&*it.room, &it.rejection)).collect();
    let [("b", BusRejection::Missing), ("c", BusRejection::Missing), ("d", BusRejection::WrongType)] =
        rejected[..]
    else {
        panic!("{rejected:?}");
    };
    // It is listed again.
    let rejected = ann.connection.refresh(&rooms[..2]).await.expect("refreshed");
    assert_eq!(rejected, []);
}
