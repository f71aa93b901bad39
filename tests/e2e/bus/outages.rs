//! Connections are lost and restored: local traffic goes on, and afterwards presence is complete and has no stale entries.

mod empty_redis;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{ChaosProxy, Client, Frame, Redis, RedisOptions, Request, World, eventually};
use hub::{Bounds, PresenceEntry};
use realtime_server::bus::{BATCH_MAX, Broker};
use serde_json::{Value, json};
use settings::Settings;

use super::tapped::{BusRequest, Tapped};
use super::{
    CHANNEL, ROOM, at, join_locally, member, on, send_broadcast, track, two, wait_for_disconnect,
    wait_for_nodes, wait_for_presence,
};

/// Two nodes, each with a connection of its own.
async fn with_proxies(redis: &Redis, change: impl Fn(&mut Settings)) -> [(World, ChaosProxy); 2] {
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let proxy = ChaosProxy::to(redis.address()).await;
        let world = World::with(|settings| {
            at(redis, proxy.address())(settings);
            change(settings);
        })
        .await;
        nodes.push((world, proxy));
    }
    for (world, _) in &nodes {
        wait_for_nodes(world, 2).await;
    }
    nodes.try_into().expect("two nodes")
}

/// The payloads of the broadcasts that a client has received up to now.
async fn broadcasts(client: &mut Client) -> Vec<Value> {
    let received = client.received().await.into_iter();
    let payloads = received.filter_map(|frame| match frame {
        Frame::Json(frame) if frame[3] == "broadcast" => Some(frame[4]["payload"].clone()),
        _ => None,
    });
    payloads.collect()
}

#[tokio::test]
async fn without_the_bus_every_node_serves_its_own_clients() {
    let redis = Redis::start().await;
    let [(one, proxy), (two, _whole)] = with_proxies(&redis, |_| {}).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&one, "bob").await);
    let (mut carl, _) = member(&two, "carl").await;
    proxy.cut();
    wait_for_disconnect(&one).await;
    send_broadcast(&mut ann, json!("during an outage")).await;
    assert_eq!(bob.next_json().await[4]["payload"], "during an outage");
    // A room opens without waiting for the bus.
    let mut dora = one.connect().await;
    dora.join("realtime:new", json!({})).await;
    let ready = one.send(Request::get("/readyz")).await;
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "degraded", "degraded": ["bus"]})));
    assert!(one.number("realtime_bus_unsent_total").await >= 1.0);

    proxy.mend();
    wait_for_nodes(&one, 2).await;
    eventually("the room is subscribed again", async || redis.subscribers(CHANNEL).await == 2).await;
    assert_eq!(redis.subscribers("realtime:room:default:phoenix:public:new").await, 1);
    send_broadcast(&mut ann, json!("after the outage")).await;
    // Broadcasts that were missed stay missed.
    assert_eq!(carl.next_json().await[4]["payload"], "after the outage");
    assert_eq!(one.number("realtime_bus_reconnects_total").await, 1.0);
    assert_eq!(one.send(Request::get("/readyz")).await.json()["status"], "ready");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn members_that_joined_or_left_during_an_outage_are_reconciled_afterwards() {
    let redis = Redis::start().await;
    let [(one, first), (two, second)] = with_proxies(&redis, |_| {}).await;
    // One of the proxies, the other, both; each time with different members.
    for (round, proxies) in [vec![&first], vec![&second], vec![&first, &second]].into_iter().enumerate() {
        let key = |who: &str| format!("{who} {round}");
        let (mut stays, _) = member(&one, &key("stays")).await;
        let (mut goes, _) = member(&one, &key("goes")).await;
        let (mut other, _) = member(&two, &key("other")).await;
        for client in [&mut stays, &mut goes, &mut other] {
            track(client, json!({"round": round})).await;
        }
        // In a room of its own, which closes during an outage.
        let mut alone = two.connect().await;
        alone.join("realtime:alone", json!({"presence": {"key": "alone", "enabled": true}})).await;
        let call = json!({"type": "presence", "event": "track", "payload": {}});
        alone.push("2", "realtime:alone", "presence", &call).await;
        let mut watcher = one.connect().await;
        watcher.join("realtime:alone", json!({"presence": {"key": "watcher", "enabled": true}})).await;
        let all = [key("stays"), key("goes"), key("other")];
        wait_for_presence(&one, &all).await;
        wait_for_presence(&two, &all).await;
        wait_for_presence_in(&one, "realtime:alone", &["alone"]).await;

        proxies.iter().for_each(|proxy| proxy.cut());
        for (world, proxy) in [(&one, &first), (&two, &second)] {
            if proxies.iter().any(|cut| std::ptr::eq(*cut, proxy)) {
                wait_for_disconnect(world).await;
            }
        }
        drop(goes);
        drop(alone);
        let (mut comes, _) = member(&two, &key("comes")).await;
        track(&mut comes, json!({"round": round})).await;
        track(&mut stays, json!({"round": round, "changed": true})).await;
        eventually("they have gone", async || one.number("realtime_members").await == 2.0).await;
        eventually("the room has closed", async || two.number("realtime_rooms").await == 1.0).await;
        proxies.iter().for_each(|proxy| proxy.mend());
        for world in [&one, &two] {
            wait_for_nodes(world, 2).await;
            wait_for_presence(world, &[key("stays"), key("other"), key("comes")]).await;
        }
        wait_for_presence_in(&one, "realtime:alone", &[""; 0]).await;
        drop((stays, other, comes, watcher));
        wait_for_presence(&one, &[""; 0]).await;
        wait_for_presence(&two, &[""; 0]).await;
    }
    one.stop().await;
    two.stop().await;
}

