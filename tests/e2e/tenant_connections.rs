//! `server.max_connections_percent_per_tenant`: one tenant cannot open all the connections of a server.

use harness::{Request, Response, Token, World, eventually};
use serde_json::json;

use crate::size;

/// The response to a handshake of a tenant without a limit of its own.
async fn handshake(world: &World) -> Response {
    let token = world.tenant_token_issuer("acme").token(Token::Valid);
    world.send(Request::upgrade("/socket/websocket?tenant=acme").header("x-api-key", &token)).await
}

// One address with the token of one tenant opened all WebSockets of a server, and the others got 503.
#[tokio::test]
async fn a_tenant_without_a_limit_leaves_connections_to_others() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| settings.server.max_connections = size(20));
    let mut open = Vec::new();
    for _ in 0..18 {
        open.push(world.connect_for("acme").await);
    }
    let refused = handshake(&world).await;
    assert_eq!((refused.status, refused.json()), (429, json!({"error": "Too many connected users"})));
    let setting = "server.max_connections_percent_per_tenant";
    let refusals = format!(r#"realtime_limits_refused_total{{tenant="acme",setting="{setting}"}}"#);
    assert_eq!(world.number(&refusals).await, 1.0);
    let of_another = world.connect_for("globex").await;
    assert_eq!(handshake(&world).await.status, 429, "the last one is for others");

    drop(open.split_off(9));
    eventually("its connections are given back", async || world.node().connections() == 10).await;
    open.push(world.connect_for("acme").await);
    drop((open, of_another));
    world.stop().await;
}

#[tokio::test]
async fn the_share_can_be_changed_while_the_server_runs() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let set = |percent| {
        world.apply(|settings| {
            settings.server.max_connections = size(20);
            settings.server.max_connections_percent_per_tenant = percent;
        });
    };
    set(50);
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(world.connect_for("acme").await);
    }
    assert_eq!(handshake(&world).await.status, 429, "it has as many as it leaves");
    set(100);
    for _ in 10..20 {
        open.push(world.connect_for("acme").await);
    }
    assert_eq!(handshake(&world).await.status, 503, "it has all of them");
    world.stop().await;
}
