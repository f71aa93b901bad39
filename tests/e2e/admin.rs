//! What operators ask and order over HTTP, and that nobody else does.

use std::sync::Arc;

use harness::{Changes, Request, Response, Token, TokenIssuer, World};
use serde_json::{Value, json};

const ROOM: &str = "realtime:room";

/// Everything that takes an operator's token.
const ORDERS: [(&str, &str); 3] =
    [("GET", "/status"), ("POST", "/admin/reload"), ("POST", "/admin/tenants/acme/disconnect")];

fn operators() -> TokenIssuer {
    TokenIssuer::new("the operators' secret, of thirty-two bytes")
}

/// An operator's token: no role, nobody in particular.
fn operator() -> String {
    operators().sign(&json!({"exp": 4_000_000_000_u64}))
}

async fn world() -> World {
    let world = World::with_tenants(&["acme", "globex"]).await;
    world.apply(|settings| settings.admin.jwt_secret = Some(operators().secret().into()));
    world
}

async fn order(world: &World, method: &str, target: &str) -> Response {
    world.send(Request::new(method, target).bearer(&operator())).await
}

#[tokio::test]
async fn ready_means_that_new_clients_are_welcome() {
    let world = World::start().await;
    let ready = async || {
        let answer = world.send(Request::get("/readyz")).await;
        (answer.status, answer.json()["status"].clone())
    };
    assert_eq!(ready().await, (200, json!("ready")));
    world.node().announce_stop();
    assert_eq!(ready().await, (503, json!("stopping")));
    assert_eq!(world.send(Request::get("/health")).await.status, 200, "alive all the same");
    world.stop().await;
}

