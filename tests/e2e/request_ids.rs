//! Every answer says by which id the log knows its request (docs/protocol/http.md#request-ids), and which
//! answers a sender can do with.

use harness::{Dialect, Request, Response, Token, World};

const SOCKET: &str = "/socket/websocket";

fn id(answer: &Response) -> &str {
    answer.header("x-request-id").expect("every answer has an id")
}

#[tokio::test]
async fn whatever_the_answer_it_has_an_id_of_its_own() {
    let world = World::start().await;
    let welcome = world.target(SOCKET, Dialect::V2, Token::Valid);
    let unwelcome = world.target(SOCKET, Dialect::V2, Token::Expired);
    let mut seen = Vec::new();
    for (request, status) in [
        (Request::get("/health"), 200),
        (Request::get("/health"), 200),
        (Request::get("/nowhere"), 404),
        (Request::post("/api/broadcast"), 401),
        (Request::post(&welcome), 400),
        (Request::upgrade(&format!("{SOCKET}?vsn=9")), 403),
        (Request::upgrade(&unwelcome), 401),
        (Request::upgrade(&welcome), 101),
    ] {
        let answer = world.send(request.clone()).await;
        assert_eq!(answer.status, status, "{request:?}");
        let id = id(&answer);
        let is_url_safe = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        assert!(id.len() == 20 && is_url_safe, "{id}");
        seen.push(id.to_owned());
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "each has its own");
    world.stop().await;
}

#[tokio::test]
async fn an_id_that_was_given_is_kept() {
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
async fn who_cannot_do_with_json_is_told_so() {
    let world = World::start().await;
    let broadcast = |accept: &str| Request::post("/api/broadcast").header("accept", accept);
    for good in ["*/*", "application/json", "text/html, application/json;q=0.1", "application/*;q=0.9"] {
        assert_eq!(world.send(broadcast(good)).await.status, 401, "{good}: on to the token");
    }
    for bad in ["text/html", "application/xml, text/*", "json"] {
        let refusal = world.send(broadcast(bad)).await;
        assert_eq!((refusal.status, refusal.text().as_str()), (406, r#""Not Acceptable""#), "{bad}");
    }
    world.stop().await;
}
