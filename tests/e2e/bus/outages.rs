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

use super::tapped::{Asked, Tapped};
use super::{CHANNEL, ROOM, at, guest, hears, member, misses, on, say, shows, track, two};

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
        hears(world, 2).await;
    }
    nodes.try_into().expect("two nodes")
}

/// What a client heard being said, up to now.
async fn said(client: &mut Client) -> Vec<Value> {
    let heard = client.received().await.into_iter();
    let said = heard.filter_map(|frame| match frame {
        Frame::Json(frame) if frame[3] == "broadcast" => Some(frame[4]["payload"].clone()),
        _ => None,
    });
    said.collect()
}

#[tokio::test]
async fn while_the_bus_is_away_every_node_does_its_work_alone() {
    let redis = Redis::start().await;
    let [(one, proxy), (two, _whole)] = with_proxies(&redis, |_| {}).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&one, "bob").await);
    let (mut carl, _) = member(&two, "carl").await;
    proxy.cut();
    misses(&one).await;
    say(&mut ann, json!("during an outage")).await;
    assert_eq!(bob.next_json().await[4]["payload"], "during an outage");
    // A room opens without waiting for anybody.
    let mut dora = one.connect().await;
    dora.join("realtime:new", json!({})).await;
    let ready = one.send(Request::get("/readyz")).await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("degraded")));
    assert!(one.number("realtime_bus_unsent_total").await >= 1.0);

    proxy.mend();
    hears(&one, 2).await;
    eventually("the room is listened to again", async || redis.subscribers(CHANNEL).await == 2).await;
    assert_eq!(redis.subscribers("realtime:room:default:phoenix:public:new").await, 1);
    say(&mut ann, json!("in the light")).await;
    // Broadcasts that were missed stay missed.
    assert_eq!(carl.next_json().await[4]["payload"], "in the light");
    assert_eq!(one.number("realtime_bus_reconnects_total").await, 1.0);
    assert_eq!(one.send(Request::get("/readyz")).await.json()["status"], "ready");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn members_that_joined_or_left_during_an_outage_are_known_afterwards() {
    let redis = Redis::start().await;
    let [(one, first), (two, second)] = with_proxies(&redis, |_| {}).await;
    // One of the proxies, the other, both; each time different people come and go.
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
        shows(&one, &all).await;
        shows(&two, &all).await;
        shows_in(&one, "realtime:alone", &["alone"]).await;

        proxies.iter().for_each(|proxy| proxy.cut());
        for (world, proxy) in [(&one, &first), (&two, &second)] {
            if proxies.iter().any(|cut| std::ptr::eq(*cut, proxy)) {
                misses(world).await;
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
            hears(world, 2).await;
            shows(world, &[key("stays"), key("other"), key("comes")]).await;
        }
        shows_in(&one, "realtime:alone", &[""; 0]).await;
        drop((stays, other, comes, watcher));
        shows(&one, &[""; 0]).await;
        shows(&two, &[""; 0]).await;
    }
    one.stop().await;
    two.stop().await;
}

async fn shows_in(world: &World, topic: &str, keys: &[&str]) {
    eventually("the room shows who is there", async || {
        let mut client = world.connect().await;
        client.join(topic, json!({"presence": {"key": "look", "enabled": true}})).await;
        let state = client.next_json().await;
        let shown = state[4].as_object().expect("a state");
        shown.len() == keys.len() && keys.iter().all(|key| shown.contains_key(*key))
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
            say(&mut ann, json!(round * 50 + n)).await;
            if n == 25 {
                proxy.mend();
            }
        }
        track(&mut ann, json!({"round": round})).await;
        // Nothing of it is lost where it was said, and its order holds.
        while next < (round + 1) * 50 {
            for heard in said(&mut bob).await {
                assert_eq!(heard, next);
                next += 1;
            }
        }
        ann.received().await;
    }
    for world in [&one, &two] {
        hears(world, 2).await;
        shows(world, &["ann", "carl"]).await;
    }
    // What came through is in order, too.
    say(&mut ann, json!(999_999)).await;
    let mut last = -1;
    while last < 999_999 {
        for heard in said(&mut carl).await {
            let heard = heard.as_i64().expect("a number");
            assert!(heard > last, "{heard} after {last}");
            last = heard;
        }
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_stuck_is_noticed() {
    let redis = Redis::start().await;
    let [(one, proxy), (two, _whole)] = with_proxies(&redis, |settings| {
        settings.bus.timeout = Duration::from_millis(300);
        settings.bus.lease = Duration::from_secs(1);
    })
    .await;
    let (mut ann, _) = member(&one, "ann").await;
    track(&mut ann, json!({})).await;
    shows(&two, &["ann"]).await;
    proxy.stick();
    misses(&one).await;
    // The others take it for dead, and see it come to life again.
    shows(&two, &[""; 0]).await;
    proxy.mend();
    hears(&one, 2).await;
    shows(&two, &["ann"]).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_was_on_its_way_when_the_connection_broke_counts_as_unconfirmed() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let world = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.timeout = Duration::from_millis(300);
    })
    .await;
    hears(&world, 1).await;
    let (mut ann, _) = member(&world, "ann").await;
    say(&mut ann, json!("told")).await;
    eventually("it is told", async || world.number("realtime_bus_published_total").await == 1.0).await;
    proxy.stick();
    for n in 0..3 {
        say(&mut ann, json!(n)).await;
    }
    misses(&world).await;
    assert_eq!(world.number("realtime_bus_unconfirmed_total").await, 3.0);
    assert_eq!(world.number("realtime_bus_unsent_total").await, 0.0);
    assert_eq!(world.number("realtime_bus_published_total").await, 1.0);
    world.stop().await;
}