#[tokio::test]
async fn without_a_secret_everything_is_closed_and_says_what_to_set() {
    let world = World::start().await;
    for (method, target) in ORDERS {
        for token in [operator(), world.token(Token::Valid), String::new()] {
            let answer = world.send(Request::new(method, target).bearer(&token)).await;
            assert_eq!(answer.status, 401, "{target}");
            let message = answer.json()["message"].to_string();
            assert!(message.contains("admin.jwt_secret"), "{target}: {message}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn only_operators_are_let_in() {
    let world = world().await;
    let blocked = operators().sign(&json!({"exp": 4_000_000_001_u64}));
    world.apply(|settings| settings.admin.token_blocklist = vec![blocked.as_str().into()]);
    let strangers = [
        (String::new(), "no header"),
        (world.token(Token::Valid), "signature"),
        (world.tenant_token_issuer("acme").token(Token::Valid), "signature"),
        (operators().token(Token::Valid), "a user's"),
        (operators().sign(&json!({"exp": 1})), "expired"),
        (TokenIssuer::new("someone else's").sign(&json!({"exp": 4_000_000_000_u64})), "signature"),
        (blocked, "blocklist"),
        ("garbage".to_owned(), "not a valid JWT"),
    ];
    for (method, target) in ORDERS {
        for (token, reason) in &strangers {
            let answer = world.send(Request::new(method, target).bearer(token)).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{target}");
            let message = answer.json()["message"].to_string();
            assert!(message.contains(reason) && !message.contains(&operator()), "{target}: {message}");
        }
        assert_eq!(world.send(Request::new(method, target)).await.status, 401, "{target} without a token");
        assert_ne!(order(&world, method, target).await.status, 401, "{target}");
    }
    world.stop().await;
}

// Even where one secret signs for both, as in self-hosted set-ups of Supabase.
#[tokio::test]
async fn an_operators_token_opens_nothing_else() {
    let world = world().await;
    world.apply(|settings| settings.auth.jwt_secret = Some(operators().secret().into()));
    let socket = Request::upgrade("/socket/websocket").header("x-api-key", &operator());
    let answer = world.send(socket).await;
    assert_eq!(
        (answer.status, answer.json()),
        (401, json!({"error": "Fields `role` and `exp` are required in JWT"}))
    );
    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let post = Request::post("/api/broadcast").bearer(&operator()).json(&message);
    assert_eq!(world.send(post).await.status, 401);
    assert_eq!(order(&world, "GET", "/status").await.status, 200);
    let user = Request::get("/status").bearer(&operators().token(Token::Valid));
    assert_eq!(world.send(user).await.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn another_method_is_told_which_would_do() {
    let world = world().await;
    for (method, target, allowed) in [
        ("POST", "/status", "GET, HEAD"),
        ("GET", "/admin/reload", "POST"),
        ("DELETE", "/admin/tenants/acme/disconnect", "POST"),
        ("POST", "/readyz", "GET, HEAD"),
    ] {
        let answer = order(&world, method, target).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {target}");
    }
    assert_eq!(order(&world, "POST", "/admin/tenants").await.status, 404);
    assert_eq!(order(&world, "HEAD", "/status").await.text(), "");
    world.stop().await;
}

#[tokio::test]
async fn the_status_tells_how_things_are() {
    let world = world().await;
    world.apply(|settings| {
        settings.tenants.get_mut("acme").expect("there").region = Some("eu-west-1".into());
        settings.tenants.get_mut("globex").expect("there").suspended = true;
    });
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    let mut idle = world.connect_for("acme").await;
    idle.settle().await;
    let status = order(&world, "GET", "/status").await.json();
    assert_eq!(
        status["tenants"],
        json!([
            {"id": "acme", "region": "eu-west-1", "connected": 1, "sockets": 2, "rooms": 1, "suspended": false},
            {"id": "default", "region": null, "connected": 0, "sockets": 0, "rooms": 0, "suspended": false},
            {"id": "globex", "region": null, "connected": 0, "sockets": 0, "rooms": 0, "suspended": true},
        ])
    );
    for (key, value) in [
        ("status", json!("ready")),
        ("bus", json!("alone")),
        ("region", Value::Null),
        ("connections", json!(2)),
        ("rooms", json!(1)),
        ("members", json!(1)),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    assert!(status["version"].is_string() && status["commit"].is_string(), "{status}");
    assert!(status["uptime"].is_u64(), "{status}");
    assert_eq!(status["node"].as_str().map(str::len), Some(16), "{status}");
    let text = status.to_string();
    assert!(!text.contains("secret") && !text.contains("realtime:room"), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn the_status_tells_the_story_of_the_settings() {
    let world = world().await;
    let story = async || order(&world, "GET", "/status").await.json()["settings"].clone();
    let before = story().await;
    assert_eq!((&before["pending"], &before["last_error"]), (&json!([]), &Value::Null));
    world.node().reloading.accepted(vec!["server.port".into()]);
    world.node().reloading.refused(&["config.toml:3:1: unknown key".into()]);
    let refused = story().await;
    assert_eq!(refused["generation"], before["generation"], "nothing has changed");
    assert_eq!(refused["pending"], json!(["server.port"]));
    assert_eq!(refused["last_error"], "config.toml:3:1: unknown key");
    let shown = async |line: &str| {
        let page = world.send(Request::get("/metrics")).await.text();
        page.lines().any(|shown| shown == line)
    };
    assert!(shown("realtime_settings_reload_failed 1").await && shown("realtime_settings_pending 1").await);
    world.apply(|_| {});
    let after = story().await;
    assert_eq!(after["generation"].as_u64(), before["generation"].as_u64().map(|n| n + 1));
    assert_eq!(after["last_error"], Value::Null);
    assert!(shown("realtime_settings_reload_failed 0").await);
    assert!(shown(&format!("realtime_settings_generation {}", after["generation"])).await);
    world.stop().await;
}

#[tokio::test]
async fn a_reload_can_be_ordered_and_says_what_came_of_it() {
    let world = world().await;
    let answer = order(&world, "POST", "/admin/reload").await;
    assert_eq!(answer.status, 501, "these settings come from no file");
    world.node().reloading.set_handler(Arc::new(|| {
        static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let first = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        Box::pin(async move {
            let changes = Changes { changed: vec!["limits.a".into()], pending: vec!["server.port".into()] };
            if first { Ok(changes) } else { Err(vec!["config.toml:1:1: no".into()]) }
        })
    }));
    let answer = order(&world, "POST", "/admin/reload").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["changed"], json!(["limits.a"]));
    assert_eq!(answer.json()["pending"], json!(["server.port"]));
    let answer = order(&world, "POST", "/admin/reload").await;
    assert_eq!((answer.status, answer.json()), (422, json!({"problems": ["config.toml:1:1: no"]})));
    world.stop().await;
}

#[tokio::test]
async fn a_tenants_clients_can_be_sent_away_and_may_come_back() {
    let world = world().await;
    let (mut ann, mut idle) = (world.connect_for("acme").await, world.connect_for("acme").await);
    let (mut bob, mut cid) = (world.connect_for("globex").await, world.connect().await);
    for person in [&mut ann, &mut bob, &mut cid] {
        person.join(ROOM, json!({})).await;
    }
    idle.settle().await;
    let answer = order(&world, "POST", "/admin/tenants/Acme/disconnect").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"disconnected": 2})));
    assert_eq!(ann.next_json().await[4]["message"], "Server requested disconnect");
    assert_eq!((ann.expect_close().await, idle.expect_close().await), (Some(1012), Some(1012)));
    bob.expect_quiet().await;
    cid.expect_quiet().await;
    let mut again = world.connect_for("acme").await;
    again.join(ROOM, json!({})).await;
    again.expect_quiet().await;
    // Another change has everybody look at the policy anew.
    world.apply(|settings| settings.tenants.get_mut("acme").expect("there").region = Some("eu".into()));
    again.expect_quiet().await;
    let answer = order(&world, "POST", "/admin/tenants/nobody/disconnect").await;
    assert_eq!((answer.status, answer.json()), (404, json!({"message": "not found"})));
    world.stop().await;
}

#[tokio::test]
async fn the_numbers_can_be_kept_for_some() {
    let world = world().await;
    let scraper = TokenIssuer::new("the scraper's secret, of thirty-two bytes");
    let token = scraper.sign(&json!({"exp": 4_000_000_000_u64}));
    let ask = async |token: &str| world.send(Request::get("/metrics").bearer(token)).await;
    assert_eq!(world.send(Request::get("/metrics")).await.status, 200, "open unless a secret is set");
    world.apply(|settings| settings.admin.metrics_jwt_secret = Some(scraper.secret().into()));
    for stranger in [String::new(), operator(), world.token(Token::Valid), scraper.token(Token::Valid)] {
        let answer = ask(&stranger).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{stranger}");
    }
    assert_eq!(ask(&token).await.status, 200);
    world.apply(|settings| settings.admin.metrics_token_blocklist = vec![token.as_str().into()]);
    assert_eq!(ask(&token).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn every_number_says_where_it_was_counted() {
    let world = World::with(|settings| settings.regions.name = Some("eu-west-2".into())).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    ann.push("2", ROOM, "broadcast", &json!({})).await;
    ann.settle().await;
    let page = world.send(Request::get("/metrics")).await.text();
    let numbers: Vec<&str> = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(numbers.len() > 10, "{page}");
    for number in numbers {
        assert!(number.contains("region=\"eu-west-2\""), "{number}");
    }
    world.stop().await;
}
