//! Broadcasts from one node are delivered by the others.

use std::collections::HashMap;
use std::time::Duration;

use harness::{Client, Conversation, Frame, Redis, Request, Token, World, eventually};
use serde_json::{Value, json};

use super::{CHANNEL, NAME, ROOM, at, on, send_broadcast, two, wait_for_nodes};

#[tokio::test]
async fn a_broadcast_is_delivered_on_every_node_in_every_dialect() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    Conversation::among([&one, &two])
        .check(
            r#"
            ann, carl (node 2), dora (v1) (node 2) join realtime:room
            ann > ["1","2","realtime:room","broadcast",{"event":"hi","payload":{"n":1},"type":"broadcast"}]
            carl < [null,null,"realtime:room","broadcast",{"event":"hi","payload":{"n":1},"type":"broadcast"}]
            dora < {"topic":"realtime:room","event":"broadcast","payload":{"event":"hi","payload":{"n":1},"type":"broadcast"},"ref":null}
            ann > binary 03 01 01 0d 02 00 01 '13realtime:roomhi' '{"n":2}'
            carl < binary 04 0d 02 00 01 'realtime:roomhi' '{"n":2}'
            carl > ["1","2","realtime:room","broadcast",{"event":"yo","payload":{},"type":"broadcast"}]
            ann < [null,null,"realtime:room","broadcast",{"event":"yo","payload":{},"type":"broadcast"}]
            bob (node 2) joins realtime:other
            ann > ["1","3","realtime:room","broadcast",{"event":"end","payload":{},"type":"broadcast"}]
            carl < [null,null,"realtime:room","broadcast",{"event":"end","payload":{},"type":"broadcast"}]
            bob is quiet
            "#,
        )
        .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn broadcasts_over_http_are_delivered_on_every_node() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let mut received = Conversation::among([&one, &two]);
    received.check("bob (node 2), dora (node 2) (v1) join realtime:room").await;
    // The node that takes the request has no members in the room.
    received
        .check(r#"POST /api/broadcast {"messages":[{"topic":"room","event":"e","payload":{"a":1}}]} -> 202"#)
        .await;
    received.check(r#"bob < [null,null,"realtime:room","broadcast",{"event":"e","payload":{"a":1},"type":"broadcast"}]"#).await;
    let single = Request::post("/api/broadcast/room/events/bytes").bearer(&one.token(Token::Valid));
    let answer =
        one.send(single.header("content-type", "application/octet-stream").body([0, 159, 255])).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let Frame::Binary(bytes) = received.client("bob").next().await else {
        panic!("bytes are delivered as bytes")
    };
    assert!(bytes.ends_with(&[0, 159, 255]), "{bytes:?}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn the_order_of_a_sender_holds_on_every_node() {
    const MESSAGES: u64 = 1_000;
    let redis = Redis::start().await;
    let (one, two) = two(|settings: &mut settings::Settings| {
        on(&redis)(settings);
        settings.limits.max_events_per_second = crate::count(1_000_000);
    })
    .await;
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for world in [&one, &two] {
        senders.push(joined(world).await);
        receivers.push(joined(world).await);
    }
    let mut sending = Vec::new();
    for (number, mut sender) in senders.into_iter().enumerate() {
        sending.push(tokio::spawn(async move {
            for n in 0..MESSAGES {
                send_broadcast(&mut sender, json!({"from": number, "n": n})).await;
                if n % 50 == 0 {
                    // Both send at the same time, and receive from each other.
                    sender.received().await;
                }
            }
            sender
        }));
    }
    for receiver in &mut receivers {
        let mut next: HashMap<u64, u64> = HashMap::new();
        for _ in 0..2 * MESSAGES {
            let frame = receiver.next_json().await;
            let payload = &frame[4]["payload"];
            let next = next.entry(payload["from"].as_u64().expect("a sender")).or_default();
            assert_eq!(payload["n"], *next);
            *next += 1;
        }
    }
    for sending in sending {
        drop(sending.await.expect("a sender"));
    }
    one.stop().await;
    two.stop().await;
}

async fn joined(world: &World) -> Client {
    let mut client = world.connect().await;
    client.join(ROOM, json!({})).await;
    client
}

#[tokio::test]
async fn a_node_listens_to_a_room_while_it_has_members_there() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    assert_eq!(redis.subscribers(CHANNEL).await, 0);
    let mut ann = joined(&one).await;
    assert_eq!(redis.subscribers(CHANNEL).await, 1);
    let _bob = joined(&one).await;
    let carl = joined(&two).await;
    assert_eq!(redis.subscribers(CHANNEL).await, 2);
    let channels: Vec<String> = redis.ask(&["PUBSUB", "CHANNELS", "*"]).await;
    assert_eq!(channels.len(), 2, "the room and the channel of all nodes: {channels:?}");
    drop(carl);
    eventually("the second node has unsubscribed", async || redis.subscribers(CHANNEL).await == 1).await;
    ann.push("9", ROOM, "phx_leave", &json!({})).await;
    ann.received().await;
    assert_eq!(redis.subscribers(CHANNEL).await, 1, "Bob is still there");
    one.stop().await;
    two.stop().await;
    assert_eq!(redis.subscribers(CHANNEL).await, 0);
}

#[tokio::test]
async fn a_client_that_rejoins_at_once_finds_the_room_still_subscribed() {
    let redis = Redis::start().await;
    let (one, two) = two(|settings: &mut settings::Settings| {
        on(&redis)(settings);
        settings.bus.linger = Duration::from_secs(60);
    })
    .await;
    drop(joined(&two).await);
    let mut ann = joined(&one).await;
    eventually("the room has closed on the second node", async || two.number("realtime_rooms").await == 0.0)
        .await;
    assert_eq!(redis.subscribers(CHANNEL).await, 2);
    let mut bob = joined(&two).await;
    send_broadcast(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    one.stop().await;
    two.stop().await;
}

// Without waiting for the subscription some of these are lost: a reply takes microseconds, Redis does not.
#[tokio::test]
async fn the_first_to_join_on_a_node_misses_nothing_after_the_reply() {
    let redis = Redis::start().await;
    let proxy = harness::ChaosProxy::to(redis.address()).await;
    proxy.delay(Duration::from_millis(5));
    let one = World::with(on(&redis)).await;
    let two = one.beside(at(&redis, proxy.address())).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (mut ann, mut bob) = (one.connect().await, two.connect().await);
    for n in 0..30 {
        let topic = format!("realtime:room {n}");
        ann.join(&topic, json!({})).await;
        bob.join(&topic, json!({})).await;
        let call = json!({"type": "broadcast", "event": "e", "payload": {"n": n}});
        let broadcast = json!([(n + 1).to_string(), "2", topic, "broadcast", call]);
        ann.send_json(&broadcast).await;
        assert_eq!(bob.next_json().await[4]["payload"]["n"], n);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_join_does_not_wait_long_for_a_subscription() {
    let redis = Redis::start().await;
    let proxy = harness::ChaosProxy::to(redis.address()).await;
    let world = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.subscribe_timeout = Duration::from_millis(100);
    })
    .await;
    wait_for_nodes(&world, 1).await;
    proxy.stick();
    let mut ann = joined(&world).await;
    let mut bob = joined(&world).await;
    send_broadcast(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    proxy.mend();
    world.stop().await;
}

// A broadcast waits until the bus has taken the ones before it. A join does not wait behind them.
#[tokio::test]
async fn a_join_does_not_wait_long_behind_queued_broadcasts() {
    let redis = Redis::start().await;
    let proxy = harness::ChaosProxy::to(redis.address()).await;
    let world = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.subscribe_timeout = Duration::from_millis(100);
        settings.bus.timeout = Duration::from_secs(60);
    })
    .await;
    wait_for_nodes(&world, 1).await;
    let mut ann = joined(&world).await;
    proxy.stick();
    for _ in 0..20 {
        send_broadcast(&mut ann, json!("x".repeat(300_000))).await;
    }
    ann.settle().await;
    let mut bob = world.connect().await;
    bob.join("realtime:another", json!({})).await;
    assert_eq!(world.number("realtime_bus_connected").await, 1.0, "the connection is not given up");
    proxy.mend();
    world.stop().await;
}

// While nodes are replaced by those of another version, both are there.
#[tokio::test]
async fn unreadable_messages_are_counted_and_disturb_no_client() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let (mut ann, mut bob) = (joined(&one).await, joined(&two).await);
    for message in ["\u{2}\u{1}of another version", "", "\u{1}"] {
        let received: usize = redis.ask(&["PUBLISH", CHANNEL, message]).await;
        assert_eq!(received, 2);
    }
    let _: usize = redis.ask(&["PUBLISH", "realtime:nodes", "an unknown word"]).await;
    send_broadcast(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    for world in [&one, &two] {
        eventually("it is counted", async || world.number("realtime_bus_unread_total").await == 4.0).await;
    }
    one.stop().await;
    two.stop().await;
}

// The names of channels hold what clients choose.
#[tokio::test]
async fn a_topic_cannot_name_another_room() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let odd = format!("realtime:{NAME}\r\n* ?[a]👋");
    let (mut ann, mut bob, mut carl) = (one.connect().await, two.connect().await, joined(&two).await);
    ann.join(&odd, json!({})).await;
    bob.join(&odd, json!({})).await;
    let broadcast = json!(["1", "2", odd, "broadcast", {"type": "broadcast", "event": "e", "payload": {}}]);
    ann.send_json(&broadcast).await;
    let received: Value = bob.next_json().await;
    assert_eq!(received[2], odd);
    carl.expect_quiet().await;
    one.stop().await;
    two.stop().await;
}
