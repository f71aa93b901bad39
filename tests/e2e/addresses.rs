//! `server.max_connections_per_address`: nobody takes all the places from one address.

use harness::{Dialect, Request, Token, World, eventually};
use serde_json::json;

use crate::size;

fn at_most(connections: usize) -> impl FnOnce(&mut settings::Settings) {
    move |settings| settings.server.max_connections_per_address = Some(size(connections))
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_another_its_own() {
    let world = World::with(at_most(2)).await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let mut people = world.conversation();
    people.check("ann, bob join realtime:room").await;

    let refusal = world.send(Request::upgrade(&target)).await;
    assert_eq!(refusal.status, 429);
    assert_eq!(refusal.json(), json!({"error": "Too many connections from this address"}));
    assert_eq!(world.send(Request::get("/health")).await.status, 200, "only WebSockets are counted");
    let elsewhere = world.behind(world.endpoint().from("127.0.0.2"));
    assert_eq!(elsewhere.send(Request::upgrade(&target)).await.status, 101);
    let page = world.send(Request::get("/metrics")).await.text();
    assert!(page.contains("\nrealtime_connections_refused_by_address_total 1\n"), "{page}");

    people.check("bob vanishes").await;
    eventually("the place of somebody who left is free", async || {
        world.send(Request::upgrade(&target)).await.status == 101
    })
    .await;
    world.stop().await;
}

// Otherwise a client with an expired token, that tries again and again, would shut itself out.
#[tokio::test]
async fn a_refused_handshake_takes_no_place() {
    let world = World::with(at_most(1)).await;
    let expired = world.target("/socket/websocket", Dialect::V2, Token::Expired);
    for _ in 0..3 {
        assert_eq!(world.send(Request::upgrade(&expired)).await.status, 401);
    }
    world.check("ann joins realtime:room").await;
    world.stop().await;
}

#[tokio::test]
async fn without_a_limit_an_address_may_have_all_the_places() {
    let world = World::start().await;
    let mut people = world.conversation();
    for name in ["ann", "bob", "cid", "dan", "eve"] {
        people.check(&format!("{name} joins realtime:room")).await;
    }
    world.stop().await;
}
