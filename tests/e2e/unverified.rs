//! Callers without a valid token: they use up nothing of the tenant that they name, and each address has a budget
//! for them (`server.max_unverified_requests_per_second`).

use std::time::Duration;

use harness::{Client, Request, Response, Token, TokenIssuer, World, eventually};
use serde_json::{Value, json};

use crate::{count, size};

/// What a limit of one per second allows at once.
const BURST: u32 = 10;

fn post(tenant: &str, token: &str) -> Request {
    let body = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    Request::post("/api/broadcast").header("x-tenant", tenant).bearer(token).json(&body)
}

fn rate_headers(response: &Response) -> Vec<&str> {
    let names = response.headers.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.starts_with("x-rate")).collect()
}

// Once, they counted before their token was verified: 7,000 of them refused the tenant's own requests for a minute.
#[tokio::test]
async fn requests_without_a_valid_token_do_not_count_towards_the_rate_of_a_tenant() {
    let world = World::with_tenants(&["b"]).await;
    world.apply(|settings| {
        settings.tenants.get_mut("b").expect("there").limits.max_events_per_second = count(5);
    });
    let token = |kind| world.tenant_token_issuer("b").token(kind);
    for kind in [Token::Nothing, Token::Garbage, Token::Forged, Token::Expired] {
        for _ in 0..20 {
            let refusal = world.send(post("b", &token(kind))).await;
            assert_eq!(refusal.status, 401, "{kind:?}: {}", refusal.text());
            assert_eq!(rate_headers(&refusal), [""; 0], "the rate is not shown");
        }
    }
    let response = world.send(post("b", &token(Token::Valid))).await;
    assert_eq!(response.status, 202, "{}", response.text());
    assert_eq!(response.header("x-rate-rolling"), Some("0"));
    world.stop().await;
}

#[tokio::test]
async fn joins_without_a_valid_token_do_not_count_towards_the_rate_of_a_tenant() {
    let world = World::with(|settings| settings.limits.max_joins_per_second = count(1)).await;
    let mut eve = world.connect().await;
    let forged = json!({"config": {}, "access_token": world.token(Token::Forged)});
    for n in 0..2 * BURST {
        eve.push(&n.to_string(), "realtime:room", "phx_join", &forged).await;
        let reply = eve.next_json().await;
        let reason = reply[4]["response"]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(reason.starts_with("JwtSignatureError"), "{n}: {reply}");
    }
    let mut ann = world.connect().await;
    ann.push("1", "realtime:room", "phx_join", &json!({"config": {}})).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    world.stop().await;
}

/// A server whose addresses may make one call per second without a valid token, with a tenant `b`.
async fn world_of_one_per_second() -> World {
    let world = World::with_tenants(&["b"]).await;
    world.apply(|settings| settings.server.max_unverified_requests_per_second = count(1));
    world
}

fn handshake(tenant: &str, token: &str) -> Request {
    Request::upgrade("/socket/websocket").header("x-tenant", tenant).header("x-api-key", token)
}

/// The first response to this request with status 429. A part of the rate may come back between two requests.
async fn refused_by_rate(world: &World, what: &str, request: impl Fn() -> Request) -> Response {
    for _ in 0..100 {
        let response = world.send(request()).await;
        if response.status == 429 {
            return response;
        }
    }
    panic!("{what}: never refused");
}

