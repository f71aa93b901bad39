//! A Redis that comes back without its data, and the time before the first connection.

use super::*;

#[tokio::test]
async fn a_redis_that_starts_empty_is_filled_again() {
    let redis = Redis::start().await;
    let address = redis.address();
    let (one, two) = two(on(&redis)).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    drop(redis);
    wait_for_disconnect(&one).await;
    wait_for_disconnect(&two).await;
    let redis = Redis::with(RedisOptions { port: Some(address.port()), ..RedisOptions::default() }).await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    // A third node knows nothing but what is in it.
    let three = one.beside(on(&redis)).await;
    wait_for_nodes(&three, 3).await;
    for world in [&one, &two, &three] {
        wait_for_presence(world, &["ann", "bob"]).await;
    }
    one.stop().await;
    two.stop().await;
    three.stop().await;
}

/// Waits until a client receives a broadcast, with no leaves in the frames before it.
async fn receives_no_leaves(client: &mut Client) {
    let mut has_received = false;
    eventually("the broadcast is received", async || {
        for frame in client.received().await {
            let Frame::Json(frame) = frame else { panic!("{frame:?}") };
            let leaves = frame[4]["leaves"].as_object();
            assert!(leaves.is_none_or(|leaves| leaves.is_empty()), "{frame}");
            has_received |= frame[3] == "broadcast";
        }
        has_received
    })
    .await;
}

// The first node to reconnect finds no other node. The others are late, and have not left.
#[tokio::test]
async fn no_member_leaves_because_redis_has_lost_its_data() {
    let redis = Redis::start().await;
    let address = redis.address();
    let [(one, first), (two, second)] = with_proxies(&redis, |_| {}).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    first.cut();
    second.cut();
    wait_for_disconnect(&one).await;
    wait_for_disconnect(&two).await;
    drop(redis);
    let redis = Redis::with(RedisOptions { port: Some(address.port()), ..RedisOptions::default() }).await;
    first.mend();
    eventually("the first is back", async || one.number("realtime_bus_reconnects_total").await == 1.0).await;
    eventually("it has subscribed and read the room", async || redis.subscribers(CHANNEL).await == 1).await;
    wait_for_presence(&one, &["ann", "bob"]).await;
    second.mend();
    for world in [&one, &two] {
        wait_for_nodes(world, 2).await;
        eventually("both are back", async || world.number("realtime_bus_reconnects_total").await == 1.0)
            .await;
    }
    eventually("both are subscribed", async || redis.subscribers(CHANNEL).await == 2).await;
    wait_for_presence(&one, &["ann", "bob"]).await;
    wait_for_presence(&two, &["ann", "bob"]).await;
    // These broadcasts arrive after all presence that the nodes have published.
    for client in [&mut ann, &mut bob] {
        send_broadcast(client, json!("back")).await;
    }
    receives_no_leaves(&mut ann).await;
    receives_no_leaves(&mut bob).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_server_starts_without_its_bus() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    proxy.cut();
    let world = World::with(at(&redis, proxy.address())).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    assert_eq!(world.number("realtime_bus_connected").await, 0.0);
    proxy.mend();
    wait_for_nodes(&world, 1).await;
    eventually("its room is subscribed", async || redis.subscribers(CHANNEL).await == 1).await;
    world.stop().await;
}

// Accepted at once, the client would miss broadcasts until its node has subscribed.
#[tokio::test]
async fn joins_before_the_first_connection_wait_for_it() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    proxy.stick();
    let one = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.bus.subscribe_timeout = Duration::from_secs(20);
    })
    .await;
    let two = World::with(on(&redis)).await;
    let (mut carl, _) = member(&two, "carl").await;
    let mut ann = one.connect().await;
    ann.push("1", ROOM, "phx_join", &json!({"config": {}})).await;
    ann.expect_quiet().await;
    proxy.mend();
    assert_eq!(ann.next_json().await[3], "phx_reply");
    send_broadcast(&mut carl, json!("welcome")).await;
    eventually("the broadcast arrives", async || !broadcasts(&mut ann).await.is_empty()).await;
}
