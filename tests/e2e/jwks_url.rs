//! Keys that an identity provider publishes (`auth.jwks_url`): fetching, changes, outages.

use std::time::Duration;

use harness::{Algorithm, Client, Dialect, KeyPair, Provider, Request, World, eventually, key_set};
use serde_json::{Value, json};

/// The claims of a user's token.
fn user() -> Value {
    json!({"role": "authenticated", "sub": "ann", "exp": 4_000_000_000_u64})
}

fn pair(kid: &str) -> KeyPair {
    KeyPair::new(kid, Algorithm::ES256)
}

/// A server that fetches its keys from `provider`, and has no others.
async fn world_of(provider: &Provider) -> World {
    World::with(|settings| {
        settings.auth.jwt_secret = None;
        settings.auth.jwks_url = Some(provider.url().into());
    })
    .await
}

/// The same, with a short refresh interval.
async fn world_with_short_refresh(provider: &Provider) -> World {
    World::with(|settings| {
        settings.auth.jwt_secret = None;
        settings.auth.jwks_url = Some(provider.url().into());
        settings.auth.jwks_refresh = Duration::from_millis(10);
    })
    .await
}

/// The status of a handshake with a token signed by `pair`, and its error.
async fn handshake(world: &World, pair: &KeyPair) -> (u16, String) {
    let request = Request::upgrade("/socket/websocket").header("x-api-key", &pair.sign(&user()));
    let response = world.send(request).await;
    let error = if response.status == 101 { Value::Null } else { response.json()["error"].clone() };
    (response.status, error.as_str().unwrap_or_default().to_owned())
}

/// A client in a room, with a token signed by `key`.
async fn member(world: &World, key: &KeyPair) -> Client {
    let target = format!("/socket/websocket?vsn=2.0.0&apikey={}", key.sign(&user()));
    let mut client = world.connect_to(Dialect::V2, &target).await.expect("connected");
    client.send_json(&json!(["1", "1", "realtime:room", "phx_join", {"config": {}}])).await;
    assert_eq!(client.next_json().await[4]["status"], "ok");
    client
}

fn unknown(kid: &str) -> (u16, String) {
    let hint = "check your JWT secret or JWKS configuration";
    (401, format!("Failed to generate JWT signer for key ID (kid) \"{kid}\", {hint}"))
}

fn accepted() -> (u16, String) {
    (101, String::new())
}

