//! What is counted, or asked for, over all nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{ChangedKeys, ChaosProxy, Client, Redis, Request, TokenIssuer, World, eventually};
use serde_json::json;
use settings::Settings;

use super::{ROOM, at, on, two, wait_for_nodes};

/// Two nodes whose tenant may have two users.
async fn limited(redis: &Redis) -> (World, World) {
    two(|settings: &mut Settings| {
        on(redis)(settings);
        settings.limits.max_concurrent_users = Some(crate::size(2));
    })
    .await
}

async fn joined(world: &World) -> Client {
    let mut client = world.connect().await;
    client.join(ROOM, json!({})).await;
    client
}

/// Whether the handshake is refused because of the users there are.
async fn is_full(world: &World) -> bool {
    let target = world.target("/realtime/v1/websocket", harness::Dialect::V2, harness::Token::Valid);
    let answer = world.send(Request::upgrade(&target)).await;
    match answer.status {
        429 => {
            assert_eq!(answer.json()["error"], "Too many connected users");
            true
        }
        status => {
            assert_eq!(status, 101);
            false
        }
    }
}

#[tokio::test]
async fn users_are_counted_over_all_nodes() {
    let redis = Redis::start().await;
    let (one, two) = limited(&redis).await;
    let mut late = two.connect().await;
    let (ann, _anna) = (joined(&one).await, joined(&one).await);
    eventually("the second node knows", async || is_full(&two).await).await;
    // A client that is connected already is refused when it joins.
    late.push("1", ROOM, "phx_join", &json!({})).await;
    let refused = late.next_json().await;
    assert_eq!(refused[4]["response"]["reason"], "ConnectionRateLimitReached: Too many connected users");
    drop(ann);
    eventually("there is room for a user again", async || !is_full(&two).await).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn users_of_a_node_that_is_gone_are_not_counted() {
    let redis = Redis::start().await;
    let (one, two) = limited(&redis).await;
    let _users = (joined(&one).await, joined(&one).await);
    eventually("the second node knows", async || is_full(&two).await).await;
    one.stop().await;
    eventually("there is room for a user again", async || !is_full(&two).await).await;
    two.stop().await;
}

// It loses power, or is killed: it does not leave the bus.
#[tokio::test]
async fn users_of_a_node_are_not_counted_after_its_lease_has_expired() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let limited = |settings: &mut Settings| {
        settings.bus.lease = Duration::from_secs(1);
        settings.bus.timeout = Duration::from_secs(60);
        settings.limits.max_concurrent_users = Some(crate::size(2));
    };
    let one = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        limited(settings);
    })
    .await;
    let two = one
        .beside(|settings| {
            on(&redis)(settings);
            limited(settings);
        })
        .await;
    wait_for_nodes(&two, 2).await;
    let _users = (joined(&one).await, joined(&one).await);
    eventually("the second node knows", async || is_full(&two).await).await;
    proxy.stick();
    eventually("there is room for a user again", async || !is_full(&two).await).await;
    proxy.cut();
    one.stop().await;
    two.stop().await;
}

// `server.max_connections` is what one node takes, whatever the others have.
#[tokio::test]
async fn without_a_limit_of_their_own_users_fill_every_node() {
    let world = World::with(|settings| settings.server.max_connections = crate::size(2)).await;
    world.node().tenants.get("default").expect("it is configured").set_users_elsewhere(100);
    let _users = (joined(&world).await, joined(&world).await);
    world.apply(|settings| settings.limits.max_concurrent_users = Some(crate::size(102)));
    assert!(!world.node().tenants.get("default").expect("it is configured").has_room());
    world.stop().await;
}

// A command of an operator to one node applies to all.
#[tokio::test]
async fn an_operators_command_reaches_all_nodes() {
    let redis = Redis::start().await;
    let operators = TokenIssuer::new("the operators' secret, of thirty-two bytes");
    let (one, two) = two(|settings: &mut Settings| {
        on(&redis)(settings);
        settings.admin.jwt_secret = Some(operators.secret().into());
    })
    .await;
    let read_again = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read_again);
    two.node().reloading.set_handler(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(ChangedKeys::default()) })
    }));
    let (mut ann, mut bob) = (joined(&one).await, joined(&two).await);
    let order = async |target: &str| {
        let token = operators.sign(&json!({"exp": 4_000_000_000_u64}));
        one.send(Request::post(target).bearer(&token)).await.status
    };
    order("/admin/reload").await;
    eventually("the second node reads too", async || read_again.load(Ordering::Relaxed) == 1).await;
    assert_eq!(order("/admin/tenants/default/disconnect").await, 200);
    assert_eq!(ann.drain_to_close().await, Some(1012));
    assert_eq!(bob.drain_to_close().await, Some(1012));
    one.stop().await;
    two.stop().await;
}
