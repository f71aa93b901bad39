//! The pages and commands of operators over HTTP, and that other clients are refused.

use std::sync::Arc;

use harness::{ChangedKeys, LifecyclePhase, Request, Response, Token, TokenIssuer, World, eventually};
use serde_json::{Value, json};
use settings::ByteSize;

const ROOM: &str = "realtime:room";

/// The requests that need an operator token.
const REQUESTS: [(&str, &str); 3] =
    [("GET", "/status"), ("POST", "/admin/reload"), ("POST", "/admin/tenants/acme/disconnect")];

fn operators() -> TokenIssuer {
    TokenIssuer::new("the operators' secret, of thirty-two bytes")
}

/// An operator token without a role and a subject.
fn operator() -> String {
    operators().sign(&json!({"exp": 4_000_000_000_u64}))
}

async fn world() -> World {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| settings.admin.jwt_secret = Some(operators().secret().into()));
    world
}

async fn request(world: &World, method: &str, target: &str) -> Response {
    world.send(Request::new(method, target).bearer(&operator())).await
}

#[tokio::test]
async fn ready_means_that_the_node_takes_new_clients() {
    let world = World::start().await;
    let ready = async || {
        let response = world.send(Request::get("/readyz")).await;
        (response.status, response.json()["status"].clone())
    };
    assert_eq!(ready().await, (200, json!("ready")));
    world.node().lifecycle.enter(LifecyclePhase::NotReady);
    assert_eq!(ready().await, (503, json!("stopping")));
    assert_eq!(world.send(Request::get("/health")).await.status, 200, "still alive");
    world.stop().await;
}