/// The value of a metric.
async fn metric(world: &World, name: &str) -> f64 {
    let page = world.send(Request::get("/metrics")).await.text();
    let line = page.lines().find(|line| line.split('{').next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

// The first client connects while the keys are being fetched, and waits for them.
#[tokio::test]
async fn the_first_client_waits_for_the_keys() {
    let key = pair("one");
    let provider = Provider::publishing(&key_set([&key])).await;
    let world = world_of(&provider).await;
    assert_eq!(handshake(&world, &key).await, accepted());
    let body = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let request = Request::post("/api/broadcast").bearer(&key.sign(&user())).json(&body);
    assert_eq!(world.send(request).await.status, 202);
    assert_eq!(provider.requests(), 1, "one request for all of them");
    world.stop().await;
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (pair("old"), pair("new"));
    let provider = Provider::publishing(&key_set([&old])).await;
    let world = world_of(&provider).await;
    assert_eq!(handshake(&world, &old).await, accepted());
    provider.publish(&key_set([&old, &new]));
    assert_eq!(handshake(&world, &new).await, accepted(), "it waited for the response");
    assert_eq!(handshake(&world, &old).await, accepted());
    assert_eq!(provider.requests(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_key_in_the_settings_needs_no_provider() {
    let (ours, theirs) = (pair("ours"), pair("theirs"));
    let provider = Provider::publishing(&key_set([&theirs])).await;
    provider.stop_answering();
    let world = World::with(|settings| {
        settings.auth.jwt_jwks = Some(key_set([&ours]).to_string().into());
        settings.auth.jwks_url = Some(provider.url().into());
    })
    .await;
    assert_eq!(handshake(&world, &ours).await, accepted());
    let secret = Request::upgrade("/socket/websocket").header("x-api-key", &world.sign(&user()));
    assert_eq!(world.send(secret).await.status, 101);
    world.stop().await;
}

#[tokio::test]
async fn many_unknown_kids_cause_one_request() {
    let key = pair("one");
    let provider = Provider::publishing(&key_set([&key])).await;
    let world = world_of(&provider).await;
    assert_eq!(handshake(&world, &key).await, accepted());
    let unknown_keys: Vec<_> = (0..50).map(|n| key.clone().named(&format!("unknown-{n}"))).collect();
    let mut handshakes = Vec::new();
    for unknown_key in &unknown_keys {
        handshakes.push(handshake(&world, unknown_key));
    }
    for (n, reply) in futures_util::future::join_all(handshakes).await.into_iter().enumerate() {
        assert_eq!(reply, unknown(&format!("unknown-{n}")));
    }
    assert_eq!(handshake(&world, &unknown_keys[7]).await, unknown("unknown-7"));
    assert_eq!(provider.requests(), 2, "the first, and one for all of them");
    // A forged token with a known kid causes no request.
    assert_eq!(handshake(&world, &pair("one")).await.1, "Failed to validate JWT signature");
    assert_eq!(provider.requests(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_join_does_not_wait_and_the_next_one_succeeds() {
    let (old, new) = (pair("old"), pair("new"));
    let provider = Provider::publishing(&key_set([&old])).await;
    let world = world_of(&provider).await;
    let target = format!("/socket/websocket?vsn=2.0.0&apikey={}", old.sign(&user()));
    let mut ann = world.connect_to(Dialect::V2, &target).await.expect("connected");
    provider.publish(&key_set([&old, &new]));
    let token = new.sign(&user());
    let join = |n: u32| json!([n.to_string(), n.to_string(), "realtime:room", "phx_join", {"config": {}, "access_token": token}]);
    ann.send_json(&join(1)).await;
    let reply = ann.next_json().await;
    let reason = reply[4]["response"]["reason"].as_str().expect("a reason");
    assert_eq!(reason, format!("JwtSignerError: {}", unknown("new").1));
    provider.wait_for_requests(2).await;
    let mut n = 1;
    eventually("the key is fetched", async || {
        n += 1;
        ann.send_json(&join(n)).await;
        ann.next_json().await[4]["status"] == "ok"
    })
    .await;
    assert_eq!(provider.requests(), 2);
    world.stop().await;
}

#[tokio::test]
async fn the_last_keys_stay_valid_while_the_provider_is_unavailable() {
    let key = pair("one");
    let provider = Provider::publishing(&key_set([&key])).await;
    let world = world_with_short_refresh(&provider).await;
    assert_eq!(handshake(&world, &key).await, accepted());
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", " ".repeat(300_000));
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", " ".repeat(300_000));
    let redirect = "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"keys\":[]}";
    for response in [
        "",
        "garbage",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>",
        redirect,
        empty,
        &long,
        &endless,
    ] {
        provider.answer(response);
        let failures = metric(&world, "realtime_jwks_failures_total").await;
        eventually("another failure", async || {
            metric(&world, "realtime_jwks_failures_total").await > failures + 1.0
        })
        .await;
        assert_eq!(handshake(&world, &key).await, accepted(), "{}", &response[..response.len().min(60)]);
    }
    provider.fail(500);
    assert_eq!(handshake(&world, &key).await, accepted());
    drop(provider);
    let failures = metric(&world, "realtime_jwks_failures_total").await;
    eventually("a failed connection", async || {
        metric(&world, "realtime_jwks_failures_total").await > failures + 1.0
    })
    .await;
    assert_eq!(handshake(&world, &key).await, accepted());
    world.stop().await;
}

#[tokio::test]
async fn a_withdrawn_key_is_refused() {
    let (old, new) = (pair("old"), pair("new"));
    let provider = Provider::publishing(&key_set([&old])).await;
    let world = world_with_short_refresh(&provider).await;
    assert_eq!(handshake(&world, &old).await, accepted());
    provider.publish(&key_set([&new]));
    eventually("the old key is refused", async || handshake(&world, &old).await == unknown("old")).await;
    assert_eq!(handshake(&world, &new).await, accepted());
    world.stop().await;
}

// Identity providers sign with a new key as soon as it is published, so the client may rejoin.
#[tokio::test]
async fn a_client_that_refreshes_with_a_key_not_yet_fetched_may_rejoin() {
    let (old, new) = (pair("old"), pair("new"));
    let provider = Provider::publishing(&key_set([&old])).await;
    let world = world_of(&provider).await;
    let mut ann = member(&world, &old).await;
    provider.publish(&key_set([&old, &new]));
    let refresh = |pair: &KeyPair| json!(["1", "2", "realtime:room", "access_token", {"access_token": pair.sign(&user())}]);
    ann.send_json(&refresh(&new)).await;
    assert_eq!(ann.next_json().await[4]["message"], unknown("new").1);
    assert_eq!(ann.next_json().await[3], "phx_error", "not phx_close, after which clients do not rejoin");
    eventually("the key is fetched", async || handshake(&world, &new).await == accepted()).await;
    let join =
        json!(["3", "3", "realtime:room", "phx_join", {"config": {}, "access_token": new.sign(&user())}]);
    ann.send_json(&join).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    // A forged token closes the channel for good.
    ann.send_json(&refresh(&pair("new"))).await;
    assert_eq!(ann.next_json().await[4]["message"], "Failed to validate JWT signature");
    assert_eq!(ann.next_json().await[3], "phx_close");
    world.stop().await;
}

// Joined clients are notified at once, without sending anything.
#[tokio::test]
async fn a_withdrawn_key_ends_the_channels_joined_with_it() {
    let (old, new) = (pair("old"), pair("new"));
    let provider = Provider::publishing(&key_set([&old, &new])).await;
    let world = world_with_short_refresh(&provider).await;
    let (mut ann, mut ben) = (member(&world, &old).await, member(&world, &new).await);
    provider.publish(&key_set([&new]));
    let notice = ann.next_json().await;
    assert_eq!((&notice[3], &notice[4]["status"]), (&json!("system"), &json!("error")), "{notice}");
    assert_eq!(notice[4]["message"], "The key that signed this token is no longer accepted");
    assert_eq!(ann.next_json().await[3], "phx_error");
    ben.send_json(&json!([null, "2", "phoenix", "heartbeat", {}])).await;
    assert_eq!(ben.next_json().await[1], "2", "nothing before it");
    world.stop().await;
}

#[tokio::test]
async fn a_published_secret_is_refused() {
    let (secret, key) = (KeyPair::new("secret", Algorithm::HS256), pair("one"));
    let provider = Provider::publishing(&key_set([&secret, &key])).await;
    let world = world_of(&provider).await;
    assert_eq!(handshake(&world, &key).await, accepted());
    assert_eq!(handshake(&world, &secret).await, unknown("secret"));
    assert_eq!(provider.requests(), 1, "a secret is not requested again");
    world.stop().await;
}

#[tokio::test]
async fn a_provider_that_does_not_respond_delays_only_tokens_with_unknown_keys() {
    let (known, new) = (pair("known"), pair("new"));
    let provider = Provider::publishing(&key_set([&known])).await;
    let world = World::with(|settings| {
        settings.auth.jwks_url = Some(provider.url().into());
        settings.auth.jwks_timeout = Duration::from_millis(300);
    })
    .await;
    assert_eq!(handshake(&world, &known).await, accepted());
    provider.stop_answering();
    let waiting = async {
        assert_eq!(handshake(&world, &new).await, unknown("new"), "refused after the timeout");
    };
    let unaffected = async {
        provider.wait_for_requests(2).await;
        assert_eq!(handshake(&world, &known).await, accepted());
        assert_eq!(metric(&world, "realtime_jwks_failures_total").await, 0.0, "the request is still open");
    };
    tokio::join!(waiting, unaffected);
    assert_eq!(metric(&world, "realtime_jwks_failures_total").await, 1.0);
    world.stop().await;
}

#[tokio::test]
async fn a_redirect_within_the_scheme_is_followed() {
    let key = pair("one");
    let (new_url, old_url) =
        (Provider::publishing(&key_set([&key])).await, Provider::publishing(&json!({})).await);
    old_url.answer(format!(
        "HTTP/1.1 301 Moved Permanently\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        new_url.url()
    ));
    let world = world_of(&old_url).await;
    assert_eq!(handshake(&world, &key).await, accepted());
    world.stop().await;
}
