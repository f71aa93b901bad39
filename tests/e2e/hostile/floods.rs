//! Very many joins, rooms and clients.

use super::*;

/// Sends joins of `topics` in batches, reads the answers, and counts those that are ok.
async fn join_all(client: &mut Client, topics: std::ops::Range<u32>) -> usize {
    let (mut joined, topics) = (0, topics.collect::<Vec<_>>());
    for batch in topics.chunks(200) {
        for n in batch {
            client.send_text(format!(r#"["{n}","{n}","realtime:{n}","phx_join",{{"config":{{}}}}]"#)).await;
        }
        for n in batch {
            let reply = client.next_json().await;
            assert_eq!((&reply[1], &reply[3]), (&json!(n.to_string()), &json!("phx_reply")));
            joined += usize::from(reply[4]["status"] == "ok");
        }
    }
    joined
}

#[tokio::test]
async fn ten_thousand_joins_are_each_answered_and_all_but_a_hundred_refused() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    assert_eq!(join_all(&mut ann, 0..10_000).await, 100);
    ann.settle().await;
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn ten_thousand_rooms_of_one_client_end_with_its_connection() {
    let world = World::with(|settings| {
        settings.limits.max_channels_per_client = size(20_000);
        settings.limits.max_joins_per_second = count(20_000);
    })
    .await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    assert_eq!(join_all(&mut ann, 0..10_000).await, 10_000);
    drop(ann);
    eventually("only the bystanders' room is left", async || {
        world.send(Request::get("/health")).await.json()["rooms"] == 1
    })
    .await;
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn a_flood_of_joins_and_leaves_of_one_room_ends_in_the_last_state() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    for n in 0..500 {
        ann.send_text(format!(r#"["{n}","{n}","realtime:room","phx_join",{{"config":{{}}}}]"#)).await;
        if n % 3 == 0 {
            ann.send_text(format!(r#"["{n}","l{n}","realtime:room","phx_leave",{{}}]"#)).await;
        }
    }
    ann.received().await;
    let members = world.send(Request::get("/health")).await.json()["members"].clone();
    assert_eq!(members, 3, "the bystanders and ann's last join");
    assert_unaffected(pair).await;
    world.stop().await;
}

// Its replies cannot be written, so the server must stop reading instead of queueing them.
#[tokio::test]
async fn a_client_that_sends_and_never_reads_is_not_read_for_ever() {
    let world = World::with(|settings| settings.outbox.stall_timeout = Duration::from_millis(500)).await;
    let pair = bystanders(&world).await;
    let mut ann = world.raw().await;
    let burst = RawFrame::text(r#"[null,"1","phoenix","heartbeat",{}]"#).encode().repeat(2000);
    let asking = async { while ann.write(&burst).await.is_ok() {} };
    timeout(Duration::from_secs(60), asking).await.expect("the server stops to listen");
    assert_unaffected(pair).await;
    world.stop().await;
}

/// One of many clients: connects, joins, broadcasts, tracks, and leaves or vanishes.
async fn visit(world: &World, number: u64) {
    let mut noise = Noise(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..15 {
        let mut visitor = world.connect().await;
        for n in 0..1 + noise.next() % 4 {
            let (topic, join_ref) = (format!("realtime:{}", noise.next() % 3), n.to_string());
            let config = json!({"config": {"broadcast": {"self": true}, "presence": {"enabled": noise.next() & 1 == 0}}});
            visitor.send_json(&json!([join_ref, join_ref, topic, "phx_join", config])).await;
            let track = json!({"event": "track", "payload": {"n": n}});
            visitor.send_json(&json!([join_ref, "t", topic, "presence", track])).await;
            visitor.send_json(&json!([join_ref, "b", topic, "broadcast", {"n": n}])).await;
            if noise.next() & 1 == 0 {
                visitor.send_json(&json!([join_ref, "l", topic, "phx_leave", {}])).await;
            }
        }
        if noise.next() & 1 == 0 {
            visitor.received().await;
        }
    }
}

// On several threads, because races between them do not occur on one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_that_come_and_go_leave_nothing_behind() {
    let world = Arc::new(World::start().await);
    let pair = bystanders(&world).await;
    let visits = (1..=24).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { visit(&world, number).await })
    });
    for visit in visits.collect::<Vec<_>>() {
        visit.await.expect("a visit ends well");
    }
    eventually("only the bystanders are left", async || {
        let health = world.send(Request::get("/health")).await.json();
        health == json!({"status": "ok", "connections": 2, "rooms": 1, "members": 2})
    })
    .await;
    assert_unaffected(pair).await;
    world.check("ann, bob join realtime:0\n ann > [\"1\",\"2\",\"realtime:0\",\"broadcast\",{}]\n bob < [null,null,\"realtime:0\",\"broadcast\",{}]").await;
}
