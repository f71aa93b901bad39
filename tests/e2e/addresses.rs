//! `server.max_connections_per_address`: one address cannot open all the connections of a server.

use harness::{Dialect, Request, Token, World, eventually};
use serde_json::json;

use crate::size;

fn at_most(connections: usize) -> impl FnOnce(&mut settings::Settings) {
    move |settings| settings.server.max_connections_per_address = Some(size(connections))
}

#[tokio::test]
async fn the_limit_applies_to_each_address() {
    let world = World::with(at_most(2)).await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let mut clients = world.conversation();
    clients.check("ann, bob join realtime:room").await;

    let refusal = world.send(Request::upgrade(&target)).await;
    assert_eq!(refusal.status, 429);
    assert_eq!(refusal.json(), json!({"error": "Too many connections from this address"}));
    assert_eq!(world.send(Request::get("/health")).await.status, 200, "only WebSockets are counted");
    let elsewhere = world.behind(world.endpoint().from("127.0.0.2"));
    assert_eq!(elsewhere.send(Request::upgrade(&target)).await.status, 101);
    let page = world.send(Request::get("/metrics")).await.text();
    assert!(page.contains("\nrealtime_connections_refused_by_address_total 1\n"), "{page}");

    clients.check("bob vanishes").await;
    eventually("the permit of a closed connection is free", async || {
        world.send(Request::upgrade(&target)).await.status == 101
    })
    .await;
    world.stop().await;
}

// Otherwise a client that retries with an expired token would lock itself out.
#[tokio::test]
async fn a_refused_handshake_does_not_count() {
    let world = World::with(at_most(1)).await;
    let expired = world.target("/socket/websocket", Dialect::V2, Token::Expired);
    for _ in 0..3 {
        assert_eq!(world.send(Request::upgrade(&expired)).await.status, 401);
    }
    world.check("ann joins realtime:room").await;
    world.stop().await;
}

#[tokio::test]
async fn without_a_limit_an_address_may_open_all_connections() {
    let world = World::start().await;
    let mut clients = world.conversation();
    for name in ["ann", "bob", "cid", "dan", "eve"] {
        clients.check(&format!("{name} joins realtime:room")).await;
    }
    world.stop().await;
}
