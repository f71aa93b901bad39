//! Many tenants in one server: which one a request names, and that none can see, use or slow down another.

use harness::{Dialect, Request, Response, Token, World, eventually};
use serde_json::{Value, json};

use crate::{count, size};

const ROOM: &str = "realtime:room";

fn refused(reason: &str) -> Value {
    json!({"status": "error", "response": {"reason": reason}})
}

/// The response to a handshake with a token of `tenant`.
async fn handshake(world: &World, tenant: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let token = world.tenant_token_issuer(tenant).token(Token::Valid);
    let request = Request::upgrade(target).header("x-api-key", &token);
    world.send(headers.iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

#[tokio::test]
async fn tenants_with_the_same_topic_never_receive_from_each_other() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let presence = json!({"presence": {"key": "me", "enabled": true}, "broadcast": {"self": true}});
    let mut clients = [
        world.connect_for("acme").await,
        world.connect_for("globex").await,
        world.connect().await, // of the default tenant
    ];
    for client in &mut clients {
        client.join(ROOM, presence.clone()).await;
        assert_eq!(client.next_json().await[4], json!({}), "no presence yet");
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.push("2", ROOM, "presence", &json!({"event": "track", "payload": {"n": n}})).await;
        assert_eq!(client.next_json().await[4]["status"], "ok");
        let diff = client.next_json().await;
        assert_eq!(diff[4]["joins"]["me"]["metas"][0]["n"], n, "{diff}");
        client.push("3", ROOM, "broadcast", &json!({"n": n})).await;
        assert_eq!(client.next_json().await[4], json!({"n": n}));
    }
    let message = json!({"messages": [{"topic": "room", "event": "over http", "payload": {}}]});
    let token = world.tenant_token_issuer("acme").token(Token::Valid);
    let sent = Request::post("/api/broadcast").header("x-tenant", "acme").bearer(&token).json(&message);
    assert_eq!(world.send(sent).await.status, 202);
    assert_eq!(clients[0].next_json().await[4]["event"], "over http");
    for client in &mut clients {
        client.expect_quiet().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_key_is_accepted_by_its_own_tenant_and_no_other() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let own = handshake(&world, "acme", "/socket/websocket?tenant=acme", &[]).await;
    assert_eq!(own.status, 101);
    for target in ["/socket/websocket?tenant=globex", "/socket/websocket"] {
        let other = handshake(&world, "acme", target, &[]).await;
        assert_eq!(
            (other.status, other.json()),
            (401, json!({"error": "Failed to validate JWT signature"})),
            "{target}"
        );
    }
    // Nor at a join, nor over HTTP.
    let mut ann = world.connect_for("acme").await;
    let foreign = world.tenant_token_issuer("globex").token(Token::Valid);
    ann.push("1", ROOM, "phx_join", &json!({"config": {}, "access_token": foreign})).await;
    assert_eq!(ann.next_json().await[4], refused("JwtSignatureError: Failed to validate JWT signature"));
    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let request = Request::post("/api/broadcast").header("x-tenant", "acme").bearer(&foreign).json(&message);
    assert_eq!(world.send(request).await.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn header_query_and_host_name_a_tenant_in_this_order() {
    let world = World::with_tenants(&["acme", "globex", "127"]).await;
    let socket = "/socket/websocket";
    let query = "/socket/websocket?tenant=acme";
    for (tenant, target, headers) in [
        ("acme", socket, vec![("x-tenant", "acme"), ("host", "globex.example.com")]),
        ("acme", "/socket/websocket?tenant=globex", vec![("x-tenant", "acme")]),
        ("acme", query, vec![("host", "globex.example.com")]),
        ("acme", "/socket/websocket?vsn=2.0.0&tenant=%61cme", vec![]),
        ("acme", "/socket/websocket?tenant=", vec![("x-tenant", ""), ("host", "acme.example.com")]),
        ("acme", "/realtime/v1/websocket", vec![("host", "acme.example.com:4000")]),
        ("acme", socket, vec![("host", "ACME.Example.com")]),
        ("acme", socket, vec![("x-tenant", "Acme")]),
        ("acme", socket, vec![("host", "acme")]),
        ("acme", socket, vec![("host", "acme.localhost:4000")]),
        ("127", socket, vec![("x-tenant", "127")]),
    ] {
        let answer = handshake(&world, tenant, target, &headers).await;
        assert_eq!(answer.status, 101, "{target} {headers:?} means {tenant}: {}", answer.text());
    }
    let token = world.token(Token::Valid);
    for host in ["unknown.example.com", "localhost", "localhost:4000", "127.0.0.1:4000", "[::1]:4000", ""] {
        let request = Request::upgrade(socket).header("x-api-key", &token).header("host", host);
        let answer = world.send(request).await;
        assert_eq!(answer.status, 101, "{host:?} means the default tenant: {}", answer.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_name_is_refused_if_it_is_explicit_or_the_server_is_strict() {
    let world = World::with_tenants(&["acme"]).await;
    let token = world.token(Token::Valid);
    let handshake = async |target: &str, headers: &[(&str, &str)]| {
        let request = Request::upgrade(target).header("x-api-key", &token);
        let answer = world.send(headers.iter().fold(request, |request, (n, v)| request.header(n, v))).await;
        (answer.status != 101).then(|| (answer.status, answer.json()))
    };
    let not_found = Some((404, json!({"error": "Tenant not found"})));
    assert_eq!(handshake("/socket/websocket", &[("x-tenant", "unknown")]).await, not_found);
    assert_eq!(handshake("/socket/websocket?tenant=unknown", &[]).await, not_found);
    assert_eq!(handshake("/socket/websocket", &[("host", "unknown.example.com")]).await, None);

    world.apply(|settings| settings.server.strict_host = true);
    assert_eq!(handshake("/socket/websocket", &[("host", "unknown.example.com")]).await, not_found);
    // A request that names no tenant means the default one, and so does one that names it.
    assert_eq!(handshake("/socket/websocket", &[("host", "127.0.0.1:4000")]).await, None);
    assert_eq!(handshake("/socket/websocket", &[("host", "default.example.com")]).await, None);

    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let post = Request::post("/api/broadcast").bearer(&token).json(&message);
    let answer = world.send(post.header("host", "unknown.example.com")).await;
    assert_eq!((answer.status, answer.json()), (401, json!({"message": "Tenant not found in database"})));
    world.stop().await;
}

#[tokio::test]
async fn a_suspended_tenant_accepts_no_clients() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| settings.tenants.get_mut("acme").expect("there").suspended = true);
    let answer = handshake(&world, "acme", "/socket/websocket?tenant=acme", &[]).await;
    assert_eq!(
        (answer.status, answer.json()),
        (403, json!({"error": "Realtime was disabled for this tenant"}))
    );
    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let token = world.tenant_token_issuer("acme").token(Token::Valid);
    let post = Request::post("/api/broadcast").bearer(&token).json(&message).header("x-tenant", "acme");
    let answer = world.send(post).await;
    assert_eq!(
        (answer.status, answer.json()),
        (403, json!({"message": "Realtime was disabled for this tenant"}))
    );
    assert_eq!(handshake(&world, "globex", "/socket/websocket?tenant=globex", &[]).await.status, 101);
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_of_private_rooms_refuses_public_ones() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| settings.tenants.get_mut("acme").expect("there").private_only = true);
    let mut ann = world.connect_for("acme").await;
    ann.push("1", ROOM, "phx_join", &json!({"config": {}})).await;
    assert_eq!(ann.next_json().await[4], refused("PrivateOnly: This project only allows private channels"));
    let mut bob = world.connect_for("globex").await;
    bob.join(ROOM, json!({})).await;
    world.stop().await;
}

// No member could receive it, so it is not accepted.
#[tokio::test]
async fn a_tenant_of_private_rooms_accepts_no_public_messages_over_http() {
    let world = World::with_tenants(&["acme"]).await;
    let token = world.tenant_token_issuer("acme").token(Token::Valid);
    let post = |path: &str| Request::post(path).header("x-tenant", "acme").bearer(&token);
    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let requests =
        [post("/api/broadcast").json(&message), post("/api/broadcast/room/events/e").json(&json!({}))];
    for request in &requests {
        assert_eq!(world.send(request.clone()).await.status, 202);
    }
    world.apply(|settings| settings.tenants.get_mut("acme").expect("there").private_only = true);
    for request in requests {
        let refusal = world.send(request).await;
        let text = json!({"message": "This project only allows private channels"});
        assert_eq!((refusal.status, refusal.json()), (422, text));
    }
    world.stop().await;
}

#[tokio::test]
async fn limits_are_a_tenants_own() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| {
        let limits = &mut settings.tenants.get_mut("acme").expect("there").limits;
        limits.max_concurrent_users = Some(size(1));
        limits.max_events_per_second = count(1);
        limits.max_channels_per_client = size(1);
    });
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
    ann.push("9", "realtime:b", "phx_join", &json!({"config": {}})).await;
    assert_eq!(ann.next_json().await[4], refused("ChannelRateLimitReached: Too many channels"));
    for _ in 0..20 {
        ann.push("2", ROOM, "broadcast", &json!({})).await;
    }
    let received = ann.received().await;
    assert!(received.iter().any(|frame| frame.to_string().contains("Too many messages per second")));
    let full = handshake(&world, "acme", "/socket/websocket?tenant=acme", &[]).await;
    assert_eq!((full.status, full.json()), (429, json!({"error": "Too many connected users"})));

    for mut client in [world.connect_for("globex").await, world.connect_for("globex").await] {
        client.join(ROOM, json!({"broadcast": {"ack": true}})).await;
        client.join("realtime:b", json!({})).await;
        for _ in 0..20 {
            client.push("2", ROOM, "broadcast", &json!({})).await;
            assert_eq!(client.next_json().await[4], json!({"status": "ok", "response": {}}));
        }
    }
    world.stop().await;
}

// Sockets that never join are not users, and must not use up the connections of other tenants.
#[tokio::test]
async fn a_tenants_idle_sockets_use_no_connections_of_other_tenants() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let set = |connections, users| {
        world.apply(|settings| {
            settings.server.max_connections = size(300);
            let limits = &mut settings.tenants.get_mut("acme").expect("there").limits;
            (limits.max_connections, limits.max_concurrent_users) = (connections, users);
        });
    };
    set(Some(size(2)), None);
    let idle = [world.connect_for("acme").await, world.connect_for("acme").await];
    let full = async || {
        let answer = handshake(&world, "acme", "/socket/websocket?tenant=acme", &[]).await;
        (answer.status == 429)
            .then(|| assert_eq!(answer.json()["error"], "Too many connected users"))
            .is_some()
    };
    assert!(full().await);
    let bob = world.connect_for("globex").await;
    drop(idle);
    eventually("their permits are returned", async || !full().await).await;

    // Twice as many as there may be users, and a hundred.
    set(None, Some(size(1)));
    let node = world.node();
    let acme = node.tenants.get("acme").expect("there");
    eventually("no connection is left", async || acme.connections.in_use() == 0).await;
    let mut idle = Vec::new();
    for _ in 0..102 {
        idle.push(world.connect_for("acme").await);
    }
    assert!(full().await);
    drop(bob);
    world.stop().await;
}

#[tokio::test]
async fn presence_is_on_where_the_tenant_enables_it() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| settings.tenants.get_mut("acme").expect("there").presence_enabled = Some(true));
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    assert_eq!(ann.next_json().await[3], "presence_state");
    let mut bob = world.connect_for("globex").await;
    bob.join(ROOM, json!({})).await;
    bob.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn metrics_are_labelled_by_tenant() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    let page = async || world.send(Request::get("/metrics")).await.text();
    let shown = page().await;
    for line in [
        "realtime_connections_connected{tenant=\"acme\"} 1",
        "realtime_connections_connected{tenant=\"globex\"} 0",
        "realtime_connections_connected{tenant=\"default\"} 0",
        "realtime_channel_joins{tenant=\"acme\"} 1",
        "realtime_connections_global_connected 1",
        "realtime_tenants_with_clients 1",
        "realtime_tenants_connected 0",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
    // The name of an unknown tenant does not become a label.
    let target = world.target("/socket/websocket?tenant=invented&", Dialect::V2, Token::Valid);
    let _refused = world.send(Request::upgrade(&target.replace("&?", "&"))).await;
    assert!(!page().await.contains("invented"));
    assert!(page().await.contains("realtime_codes_total{tenant=\"nil\",code=\"TenantNotFound\"} 1"));

    world.apply(|settings| drop(settings.tenants.remove("acme")));
    assert_eq!(ann.drain_to_close().await, Some(1012));
    drop(ann);
    let of_acme = "{tenant=\"acme\"";
    eventually("a removed tenant has no series", async || !page().await.contains(of_acme)).await;
    world.stop().await;
}
