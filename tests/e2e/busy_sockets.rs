//! HTTP connections with a request, which take the memory for connections: which of them is closed for another one.

use std::time::Duration;

use harness::{Dialect, RawSocket, Request, Token, World, eventually};
use hub::{MemoryCharge, MemoryKind};
use settings::{ByteSize, Settings};

/// A server that waits for bodies for ever, with little memory, of which only that reserved for connections is left.
async fn world_without_memory(change: impl FnOnce(&mut Settings)) -> (World, MemoryCharge) {
    let world = World::with(|settings| {
        settings.server.memory_budget = Some(ByteSize::mib(64));
        settings.server.handshake_timeout = Duration::from_secs(3_600);
        change(settings);
    })
    .await;
    let node = world.node();
    let tenant = node.tenants.get("default").expect("it is configured");
    let memory = &tenant.memory;
    let used_up = memory.charge(MemoryKind::Presence, memory.budget().limit());
    (world, used_up)
}

fn from(world: &World, address: &str) -> World {
    world.behind(world.endpoint().from(address))
}

/// Opens connections with a request that is not complete, until there is memory for no more of this address.
async fn take_all(world: &World) -> Vec<RawSocket> {
    let token = world.token(Token::Valid);
    let post =
        format!("POST /api/broadcast HTTP/1.1\r\nhost: x\r\napikey: {token}\r\ncontent-length: 9\r\n\r\n");
    let mut open = Vec::new();
    eventually("the memory for connections is used up", async || {
        for _ in 0..20 {
            let mut socket = world.dial().await;
            let _may_be_closed = socket.write(post.as_bytes()).await;
            open.push(socket);
        }
        world.send(Request::get("/nowhere")).await.status == 503
    })
    .await;
    open
}

// Connections with a request were never closed, and all other addresses got 503 because of one with many.
#[tokio::test]
async fn the_address_with_the_most_requests_makes_room_for_others() {
    let (world, used_up) = world_without_memory(|_| {}).await;
    let _first = take_all(&from(&world, "127.0.0.2")).await;
    let _second = take_all(&from(&world, "127.0.0.3")).await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    for _ in 0..20 {
        let missing = world.send(Request::get("/nowhere")).await;
        assert_eq!(missing.status, 404, "{}", missing.text());
        eventually("what was closed has given back its memory", async || {
            world.send(Request::upgrade(&target)).await.status == 101
        })
        .await;
    }
    // A channel needs memory of its tenant.
    drop(used_up);
    world.check("ann joins realtime:room\n ann is alive").await;
    world.stop().await;
}

#[tokio::test]
async fn connections_of_an_unlimited_address_with_a_request_stay() {
    let (world, _used_up) =
        world_without_memory(|settings| settings.server.unlimited_addresses = vec!["127.0.0.2/32".into()])
            .await;
    let mut of_proxy = take_all(&from(&world, "127.0.0.2")).await;
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 503);
    assert_eq!(world.send(Request::get("/health")).await.status, 200);
    of_proxy[0].write(b"{}       ").await.expect("it is open");
    assert_eq!(of_proxy[0].response().await.status, 422);
    world.stop().await;
}
