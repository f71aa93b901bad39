//! What the link does in one poll. Connections of the same thread wait as long as that lasts.
//!
//! All tasks of these servers and of a test share one thread: what happens between two polls of a task of the test happens
//! in one poll of the link.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use harness::{Request, World, eventually};
use hub::{
    Bounds, Burst, Dialect, Frame, Group, Member, Membership, MemoryKind, Outbox, PresenceEntry, Receives,
    TenantMemory,
};
use realtime_server::bus::{self, Broker, Command};
use serde_json::json;

use super::tapped::{BusRequest, Tapped};
use super::{join_locally, wait_for_nodes};

const LEASE: Duration = Duration::from_secs(60);
const INBOX: Bounds = Bounds { frames: 10_000, bytes: 1 << 26 };

/// What one room shows.
const SHOWN: usize = 300_000;

/// A batch, and one room: what is stored of it, and the message.
const BATCH_MAX: usize = 256 * 1024 + 2 * (SHOWN + 1_000);

/// Calls it after each poll of another task, until it returns `true`.
async fn each_poll(mut is_done: impl FnMut() -> bool) {
    poll_fn(|cx| {
        if is_done() {
            return Poll::Ready(());
        }
        // Not a yield: that would last until new input is looked for, after polls of others.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn the_presence_that_is_published_at_once_is_bounded() {
    const ROOMS: usize = 40;
    let bus = Tapped::over(Broker::new(LEASE, INBOX));
    let world = World::on(bus.clone(), |_| {}).await;
    wait_for_nodes(&world, 1).await;
    let (all, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (all_sent, most_sent) = (Arc::clone(&all), Arc::clone(&most));
    bus.tap(move |request| {
        if let BusRequest::Send(commands) = request {
            let bytes = commands.iter().map(Command::len).sum();
            all_sent.fetch_add(bytes, Ordering::Relaxed);
            most_sent.fetch_max(bytes, Ordering::Relaxed);
        }
        Ok(())
    });
    let members: Vec<_> = (0..ROOMS).map(|n| join_locally(&world.node().hub, &format!("room {n}"))).collect();
    for member in &members {
        member.track(PresenceEntry { key: "ann".into(), meta: "x".repeat(SHOWN).into() });
    }
    eventually("all is published", async || all.load(Ordering::Relaxed) >= 2 * ROOMS * SHOWN).await;
    let most = most.load(Ordering::Relaxed);
    assert!(most <= BATCH_MAX, "{most} bytes were sent at once");
    world.stop().await;
}

#[tokio::test]
async fn presence_of_more_than_a_batch_is_charged_to_its_tenant_until_it_is_stored() {
    let bus = Tapped::over(Broker::new(LEASE, INBOX));
    let world = World::on(bus.clone(), |_| {}).await;
    wait_for_nodes(&world, 1).await;
    let member = join_locally(&world.node().hub, "room");
    let used = {
        let tenant = world.node().tenants.get("default").expect("the tenant of the room");
        move || tenant.memory.used(MemoryKind::Presence)
    };
    assert_eq!(used(), 0, "the member has an account of its own");
    let (most, used_while_sent) = (Arc::new(AtomicUsize::new(0)), used.clone());
    let most_used = Arc::clone(&most);
    bus.tap(move |request| {
        if matches!(request, BusRequest::Send(_)) {
            most_used.fetch_max(used_while_sent(), Ordering::Relaxed);
        }
        Ok(())
    });
    let charged = || most.swap(0, Ordering::Relaxed) >= 3 * SHOWN;
    member.track(PresenceEntry { key: "ann".into(), meta: "x".repeat(SHOWN).into() });
    eventually("a change is charged", async || charged()).await;
    eventually("it is stored", async || used() == 0).await;
    bus.broker().disconnect(world.node().id);
    eventually("the whole is charged over the next connection", async || charged()).await;
    eventually("it is stored", async || used() == 0).await;
    drop(member);
    world.stop().await;
}

// All of them open before the link has its next poll.
#[tokio::test]
async fn the_rooms_that_are_subscribed_to_at_once_are_bounded() {
    const ROOMS: usize = 3 * bus::BATCH_MAX;
    let bus = Tapped::over(Broker::new(LEASE, INBOX));
    let world = World::on(bus.clone(), |_| {}).await;
    wait_for_nodes(&world, 1).await;
    let (all, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (all_subscribed, most_subscribed) = (Arc::clone(&all), Arc::clone(&most));
    bus.tap(move |request| {
        if let BusRequest::Subscribe(rooms) = request {
            all_subscribed.fetch_add(rooms.len(), Ordering::Relaxed);
            most_subscribed.fetch_max(rooms.len(), Ordering::Relaxed);
        }
        Ok(())
    });
    let members: Vec<_> = (0..ROOMS).map(|n| join_locally(&world.node().hub, &format!("room {n}"))).collect();
    eventually("all are subscribed to", async || all.load(Ordering::Relaxed) == ROOMS).await;
    let most = most.load(Ordering::Relaxed);
    assert!(most <= bus::BATCH_MAX, "{most} rooms were subscribed to at once");
    drop(members);
    world.stop().await;
}

/// A member of a room on this node, and its outbox.
fn joined(world: &World, topic: &str) -> (Membership, Arc<Outbox>) {
    let outbox = Arc::new(Outbox::new(Bounds { frames: 100, bytes: 1 << 20 }, TenantMemory::unlimited()));
    let member = Member {
        outbox: Arc::clone(&outbox),
        dialect: Dialect::new(0),
        group: Group::DEFAULT,
        receives: Receives::Everything,
    };
    let key = hub::RoomKey {
        tenant: "default".into(),
        space: hub::Space::Phoenix,
        privacy: hub::Privacy::Public,
        topic: topic.into(),
    };
    (world.node().hub.join(key, member, &Frame::new("joined".into(), 0)), outbox)
}

fn take_frames(outbox: &Outbox) -> usize {
    let mut burst = Burst::default();
    outbox.take(&mut burst, Waker::noop());
    std::iter::from_fn(|| burst.pop()).count()
}

#[tokio::test]
async fn the_messages_that_are_delivered_in_one_poll_are_bounded() {
    const ROOMS: usize = 200;
    const MEMBERS: usize = 100;
    const DELIVERED_MAX: usize = ROOMS / 2;
    let broker = Broker::new(LEASE, INBOX);
    let (one, two) = (World::on(broker.clone(), |_| {}).await, World::on(broker.clone(), |_| {}).await);
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let members: Vec<Vec<_>> = (0..ROOMS)
        .map(|room| (0..MEMBERS).map(|_| joined(&two, &format!("room {room}"))).collect())
        .collect();
    let last = format!("default:phoenix:public:room {}", ROOMS - 1);
    eventually("the rooms are subscribed to", async || broker.subscribers(&last) == 1).await;
    let first_members: Vec<_> = members.iter().map(|room| Arc::clone(&room[0].1)).collect();
    eventually("all have joined", async || first_members.iter().map(|it| take_frames(it)).sum::<usize>() > 0)
        .await;

    let messages: Vec<_> =
        (0..ROOMS).map(|n| json!({"topic": format!("room {n}"), "event": "e", "payload": {}})).collect();
    let delivered = tokio::spawn(async move {
        let (mut total, mut most) = (0, 0);
        each_poll(|| {
            let now = first_members.iter().map(|it| take_frames(it)).sum();
            (total, most) = (total + now, most.max(now));
            total >= ROOMS
        })
        .await;
        most
    });
    let token = one.token(harness::Token::Valid);
    let post = Request::post("/api/broadcast").bearer(&token).json(&json!({"messages": messages}));
    assert_eq!(one.send(post).await.status, 202);
    let most = delivered.await.expect("all are delivered");
    assert!(most <= DELIVERED_MAX, "{most} messages were delivered in one poll");
    drop(members);
    one.stop().await;
    two.stop().await;
}