async fn wait_for_presence_in(world: &World, topic: &str, keys: &[&str]) {
    eventually("the room's presence is complete", async || {
        let mut client = world.connect().await;
        client.join(topic, json!({"presence": {"key": "look", "enabled": true}})).await;
        let state = client.next_json().await;
        let tracked = state[4].as_object().expect("a state");
        tracked.len() == keys.len() && keys.iter().all(|key| tracked.contains_key(*key))
    })
    .await;
}

#[tokio::test]
async fn traffic_goes_on_while_the_connection_is_cut_again_and_again() {
    let redis = Redis::start().await;
    let [(one, first), (two, second)] = with_proxies(&redis, |settings| {
        settings.limits.max_events_per_second = crate::count(1_000_000);
    })
    .await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&one, "bob").await);
    let (mut carl, _) = member(&two, "carl").await;
    track(&mut carl, json!({})).await;
    let mut next = 0;
    for round in 0..6 {
        let proxy = if round % 2 == 0 { &first } else { &second };
        proxy.cut();
        for n in 0..50 {
            send_broadcast(&mut ann, json!(round * 50 + n)).await;
            if n == 25 {
                proxy.mend();
            }
        }
        track(&mut ann, json!({"round": round})).await;
        // No message is lost on the node that sent it, and the order holds.
        while next < (round + 1) * 50 {
            for payload in broadcasts(&mut bob).await {
                assert_eq!(payload, next);
                next += 1;
            }
        }
        ann.received().await;
    }
    for world in [&one, &two] {
        wait_for_nodes(world, 2).await;
        wait_for_presence(world, &["ann", "carl"]).await;
    }
    // What came through is in order, too.
    send_broadcast(&mut ann, json!(999_999)).await;
    let mut last = -1;
    while last < 999_999 {
        for payload in broadcasts(&mut carl).await {
            let payload = payload.as_i64().expect("a number");
            assert!(payload > last, "{payload} after {last}");
            last = payload;
        }
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_stuck_connection_is_detected() {
    let redis = Redis::start().await;
    let [(one, proxy), (two, _whole)] = with_proxies(&redis, |settings| {
        settings.bus.timeout = Duration::from_millis(300);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    let (mut ann, _) = member(&one, "ann").await;
    track(&mut ann, json!({})).await;
    wait_for_presence(&two, &["ann"]).await;
    proxy.stick();
    wait_for_disconnect(&one).await;
    // Its lease expires for the other node, which then receives its presence again.
    wait_for_presence(&two, &[""; 0]).await;
    proxy.mend();
    wait_for_nodes(&one, 2).await;
    wait_for_presence(&two, &["ann"]).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn messages_in_flight_on_a_lost_connection_count_as_unconfirmed() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let world = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.timeout = Duration::from_millis(300);
    })
    .await;
    wait_for_nodes(&world, 1).await;
    let (mut ann, _) = member(&world, "ann").await;
    send_broadcast(&mut ann, json!("first")).await;
    eventually("it is published", async || world.number("realtime_bus_published_total").await == 1.0).await;
    proxy.stick();
    for n in 0..3 {
        send_broadcast(&mut ann, json!(n)).await;
    }
    wait_for_disconnect(&world).await;
    assert_eq!(world.number("realtime_bus_unconfirmed_total").await, 3.0);
    assert_eq!(world.number("realtime_bus_unsent_total").await, 0.0);
    assert_eq!(world.number("realtime_bus_published_total").await, 1.0);
    world.stop().await;
}

// More than go into one request, and with much in them.
#[tokio::test]
async fn a_node_with_many_rooms_stores_all_of_them_over_its_next_connection() {
    const ROOMS: usize = 2 * BATCH_MAX + 100;
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let track_all = |world: &World, key: &str| {
        let hub = Arc::clone(&world.node().hub);
        let meta = json!({"phx_ref": key, "picture": "x".repeat(10_000)}).to_string();
        let entry = PresenceEntry { key: key.into(), meta: meta.into() };
        let local_members = (0..ROOMS).map(|n| join_locally(&hub, &format!("room {n}")));
        local_members.inspect(|local_member| local_member.track(entry.clone())).collect::<Vec<_>>()
    };
    let _local_members = (track_all(&one, "ann"), track_all(&two, "bob"));
    let all_stored = async || redis.keys("realtime:shown:*").await.len() == 2 * ROOMS;
    eventually("everything is stored", all_stored).await;
    redis.kill_subscribers().await;
    for world in [&one, &two] {
        eventually("it has come back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
            .await;
    }
    eventually("the old snapshots are removed, and everything is stored again", async || {
        redis.keys("realtime:lease:*").await.len() == 2 && all_stored().await
    })
    .await;
    for world in [&one, &two] {
        wait_for_presence_in(world, &format!("realtime:room {}", ROOMS - 1), &["ann", "bob"]).await;
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0, "it held");
    }
    one.stop().await;
    two.stop().await;
}

// As after a bug in the link.
#[tokio::test]
async fn a_panic_in_the_link_costs_one_connection() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker.clone());
    let one = World::on(bus.clone(), |_| {}).await;
    let two = World::on(broker, |_| {}).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    let (mut bob, _) = member(&two, "bob").await;
    track(&mut bob, json!({})).await;
    wait_for_presence(&one, &["bob"]).await;
    let is_broken = Arc::new(AtomicBool::new(true));
    let breaks = Arc::clone(&is_broken);
    bus.tap(move |asked| match asked {
        BusRequest::Subscribe(_) if breaks.load(Ordering::Relaxed) => panic!("as a test has it"),
        BusRequest::Connect | BusRequest::Send(_) | BusRequest::Check | BusRequest::Subscribe(_) => Ok(()),
    });
    // As long as it panics, each new connection ends when the room of this member is to be subscribed to.
    let mut carl = one.connect().await;
    carl.join("realtime:a", json!({})).await;
    eventually("it is degraded", async || {
        one.send(Request::get("/readyz")).await.json()["status"] == "degraded"
    })
    .await;
    is_broken.store(false, Ordering::Relaxed);
    wait_for_nodes(&one, 2).await;
    wait_for_presence(&one, &["bob"]).await;
    let (mut ann, _) = member(&one, "ann").await;
    bob.received().await;
    eventually("messages reach the other node", async || {
        send_broadcast(&mut ann, json!("back")).await;
        !broadcasts(&mut bob).await.is_empty()
    })
    .await;
    one.stop().await;
    two.stop().await;
}

