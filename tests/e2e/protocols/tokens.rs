//! Protocols whose tokens have no role, and whose clients are browsers: the document protocols, played by one of these tests
//! (`documents.rs`).

use std::sync::Arc;

use harness::{Client, Dialect, Frame, Request, Token, World};
use realtime_server::sessions::Unauthenticated;
use serde_json::{Value, json};

use super::documents::{DocumentsProtocol, begin_without_claims};
use crate::{count, size};

const FOREVER: i64 = 4_000_000_000;

async fn world(unauthenticated: Unauthenticated) -> World {
    let protocol = Arc::new(DocumentsProtocol { unauthenticated });
    World::extended(|server| server.protocol(protocol), |_| {}).await
}

/// A world whose clients may send their token after the handshake.
async fn world_with_later_tokens() -> World {
    world(Unauthenticated::Accepted(begin_without_claims)).await
}

fn of_ann(world: &World) -> String {
    world.sign(&json!({"sub": "ann", "exp": FOREVER}))
}

/// A token that channels accept.
fn of_no_user(world: &World) -> String {
    world.sign(&json!({"role": "authenticated", "exp": FOREVER}))
}

async fn connect(world: &World, target: &str) -> Client {
    world.connect_to(Dialect::V2, target).await.expect("the WebSocket is opened")
}

async fn line(client: &mut Client) -> String {
    match client.next().await {
        Frame::Text(line) => line,
        other => panic!("not a line: {other:?}"),
    }
}

#[tokio::test]
async fn a_session_gets_the_rest_of_the_path_and_the_claims_of_a_token_without_a_role() {
    let world = world(Unauthenticated::Closed).await;
    let token = of_ann(&world);
    for (path, document) in [
        ("/documents/team/notes", "team/notes"),
        ("/realtime/v1/documents/team%20a/a/b", "team%20a/a/b"),
        ("/documents/team/notes?x=1", "team/notes"),
    ] {
        let mut client = connect(&world, &format!("{path}?token={token}")).await;
        assert_eq!(line(&mut client).await, format!("{document} as ann"));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_offers_subprotocols_is_confirmed_one_that_is_no_token() {
    let world = world(Unauthenticated::Closed).await;
    let token = of_ann(&world);
    for (offered, confirmed) in [
        (format!("bearer, {token}"), Some("bearer")),
        (format!("mine, bearer, {token}"), Some("bearer")),
        ("mine, other".into(), Some("mine")),
    ] {
        let handshake = Request::upgrade("/documents/a").header("sec-websocket-protocol", &offered);
        let response = world.send(handshake).await;
        assert_eq!(
            (response.status, response.header("sec-websocket-protocol")),
            (101, confirmed),
            "{offered}"
        );
    }
    world.stop().await;
}

// A browser hides the response to a refused handshake, and its client would try again for ever.
#[tokio::test]
async fn a_client_without_an_accepted_token_is_closed_for_good() {
    let world = world(Unauthenticated::Closed).await;
    let expired = world.sign(&json!({"sub": "ann", "exp": 1}));
    let without_sub = of_no_user(&world);
    for token in ["", "garbage", &world.token(Token::Forged), &expired, &without_sub] {
        let mut client = connect(&world, &format!("/documents/a?token={token}")).await;
        assert_eq!(client.end().await, Some(4401), "{token}");
    }
    let mut client = connect(&world, "/documents/a").await;
    assert_eq!(client.end().await, Some(4401));
    harness::eventually("the permits are returned", async || world.node().connections() == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_tenant_and_a_suspended_one_are_forbidden() {
    for unauthenticated in [Unauthenticated::Closed, Unauthenticated::Accepted(begin_without_claims)] {
        let world = world(unauthenticated).await;
        let mut client = connect(&world, "/documents/a?tenant=unknown").await;
        assert_eq!(client.end().await, Some(4403));
        world.apply(|settings| {
            settings.tenants.insert("b".into(), settings::Tenant { suspended: true, ..Default::default() });
        });
        let mut client = connect(&world, "/documents/a?tenant=b").await;
        assert_eq!(client.end().await, Some(4403));
        world.stop().await;
    }
}

#[tokio::test]
async fn limits_are_refused_by_a_response_whatever_the_token() {
    let world = world(Unauthenticated::Closed).await;
    let (target, token) = ("/documents/a?token=", of_ann(&world));
    world.apply(|settings| settings.server.max_connections_per_address = Some(size(1)));
    let client = connect(&world, &format!("{target}{token}")).await;
    for token in [&*token, "garbage"] {
        let response = world.send(Request::upgrade(&format!("{target}{token}"))).await;
        assert_eq!(response.status, 429, "{}", response.text());
    }
    drop(client);
    world.stop().await;
}

#[tokio::test]
async fn a_token_may_follow_the_handshake() {
    let world = world_with_later_tokens().await;
    let mut client = connect(&world, "/documents/a").await;
    assert_eq!(line(&mut client).await, "a without claims: API key is missing");
    for (token, answer) in [
        ("garbage".into(), "refused: The token provided is not a valid JWT"),
        (world.token(Token::Forged), "refused: Failed to validate JWT signature"),
        (of_no_user(&world), "refused: Fields `sub` and `exp` are required in JWT"),
        (of_ann(&world), "token of ann"),
    ] {
        client.send_text(format!("token {token}")).await;
        assert_eq!(line(&mut client).await, answer);
    }
    let mut client = connect(&world, &format!("/documents/a?token={}", of_ann(&world))).await;
    assert_eq!(line(&mut client).await, "a as ann");
    world.stop().await;
}

#[tokio::test]
async fn tokens_that_no_key_has_signed_count_against_the_address_wherever_they_are_sent() {
    let world = world_with_later_tokens().await;
    world.apply(|settings| settings.server.max_unverified_requests_per_second = count(1));
    // Without a token a handshake does not count, so that an office of clients can come back at once.
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(connect(&world, "/documents/a").await);
    }
    let client = clients.last_mut().expect("one of them");
    assert_eq!(line(client).await, "a without claims: API key is missing");
    let known = of_ann(&world);
    client.send_text(format!("token {known}")).await;
    assert_eq!(line(client).await, "token of ann");
    let forged = world.token(Token::Forged);
    let over = "refused: too many requests without a valid token from this address";
    for n in 0.. {
        assert!(n < 100, "the rate is reached");
        client.send_text(format!("token {forged}")).await;
        if line(client).await == over {
            break;
        }
    }
    client.send_text(format!("token {known}")).await;
    assert_eq!(line(client).await, "token of ann", "it is known");
    world.stop().await;
}

#[tokio::test]
async fn permissions_of_another_form_are_refused_with_the_reason() {
    let world = world_with_later_tokens().await;
    let claims = |permissions: Value| json!({"sub": "ann", "exp": FOREVER, "permissions": permissions});
    let mut client = connect(&world, "/documents/a").await;
    assert_eq!(line(&mut client).await, "a without claims: API key is missing");
    client.send_text(format!("token {}", world.sign(&claims(json!({"rooms": "a"}))))).await;
    assert_eq!(line(&mut client).await, "refused: Claim `permissions` has `rooms` that is not a list");
    world.stop().await;
}
