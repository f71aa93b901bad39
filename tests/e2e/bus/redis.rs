//! Redis as operators have it: behind TLS, with a password, failing over.

use std::time::Duration;

use harness::{ChaosProxy, Redis, RedisOptions, World, eventually_within};
use serde_json::json;

use super::{at, member, on, send_broadcast, track, two, wait_for_disconnect, wait_for_nodes};

/// How long it may take until the primary that the name leads to is used.
const HEALED_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn redis_may_require_tls_and_a_password() {
    let options = RedisOptions { tls: true, password: Some("open sesame"), ..RedisOptions::default() };
    let redis = Redis::with(RedisOptions { password: Some("sesame"), ..options }).await;
    let (one, two) = two(on(&redis)).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    send_broadcast(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_redis_with_an_unverified_certificate_is_refused() {
    let redis = Redis::with(RedisOptions { tls: true, ..RedisOptions::default() }).await;
    let other = Redis::with(RedisOptions { tls: true, ..RedisOptions::default() }).await;
    let world = World::with(|settings| {
        on(&redis)(settings);
        settings.bus.tls_ca_file = other.authority();
    })
    .await;
    // The node serves its own clients.
    let (mut ann, _) = member(&world, "ann").await;
    ann.settle().await;
    assert_eq!(world.number("realtime_bus_connected").await, 0.0);
    world.stop().await;
}

#[tokio::test]
async fn a_failover_loses_no_member() {
    let primary = Redis::start().await;
    let options = RedisOptions { replica_of: Some(primary.address()), ..RedisOptions::default() };
    let replica = Redis::with(options).await;
    let proxy = ChaosProxy::to(primary.address()).await;
    let (one, two) = two(at(&primary, proxy.address())).await;
    let ((mut ann, _), (mut bob, _)) = (member(&one, "ann").await, member(&two, "bob").await);
    track(&mut ann, json!({})).await;
    track(&mut bob, json!({})).await;
    replica.copies_in_full().await;

    drop(primary);
    let promoted: String = replica.ask(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(promoted, "OK");
    wait_for_disconnect(&one).await;
    wait_for_disconnect(&two).await;
    proxy.plug_into(replica.address());
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    for world in [&one, &two] {
        super::wait_for_presence(world, &["ann", "bob"]).await;
    }
    ann.received().await;
    bob.received().await;
    send_broadcast(&mut ann, json!(1)).await;
    assert_eq!(bob.next_json().await[4]["payload"], 1);
    one.stop().await;
    two.stop().await;
}

// A replica accepts messages without an error, and passes them on to none but its own clients; it refuses what is stored.
#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_left_also_by_connections_that_stay_open() {
    let primary = Redis::start().await;
    let options = RedisOptions { replica_of: Some(primary.address()), ..RedisOptions::default() };
    let replica = Redis::with(options).await;
    let name = ChaosProxy::to(primary.address()).await;
    let (one, two) = two(at(&primary, name.address())).await;
    let (mut ann, _) = member(&one, "ann").await;
    track(&mut ann, json!({})).await;
    replica.copies_in_full().await;

    let _: String = replica.ask(&["REPLICAOF", "NO", "ONE"]).await;
    let port = replica.address().port().to_string();
    let _: String = primary.ask(&["REPLICAOF", "127.0.0.1", &port]).await;
    name.redirect(replica.address());
    eventually_within(HEALED_MAX, "both nodes use the new primary", async || {
        replica.connections("realtime-server:publish").await.len() == 2
    })
    .await;
    wait_for_nodes(&one, 2).await;
    wait_for_nodes(&two, 2).await;
    super::wait_for_presence(&two, &["ann"]).await;
    one.stop().await;
    two.stop().await;
}
