//! Tokens with an unknown key id wait for the key set of their tenant (`auth.jwks_url`). However many of them wait, and
//! however slow the provider is, no other client does.

use std::time::{Duration, Instant};

use harness::{Algorithm, KeyPair, Provider, RawSocket, Request, Token, World, eventually, key_set};
use serde_json::{Value, json};

use crate::size;

/// Far above what an answer takes on a busy machine, and far below the time of a fetch.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How long the provider may take: longer than any test waits.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

fn user() -> Value {
    json!({"role": "authenticated", "sub": "ann", "exp": 4_000_000_000_u64})
}

fn pair(kid: &str) -> KeyPair {
    KeyPair::new(kid, Algorithm::ES256)
}

/// A server with a tenant `a`, whose keys are published by `provider`, and a tenant `b` with a secret.
async fn world_of(provider: &Provider, change: impl FnOnce(&mut settings::Settings)) -> World {
    let world = World::with(change).await;
    world.apply(|settings| {
        let mut a = settings::Tenant::default();
        a.auth.jwks_url = Some(provider.url().into());
        a.auth.jwks_timeout = FETCH_TIMEOUT;
        settings.tenants.insert("a".into(), a);
        settings.tenants.insert("b".into(), world.tenant_settings("b"));
    });
    world
}

fn handshake(tenant: &str, token: &str) -> Request {
    Request::upgrade("/socket/websocket").header("x-tenant", tenant).header("x-api-key", token)
}

fn post(tenant: &str, token: &str) -> Request {
    let body = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    Request::post("/api/broadcast").header("x-tenant", tenant).bearer(token).json(&body)
}

/// Handshakes of tenant `tenant` under way, each with a key id that no key has.
async fn unknown_kids(world: &World, tenant: &str, number: usize) -> Vec<RawSocket> {
    let key = pair("known");
    let mut sockets = Vec::new();
    for n in 0..number {
        let token = key.clone().named(&format!("unknown-{n}")).sign(&user());
        let request = format!(
            "GET /socket/websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             x-tenant: {tenant}\r\nx-api-key: {token}\r\n\r\n"
        );
        let mut socket = world.dial().await;
        socket.write(request.as_bytes()).await.expect("the server listens");
        sockets.push(socket);
    }
    sockets
}

/// Asserts that a request is answered with this status, and at once.
async fn assert_at_once(world: &World, request: Request, status: u16, what: &str) {
    let started = Instant::now();
    let response = world.send(request).await;
    assert_eq!(response.status, status, "{what}: {}", response.text());
    assert!(started.elapsed() < AT_ONCE, "{what}: {:?}", started.elapsed());
}

// Once, each of them held one of the connections of the server and of its address: other tenants got 503.
#[tokio::test]
async fn a_token_that_waits_for_its_key_takes_no_connection() {
    let known = pair("known");
    let provider = Provider::publishing(&key_set([&known])).await;
    let limits = |settings: &mut settings::Settings| {
        settings.server.max_connections = size(20);
        settings.server.max_connections_per_address = Some(size(10));
    };
    let world = world_of(&provider, limits).await;
    assert_at_once(&world, handshake("a", &known.sign(&user())), 101, "the keys are fetched").await;
    provider.stop_answering();
    let waiting = unknown_kids(&world, "a", 40).await;
    provider.wait_for_requests(2).await;
    eventually("all of them are accepted", async || world.node().open_sockets() >= 40).await;
    let of_b = world.tenant_token_issuer("b").token(Token::Valid);
    for _ in 0..5 {
        assert_at_once(&world, handshake("b", &of_b), 101, "a handshake of another tenant").await;
        assert_at_once(&world, post("b", &of_b), 202, "a POST of another tenant").await;
        assert_at_once(&world, handshake("a", &known.sign(&user())), 101, "a known key of the same").await;
        assert_at_once(&world, post("a", &known.sign(&user())), 202, "a POST with it").await;
    }
    assert_eq!(provider.requests(), 2, "one request for all of them");
    drop(waiting);
    world.stop().await;
}

