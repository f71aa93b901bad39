//! One server replaces another behind a real HAProxy: each client reconnects once, and stays.

use std::time::Duration;

use harness::{Client, Dialect, Haproxy, Request, Token, World, eventually};
use serde_json::json;
use tokio::sync::watch;

const CLIENTS: usize = 20;

/// A client like those of the libraries: disconnected, it reconnects and joins again. Returns how often it connected.
async fn reconnect_until(world: World, stop: watch::Receiver<bool>) -> usize {
    let mut connections = 0;
    while !*stop.borrow() {
        let Some(mut client) = connect(&world).await else {
            // No server accepts just now: libraries wait a little as well.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        connections += 1;
        client.join("realtime:room", json!({})).await;
        let mut stopped = stop.clone();
        tokio::select! {
            code = client.end() => assert_eq!(code, Some(1012)),
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }
    connections
}

async fn connect(world: &World) -> Option<Client> {
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    world.connect_to(Dialect::V2, &target).await.ok()
}

async fn connections(world: &World) -> u64 {
    world.send(Request::get("/health")).await.json()["connections"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_client_reconnects_once() {
    let settings = |settings: &mut settings::Settings| {
        settings.server.drain_delay = Duration::from_millis(500);
        settings.server.drain_timeout = Duration::from_secs(1);
        settings.server.shutdown_timeout = Duration::from_secs(3);
    };
    let old = World::with(settings).await;
    let new = World::with(|changed| {
        settings(changed);
        changed.auth.jwt_secret = Some(old.token_issuer().secret().into());
    })
    .await;
    let haproxy = Haproxy::start(|address| {
        format!(
            "backend servers\n mode tcp\n option httpchk GET /readyz\n default-server check inter 50ms rise 1 fall 1\n \
             server old {}\n server new {} backup\n\
             frontend endpoint\n mode tcp\n bind {address}\n default_backend servers\n",
            old.address(),
            new.address()
        )
    })
    .await;
    let (stop, stopped) = watch::channel(false);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(reconnect_until(old.behind(haproxy.endpoint()), stopped.clone())))
        .collect();
    eventually("all clients are connected to the old server", async || {
        connections(&old).await == CLIENTS as u64
    })
    .await;
    assert_eq!(connections(&new).await, 0);

    old.drain().ended().await;
    eventually("all clients are connected to the new server", async || {
        connections(&new).await == CLIENTS as u64
    })
    .await;
    stop.send_replace(true);
    for client in clients {
        assert_eq!(client.await.expect("no client panics"), 2, "at first, and once more");
    }
    new.stop().await;
}