#[tokio::test]
async fn an_address_over_the_rate_is_refused_before_its_token_is_examined() {
    let world = world_of_one_per_second().await;
    let issuer = world.tenant_token_issuer("b");
    let token = |kind| issuer.token(kind);
    let forged = token(Token::Forged);
    let (known, mut subs) = (token(Token::Valid), 0..);
    assert_eq!(world.send(post("b", &known)).await.status, 202);
    for n in 0..BURST {
        assert_eq!(world.send(post("b", &forged)).await.status, 401, "{n}");
    }
    let text = "Too many requests without a valid token from this address";
    for (what, request) in [
        ("a forged token", post("b", &forged)),
        ("no token", post("b", "")),
        ("no such tenant", post("c", &forged)),
    ] {
        let response = refused_by_rate(&world, what, || request.clone()).await;
        assert_eq!(response.json(), json!({"message": text}), "{what}");
        assert_eq!(response.header("retry-after"), Some("1"), "{what}");
        assert_eq!(rate_headers(&response), [""; 0], "{what}");
    }
    for request in [handshake("b", &forged), handshake("c", &forged)] {
        let response = refused_by_rate(&world, "a handshake", || request.clone()).await;
        assert_eq!(response.json(), json!({"error": text}));
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    // The address may be one of many clients. Those that were here before are still accepted.
    assert_eq!(world.send(post("b", &known)).await.status, 202);
    assert_eq!(world.send(handshake("b", &known)).await.status, 101);
    let mut fresh = || {
        let claims = json!({"role": "anon", "sub": subs.next(), "exp": 4_000_000_000_u64});
        issuer.sign(&claims)
    };
    let elsewhere = world.behind(world.endpoint().from("127.0.0.2"));
    assert_eq!(elsewhere.send(post("b", &fresh())).await.status, 202);
    assert_eq!(elsewhere.send(handshake("b", &fresh())).await.status, 101);
    world.apply(|settings| settings.server.max_unverified_requests_per_second = count(1_000_000));
    eventually("the rate is raised", async || world.send(post("b", &forged)).await.status == 401).await;
    let page = world.send(Request::get("/metrics")).await.text();
    assert!(page.contains(r#"realtime_codes_total{tenant="nil",code="AddressRateLimitReached"} "#), "{page}");
    world.stop().await;
}

// After an outage many clients of one load balancer come with tokens that have expired.
#[tokio::test]
async fn an_expired_token_does_not_count_towards_the_rate_of_its_address() {
    let world = world_of_one_per_second().await;
    let token = |kind| world.tenant_token_issuer("b").token(kind);
    for n in 0..3 * BURST {
        assert_eq!(world.send(post("b", &token(Token::Expired))).await.status, 401, "{n}");
    }
    assert_eq!(world.send(post("b", &token(Token::Valid))).await.status, 202);
    world.stop().await;
}

/// Why the join of a room with this payload is refused.
async fn reason_of_join(client: &mut Client, payload: &Value) -> String {
    client.push("0", "realtime:other", "phx_join", payload).await;
    client.next_json().await[4]["response"]["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn joins_with_forged_tokens_count_towards_the_rate_of_their_address() {
    let world = world_of_one_per_second().await;
    let mut eve = world.connect_for("b").await;
    let forged = json!({"config": {}, "access_token": world.token(Token::Forged)});
    let mut reason = String::new();
    for n in 0..100 {
        reason = reason_of_join(&mut eve, &forged).await;
        if !reason.starts_with("JwtSignatureError") {
            assert!(n >= BURST, "{n}");
            break;
        }
    }
    let text = "AddressRateLimitReached: Too many requests without a valid token from this address";
    assert_eq!(reason, text);
    // The token of the handshake has been verified.
    eve.push("a", "realtime:room", "phx_join", &json!({"config": {}})).await;
    assert_eq!(eve.next_json().await[4]["status"], "ok");
    world.stop().await;
}

// Other clients of the same address send new tokens too. Their channels stay, with the token that they have.
#[tokio::test]
async fn a_token_refreshed_at_an_address_over_the_rate_does_not_end_the_channel() {
    let world = world_of_one_per_second().await;
    let mut ann = world.connect_for("b").await;
    ann.join("realtime:room", json!({})).await;
    let forged = json!({"config": {}, "access_token": world.token(Token::Forged)});
    refused_by_rate(&world, "a forged token", || post("b", &world.token(Token::Forged))).await;
    // The rate allows one in a second.
    while !reason_of_join(&mut ann, &forged).await.starts_with("AddressRateLimitReached") {}
    ann.push("9", "realtime:room", "access_token", &forged).await;
    ann.push("10", "phoenix", "heartbeat", &json!({})).await;
    assert_eq!(ann.next_json().await[1], "10", "nothing before it");
    world.stop().await;
}

// Each delayed refusal holds a socket. Of two places for them, one address gets one.
#[tokio::test]
async fn an_address_gets_a_share_of_the_delayed_refusals() {
    let world = World::with(|settings| {
        settings.server.connect_error_backoff = Duration::from_secs(3600);
        settings.server.max_pending_refusals = size(2);
    })
    .await;
    let refused = || world.send(handshake("default", "forged"));
    let answer = tokio::select! { answer = refused() => answer, answer = refused() => answer };
    assert_eq!(answer.status, 401);
    world.stop().await;
}

// Each /64 was an address of its own here, whatever the setting said.
#[tokio::test]
async fn the_networks_of_one_client_get_one_share_of_the_delayed_refusals() {
    let world = World::with(|settings| {
        settings.server.connect_error_backoff = Duration::from_secs(3600);
        settings.server.max_pending_refusals = size(2);
        settings.server.ipv6_prefix_length = 56;
        settings.server.proxy_protocol_from = vec!["127.0.0.1/32".into()];
    })
    .await;
    let refused = async |client: &str| {
        let header = format!("PROXY TCP6 {client} ::1 4242 443\r\n");
        let client = world.behind(world.endpoint().with_preface(header.into_bytes()));
        client.send(handshake("default", "forged")).await
    };
    let (one, other) = (refused("2001:db8::1"), refused("2001:db8:0:1::1"));
    let answer = tokio::select! { answer = one => answer, answer = other => answer };
    assert_eq!(answer.status, 401);
    world.stop().await;
}

// Nothing bounded what an address could have verified at these routes.
#[tokio::test]
async fn requests_to_operator_routes_count_towards_the_rate_of_their_address() {
    let world = world_of_one_per_second().await;
    let issuer = TokenIssuer::new("the operators' secret, of thirty-two bytes");
    world.apply(|settings| {
        settings.admin.jwt_secret = Some(issuer.secret().into());
        settings.admin.metrics_jwt_secret = Some(issuer.secret().into());
    });
    let (known, fresh) = (json!({"exp": 4_000_000_000_u64}), json!({"exp": 4_000_000_001_u64}));
    let request = |method, target, token: &str| Request::new(method, target).bearer(token);
    let (known, fresh) = (issuer.sign(&known), issuer.sign(&fresh));
    let routes = [("GET", "/status"), ("GET", "/metrics"), ("POST", "/admin/tenants/b/disconnect")];
    assert_eq!(world.send(request("GET", "/status", &known)).await.status, 200);
    for (method, target) in routes {
        for token in ["", "garbage", &world.token(Token::Forged)] {
            let refused = refused_by_rate(&world, target, || request(method, target, token)).await;
            assert_eq!(refused.header("retry-after"), Some("1"), "{target}");
            assert!(refused.text().contains("without a valid token from this address"), "{target}");
        }
    }
    refused_by_rate(&world, "a new token", || request("GET", "/status", &fresh)).await;
    assert_eq!(world.send(request("GET", "/status", &known)).await.status, 200, "an operator who was here");
    assert_eq!(world.send(request("GET", "/metrics", &known)).await.status, 200);
    for check in ["/", "/health", "/healthcheck", "/readyz"] {
        assert_eq!(world.send(Request::get(check)).await.status, 200, "{check}");
    }
    world.apply(|settings| settings.admin.metrics_jwt_secret = None);
    assert_eq!(world.send(Request::get("/metrics")).await.status, 200, "needs no token");
    world.stop().await;
}
