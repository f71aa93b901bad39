//! Every response has the id of its request in the log (docs/protocol/http.md#request-ids); and content negotiation.

use harness::{Dialect, Request, Response, Token, World};

const SOCKET: &str = "/socket/websocket";

fn id(response: &Response) -> &str {
    response.header("x-request-id").expect("every response has an id")
}

#[tokio::test]
async fn every_response_has_an_id_of_its_own() {
    let world = World::start().await;
    let valid = world.target(SOCKET, Dialect::V2, Token::Valid);
    let expired = world.target(SOCKET, Dialect::V2, Token::Expired);
    let mut seen = Vec::new();
    for (request, status) in [
        (Request::get("/health"), 200),
        (Request::get("/health"), 200),
        (Request::get("/nowhere"), 404),
        (Request::post("/api/broadcast"), 401),
        (Request::post(&valid), 400),
        (Request::upgrade(&format!("{SOCKET}?vsn=9")), 403),
        (Request::upgrade(&expired), 401),
        (Request::upgrade(&valid), 101),
    ] {
        let response = world.send(request.clone()).await;
        assert_eq!(response.status, status, "{request:?}");
        let id = id(&response);
        let is_url_safe = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        assert!(id.len() == 20 && is_url_safe, "{id}");
        seen.push(id.to_owned());
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "no id occurs twice");
    world.stop().await;
}

#[tokio::test]
async fn an_id_from_the_client_is_kept() {
    let world = World::with(|settings| settings.server.request_id_baggage_key = "sb-request-id".into()).await;
    let health = || Request::get("/health").header("x-request-id", "0123456789-0123456789");
    assert_eq!(id(&world.send(health()).await), "0123456789-0123456789");
    let baggage = health().header("baggage", "request-id=not-this-one, sb-request-id=but%20this-one;p");
    assert_eq!(id(&world.send(baggage).await), "but this-one");
    let short = Request::get("/health").header("x-request-id", "0123456789-01234567");
    assert_ne!(id(&world.send(short).await), "0123456789-01234567");
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_accept_json_is_refused() {
    let world = World::start().await;
    let broadcast = |accept: &str| Request::post("/api/broadcast").header("accept", accept);
    for good in ["*/*", "application/json", "text/html, application/json;q=0.1", "application/*;q=0.9"] {
        assert_eq!(world.send(broadcast(good)).await.status, 401, "{good}: the token is checked next");
    }
    for bad in ["text/html", "application/xml, text/*", "json"] {
        let refusal = world.send(broadcast(bad)).await;
        assert_eq!((refusal.status, refusal.text().as_str()), (406, r#""Not Acceptable""#), "{bad}");
    }
    world.stop().await;
}