#[tokio::test]
async fn without_a_secret_every_request_is_refused_and_the_setting_is_named() {
    let world = World::start().await;
    for (method, target) in REQUESTS {
        for token in [operator(), world.token(Token::Valid), String::new()] {
            let response = world.send(Request::new(method, target).bearer(&token)).await;
            assert_eq!(response.status, 401, "{target}");
            let message = response.json()["message"].to_string();
            assert!(message.contains("admin.jwt_secret"), "{target}: {message}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn only_operator_tokens_are_accepted() {
    let world = world().await;
    let blocked = operators().sign(&json!({"exp": 4_000_000_001_u64}));
    world.apply(|settings| settings.admin.token_blocklist = vec![blocked.as_str().into()]);
    let refused = [
        (String::new(), "no header"),
        (world.token(Token::Valid), "signature"),
        (world.tenant_token_issuer("acme").token(Token::Valid), "signature"),
        (operators().token(Token::Valid), "a user's"),
        (operators().sign(&json!({"exp": 1})), "expired"),
        (TokenIssuer::new("someone else's").sign(&json!({"exp": 4_000_000_000_u64})), "signature"),
        (blocked, "blocklist"),
        ("garbage".to_owned(), "not a valid JWT"),
    ];
    for (method, target) in REQUESTS {
        for (token, reason) in &refused {
            let response = world.send(Request::new(method, target).bearer(token)).await;
            assert_eq!(
                (response.status, response.header("www-authenticate")),
                (401, Some("Bearer")),
                "{target}"
            );
            let message = response.json()["message"].to_string();
            assert!(message.contains(reason) && !message.contains(&operator()), "{target}: {message}");
        }
        assert_eq!(world.send(Request::new(method, target)).await.status, 401, "{target} without a token");
        assert_ne!(request(&world, method, target).await.status, 401, "{target}");
    }
    world.stop().await;
}

// Even where one secret signs for both, as in self-hosted set-ups of Supabase.
#[tokio::test]
async fn an_operator_token_is_not_a_user_token() {
    let world = world().await;
    world.apply(|settings| settings.auth.jwt_secret = Some(operators().secret().into()));
    let socket = Request::upgrade("/socket/websocket").header("x-api-key", &operator());
    let response = world.send(socket).await;
    assert_eq!(
        (response.status, response.json()),
        (401, json!({"error": "Fields `role` and `exp` are required in JWT"}))
    );
    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let post = Request::post("/api/broadcast").bearer(&operator()).json(&message);
    assert_eq!(world.send(post).await.status, 401);
    assert_eq!(request(&world, "GET", "/status").await.status, 200);
    let user = Request::get("/status").bearer(&operators().token(Token::Valid));
    assert_eq!(world.send(user).await.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn another_method_is_refused_with_the_allowed_ones() {
    let world = world().await;
    for (method, target, allowed) in [
        ("POST", "/status", "GET, HEAD"),
        ("GET", "/admin/reload", "POST"),
        ("DELETE", "/admin/tenants/acme/disconnect", "POST"),
        ("POST", "/readyz", "GET, HEAD"),
    ] {
        let response = request(&world, method, target).await;
        assert_eq!((response.status, response.header("allow")), (405, Some(allowed)), "{method} {target}");
    }
    assert_eq!(request(&world, "POST", "/admin/tenants").await.status, 404);
    assert_eq!(request(&world, "HEAD", "/status").await.text(), "");
    world.stop().await;
}

#[tokio::test]
async fn the_status_describes_the_node_and_its_tenants() {
    let world = world().await;
    world.apply(|settings| {
        settings.tenants.get_mut("acme").expect("there").region = Some("eu-west-1".into());
        settings.tenants.get_mut("globex").expect("there").suspended = true;
    });
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    let mut idle = world.connect_for("acme").await;
    idle.settle().await;
    let mut status = request(&world, "GET", "/status").await.json();
    for tenant in status["tenants"].as_array_mut().expect("a list") {
        let memory = tenant.as_object_mut().and_then(|tenant| tenant.remove("memory"));
        assert!(memory.is_some_and(|bytes| bytes.is_u64()), "{tenant}");
    }
    let memory = &status["memory"];
    assert!(memory["budget"].as_u64() > memory["limit"].as_u64(), "{status}");
    assert!(memory["limit"].as_u64() > Some(0), "{status}");
    assert!(memory["source"].as_str().is_some_and(|source| source.starts_with("half of the ")), "{status}");
    world.apply(|settings| settings.server.memory_budget = Some(ByteSize::mib(100)));
    let budgeted = request(&world, "GET", "/status").await.json()["memory"].clone();
    assert_eq!(
        (&budgeted["budget"], &budgeted["source"]),
        (&json!(100 << 20), &json!("server.memory_budget"))
    );
    assert_eq!(world.number("realtime_memory_budget_bytes").await, f64::from(100 << 20));
    assert!(status["memory"]["used"]["receiving"].is_u64(), "{status}");
    let account =
        async || request(&world, "GET", "/status").await.json()["memory"]["without_tenant"].as_u64();
    let before = account().await.expect("bytes");
    let _silent = world.dial().await;
    eventually("a connection without a tenant is in that account", async || {
        account().await.is_some_and(|bytes| bytes > before + 20_000)
    })
    .await;
    assert_eq!(
        status["tenants"],
        json!([
            {"id": "acme", "origin": "config", "region": "eu-west-1", "connected": 1, "sockets": 2, "rooms": 1, "suspended": false, "database": null},
            {"id": "default", "origin": "config", "region": null, "connected": 0, "sockets": 0, "rooms": 0, "suspended": false, "database": null},
            {"id": "globex", "origin": "config", "region": null, "connected": 0, "sockets": 0, "rooms": 0, "suspended": true, "database": null},
        ])
    );
    for (key, value) in [
        ("status", json!("ready")),
        ("bus", json!("alone")),
        ("region", Value::Null),
        ("internal", Value::Null),
        ("connections", json!(2)),
        ("rooms", json!(1)),
        ("members", json!(1)),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    for exporter in ["push", "cloudwatch", "traces"] {
        assert_eq!(status["exporters"][exporter]["on"], json!(false), "{exporter}");
    }
    assert!(status["version"].is_string() && status["commit"].is_string(), "{status}");
    assert!(status["uptime"].is_u64(), "{status}");
    assert_eq!(status["node"].as_str().map(str::len), Some(16), "{status}");
    let text = status.to_string();
    assert!(!text.contains("secret") && !text.contains("realtime:room"), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn the_status_describes_the_settings() {
    let world = world().await;
    let settings = async || request(&world, "GET", "/status").await.json()["settings"].clone();
    let before = settings().await;
    assert_eq!((&before["pending"], &before["last_error"]), (&json!([]), &Value::Null));
    world.node().reloading.set_pending(vec!["server.port".into()]);
    world.node().reloading.refused(&["config.toml:3:1: unknown key".into()]);
    let refused = settings().await;
    assert_eq!(refused["generation"], before["generation"], "the old settings are in use");
    assert_eq!(refused["pending"], json!(["server.port"]));
    assert_eq!(refused["last_error"], "config.toml:3:1: unknown key");
    let has_line = async |line: &str| {
        let page = world.send(Request::get("/metrics")).await.text();
        page.lines().any(|known| known == line)
    };
    assert!(
        has_line("realtime_settings_reload_failed 1").await && has_line("realtime_settings_pending 1").await
    );
    world.apply(|_| {});
    let after = settings().await;
    assert_eq!(after["generation"].as_u64(), before["generation"].as_u64().map(|n| n + 1));
    assert_eq!(after["last_error"], refused["last_error"], "what was refused still is");
    world.node().reloading.accepted();
    assert_eq!(settings().await["last_error"], Value::Null);
    assert!(has_line("realtime_settings_reload_failed 0").await);
    assert!(has_line(&format!("realtime_settings_generation {}", after["generation"])).await);
    world.stop().await;
}

#[tokio::test]
async fn a_reload_can_be_requested_and_responds_with_its_outcome() {
    let world = world().await;
    let response = request(&world, "POST", "/admin/reload").await;
    assert_eq!(response.status, 501, "these settings come from no file");
    world.node().reloading.set_handler(Arc::new(|| {
        static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let first = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        Box::pin(async move {
            let changes =
                ChangedKeys { changed: vec!["limits.a".into()], pending: vec!["server.port".into()] };
            if first { Ok(changes) } else { Err(vec!["config.toml:1:1: no".into()]) }
        })
    }));
    let response = request(&world, "POST", "/admin/reload").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["changed"], json!(["limits.a"]));
    assert_eq!(response.json()["pending"], json!(["server.port"]));
    let response = request(&world, "POST", "/admin/reload").await;
    assert_eq!((response.status, response.json()), (422, json!({"problems": ["config.toml:1:1: no"]})));
    world.stop().await;
}

#[tokio::test]
async fn the_clients_of_a_tenant_can_be_disconnected_and_may_reconnect() {
    let world = world().await;
    let (mut ann, mut idle) = (world.connect_for("acme").await, world.connect_for("acme").await);
    let (mut bob, mut cid) = (world.connect_for("globex").await, world.connect().await);
    for client in [&mut ann, &mut bob, &mut cid] {
        client.join(ROOM, json!({})).await;
    }
    idle.settle().await;
    let response = request(&world, "POST", "/admin/tenants/Acme/disconnect").await;
    assert_eq!((response.status, response.json()), (200, json!({"disconnected": 2})));
    assert_eq!(ann.next_json().await[4]["message"], "Server requested disconnect");
    assert_eq!((ann.expect_close().await, idle.expect_close().await), (Some(1012), Some(1012)));
    bob.expect_quiet().await;
    cid.expect_quiet().await;
    let mut again = world.connect_for("acme").await;
    again.join(ROOM, json!({})).await;
    again.expect_quiet().await;
    // Another change makes all sessions read the policy again.
    world.apply(|settings| settings.tenants.get_mut("acme").expect("there").region = Some("eu".into()));
    again.expect_quiet().await;
    let response = request(&world, "POST", "/admin/tenants/unknown/disconnect").await;
    assert_eq!((response.status, response.json()), (404, json!({"message": "not found"})));
    world.stop().await;
}

#[tokio::test]
async fn metrics_can_require_a_token() {
    let world = world().await;
    let scraper = TokenIssuer::new("the scraper's secret, of thirty-two bytes");
    let token = scraper.sign(&json!({"exp": 4_000_000_000_u64}));
    let ask = async |token: &str| world.send(Request::get("/metrics").bearer(token)).await;
    assert_eq!(world.send(Request::get("/metrics")).await.status, 200, "open unless a secret is set");
    world.apply(|settings| settings.admin.metrics_jwt_secret = Some(scraper.secret().into()));
    for token in [String::new(), operator(), world.token(Token::Valid), scraper.token(Token::Valid)] {
        let response = ask(&token).await;
        assert_eq!((response.status, response.text().as_str()), (403, ""), "{token}");
    }
    assert_eq!(ask(&token).await.status, 200);
    world.apply(|settings| settings.admin.metrics_token_blocklist = vec![token.as_str().into()]);
    assert_eq!(ask(&token).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn every_metric_has_the_label_of_its_region() {
    let world = World::with(|settings| settings.regions.name = Some("eu-west-2".into())).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    ann.push("2", ROOM, "broadcast", &json!({})).await;
    ann.settle().await;
    let page = world.send(Request::get("/metrics")).await.text();
    let metrics: Vec<&str> = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(metrics.len() > 10, "{page}");
    for metric in metrics {
        assert!(metric.contains("region=\"eu-west-2\""), "{metric}");
    }
    world.stop().await;
}