// A node that has this much to store needs longer than `bus.timeout` for all of it, and less for each part.
#[tokio::test]
async fn much_presence_is_shared_over_a_slow_connection() {
    const ROOMS: usize = 60;
    let redis = Redis::start().await;
    let [(one, first), (two, second)] = with_proxies(&redis, |settings| {
        settings.bus.timeout = Duration::from_secs(1);
        settings.bus.lease = Duration::from_secs(6);
    })
    .await;
    let local_members: Vec<_> =
        (0..ROOMS).map(|n| join_locally(&one.node().hub, &format!("room {n}"))).collect();
    for local_member in &local_members {
        let meta = json!({"phx_ref": "1", "picture": "x".repeat(100_000)}).to_string();
        local_member.track(PresenceEntry { key: "ann".into(), meta: meta.into() });
    }
    let all_stored = async || redis.keys("realtime:shown:*").await.len() == ROOMS;
    eventually("everything is stored", all_stored).await;
    for proxy in [&first, &second] {
        proxy.cut();
        proxy.limit_bandwidth(4_000_000);
    }
    wait_for_disconnect(&one).await;
    wait_for_disconnect(&two).await;
    let _watchers: Vec<_> = (0..ROOMS).map(|n| join_locally(&two.node().hub, &format!("room {n}"))).collect();
    for proxy in [&first, &second] {
        proxy.mend();
    }
    for world in [&one, &two] {
        wait_for_nodes(world, 2).await;
    }
    eventually("the old snapshots are removed, and everything is stored again", all_stored).await;
    for n in 0..ROOMS {
        wait_for_presence_in(&two, &format!("realtime:room {n}"), &["ann"]).await;
    }
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0, "it held");
    }
    drop(local_members);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_connection_that_redis_ends_is_made_again() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    assert_eq!(redis.kill_subscribers().await, 2);
    for world in [&one, &two] {
        eventually("it has come back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
            .await;
        wait_for_nodes(world, 2).await;
        wait_for_presence(world, &["ann"]).await;
    }
    bob.received().await;
    send_broadcast(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    one.stop().await;
    two.stop().await;
}