// More than go into one request, and with much in them.
#[tokio::test]
async fn a_node_with_many_rooms_tells_all_of_them_over_its_next_connection() {
    const ROOMS: usize = 2 * BATCH_MAX + 100;
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let show = |world: &World, key: &str| {
        let hub = Arc::clone(&world.node().hub);
        let meta = json!({"phx_ref": key, "picture": "x".repeat(10_000)}).to_string();
        let entry = PresenceEntry { key: key.into(), meta: meta.into() };
        let guests = (0..ROOMS).map(|n| guest(&hub, &format!("room {n}")));
        guests.inspect(|guest| guest.track(entry.clone())).collect::<Vec<_>>()
    };
    let _guests = (show(&one, "ann"), show(&two, "bob"));
    let all_shown = async || redis.keys("realtime:shown:*").await.len() == 2 * ROOMS;
    eventually("everything is shown", all_shown).await;
    redis.kill_subscribers().await;
    for world in [&one, &two] {
        eventually("it has come back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
            .await;
    }
    eventually("the old accounts are removed, and everything is shown again", async || {
        redis.keys("realtime:lease:*").await.len() == 2 && all_shown().await
    })
    .await;
    for world in [&one, &two] {
        shows_in(world, &format!("realtime:room {}", ROOMS - 1), &["ann", "bob"]).await;
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0, "it held");
    }
    one.stop().await;
    two.stop().await;
}

// A bug, whatever it is.
#[tokio::test]
async fn a_panic_in_the_link_costs_one_connection() {
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let bus = Tapped::over(broker.clone());
    let one = World::on(bus.clone(), |_| {}).await;
    let two = World::on(broker, |_| {}).await;
    hears(&one, 2).await;
    hears(&two, 2).await;
    let (mut bob, _) = member(&two, "bob").await;
    track(&mut bob, json!({})).await;
    shows(&one, &["bob"]).await;
    let is_broken = Arc::new(AtomicBool::new(true));
    let breaks = Arc::clone(&is_broken);
    bus.tap(move |asked| match asked {
        Asked::Subscribe(_) if breaks.load(Ordering::Relaxed) => panic!("as a test has it"),
        Asked::Connect | Asked::Send(_) | Asked::Check | Asked::Subscribe(_) => Ok(()),
    });
    // As long as it panics, the node works alone.
    for topic in ["realtime:a", "realtime:b"] {
        let mut ann = one.connect().await;
        ann.join(topic, json!({})).await;
    }
    misses(&one).await;
    assert_eq!(one.send(Request::get("/readyz")).await.json()["status"], "degraded");
    is_broken.store(false, Ordering::Relaxed);
    hears(&one, 2).await;
    shows(&one, &["bob"]).await;
    let (mut ann, _) = member(&one, "ann").await;
    bob.received().await;
    eventually("messages reach the other node", async || {
        say(&mut ann, json!("back")).await;
        !said(&mut bob).await.is_empty()
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
    let guests: Vec<_> = (0..ROOMS).map(|n| guest(&one.node().hub, &format!("room {n}"))).collect();
    for guest in &guests {
        let meta = json!({"phx_ref": "1", "picture": "x".repeat(100_000)}).to_string();
        guest.track(PresenceEntry { key: "ann".into(), meta: meta.into() });
    }
    let all_stored = async || redis.keys("realtime:shown:*").await.len() == ROOMS;
    eventually("everything is stored", all_stored).await;
    for proxy in [&first, &second] {
        proxy.cut();
        proxy.limit_bandwidth(4_000_000);
    }
    misses(&one).await;
    misses(&two).await;
    let _watchers: Vec<_> = (0..ROOMS).map(|n| guest(&two.node().hub, &format!("room {n}"))).collect();
    for proxy in [&first, &second] {
        proxy.mend();
    }
    for world in [&one, &two] {
        hears(world, 2).await;
    }
    eventually("the old snapshots are removed, and everything is stored again", all_stored).await;
    for n in 0..ROOMS {
        shows_in(&two, &format!("realtime:room {n}"), &["ann"]).await;
    }
    for world in [&one, &two] {
        assert_eq!(world.number("realtime_bus_reconnects_total").await, 1.0, "it held");
    }
    drop(guests);
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
        hears(world, 2).await;
        shows(world, &["ann"]).await;
    }
    bob.received().await;
    say(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    one.stop().await;
    two.stop().await;
}