#[tokio::test]
async fn tokens_beyond_the_bound_are_refused_and_no_others() {
    let (known, new) = (pair("known"), pair("new"));
    let provider = Provider::publishing(&key_set([&known])).await;
    let world = world_of(&provider, |_| {}).await;
    world.apply(|settings| {
        settings.tenants.get_mut("a").expect("there").auth.jwks_max_waiting = size(4);
    });
    assert_at_once(&world, handshake("a", &known.sign(&user())), 101, "the keys are fetched").await;
    provider.stop_answering();
    let waiting = unknown_kids(&world, "a", 40).await;
    let unknown = known.clone().named("unknown").sign(&user());
    let text = "Too many tokens wait for the keys of this tenant";
    // All wait for the same fetch, so it is one of them or this one that finds no room.
    eventually("the address has its share", async || {
        let refused = tokio::time::timeout(Duration::from_millis(100), world.send(handshake("a", &unknown)));
        refused.await.is_ok_and(|response| {
            assert_eq!((response.status, response.json()), (503, json!({"error": text})));
            assert_eq!(response.header("retry-after"), Some("1"));
            true
        })
    })
    .await;
    // A handshake that was given up above may just have left its place.
    eventually("a request is refused as well", async || {
        let refused = tokio::time::timeout(Duration::from_millis(100), world.send(post("a", &unknown))).await;
        refused.is_ok_and(|refused| {
            assert_eq!((refused.status, refused.json()), (503, json!({"message": text})));
            assert_eq!((refused.header("retry-after"), refused.header("x-rate-limit")), (Some("1"), None));
            true
        })
    })
    .await;

    let of_b = world.tenant_token_issuer("b").token(Token::Valid);
    assert_at_once(&world, handshake("b", &of_b), 101, "a handshake of another tenant").await;
    assert_at_once(&world, post("b", &of_b), 202, "a POST of another tenant").await;
    assert_at_once(&world, handshake("a", &known.sign(&user())), 101, "a known key of the same").await;
    // A client of the same tenant at another address waits, and is accepted when its key is there.
    // Those that were refused are closed; two of this address wait.
    eventually("the others are gone", async || world.node().open_sockets() == 2).await;
    let elsewhere = world.behind(world.endpoint().from("127.0.0.2"));
    let accepted = async {
        let response = elsewhere.send(handshake("a", &new.sign(&user()))).await;
        assert_eq!(response.status, 101, "{}", response.text());
    };
    let answered = async {
        eventually("it has connected", async || world.node().open_sockets() == 3).await;
        provider.publish(&key_set([&known, &new]));
    };
    tokio::join!(accepted, answered);
    assert_eq!(provider.requests(), 2, "one request for all of them");
    drop(waiting);
    world.stop().await;
}

/// A server behind a load balancer, of whose tenant `a` four tokens may wait.
async fn balanced_world(provider: &Provider, change: impl FnOnce(&mut settings::Settings)) -> World {
    let world = world_of(provider, |settings| {
        settings.server.proxy_protocol_from = vec!["127.0.0.1/32".into()];
        change(settings);
    })
    .await;
    world.apply(|settings| {
        settings.tenants.get_mut("a").expect("there").auth.jwks_max_waiting = size(4);
    });
    world
}

/// The world as a client of the load balancer at this IPv6 address reaches it.
fn from(world: &World, client: &str) -> World {
    let header = format!("PROXY TCP6 {client} ::1 4242 443\r\n");
    world.behind(world.endpoint().with_preface(header.into_bytes()))
}

// Each /64 was an address of its own here, whatever the setting said.
#[tokio::test]
async fn the_networks_of_one_client_have_one_share() {
    let known = pair("known");
    let provider = Provider::publishing(&key_set([&known])).await;
    let world = balanced_world(&provider, |settings| settings.server.ipv6_prefix_length = 56).await;
    let client = from(&world, "2001:db8::1");
    assert_at_once(&client, handshake("a", &known.sign(&user())), 101, "the keys are fetched").await;
    provider.stop_answering();
    let waiting =
        [unknown_kids(&client, "a", 1).await, unknown_kids(&from(&world, "2001:db8:0:1::1"), "a", 1).await];
    provider.wait_for_requests(2).await;
    let unknown = known.named("unknown").sign(&user());
    eventually("a third of the same /56 is refused", async || {
        let third = from(&world, "2001:db8:0:2::1");
        let refused = tokio::time::timeout(Duration::from_millis(100), third.send(post("a", &unknown))).await;
        refused.is_ok_and(|refused| refused.status == 503)
    })
    .await;
    drop(waiting);
    world.stop().await;
}

#[tokio::test]
async fn an_address_without_limits_may_have_all_that_wait_for_its_tenant() {
    let (known, new) = (pair("known"), pair("new"));
    let provider = Provider::publishing(&key_set([&known])).await;
    let unlimited = |settings: &mut settings::Settings| {
        settings.server.unlimited_addresses = vec!["2001:db8::/32".into()];
    };
    let world = balanced_world(&provider, unlimited).await;
    let proxy = from(&world, "2001:db8::1");
    assert_at_once(&proxy, handshake("a", &known.sign(&user())), 101, "the keys are fetched").await;
    provider.stop_answering();
    let wait = async || {
        let response = proxy.send(handshake("a", &new.sign(&user()))).await;
        assert_eq!(response.status, 101, "{}", response.text());
    };
    let answered = async {
        provider.wait_for_requests(2).await;
        eventually("all of them have connected", async || world.node().open_sockets() >= 4).await;
        // Those that may not wait are refused before.
        assert_at_once(&proxy, handshake("a", &known.sign(&user())), 101, "a known key").await;
        provider.publish(&key_set([&known, &new]));
    };
    tokio::join!(wait(), wait(), wait(), wait(), answered);
    world.stop().await;
}
