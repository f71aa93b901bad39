//! The heads of requests: what a proxy in front of the server might read in another way is refused
//! (docs/protocol/http.md#errors-without-a-controller).

use std::time::Duration;

use harness::{Token, World};
use serde_json::json;

/// The status of the response to these bytes, and that the connection is closed after it.
async fn refused_with(world: &World, bytes: &str) -> u16 {
    let mut socket = world.dial().await;
    socket.write(bytes.as_bytes()).await.expect("the server listens");
    let response = socket.response().await;
    // A further request on the same connection is not served, whether it was sent before the response or not.
    let _may_be_closed = socket.write(b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(socket.is_dropped().await, "{bytes:?}");
    response.status
}

#[tokio::test]
async fn a_request_has_one_host() {
    let world = World::start().await;
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a\r\nHost: a\r\n",
        "host: a/b\r\n",
        "host: user@a\r\n",
        "host: a b\r\n",
    ] {
        for path in ["/healthcheck", "/metrics", "/socket/websocket", "/nowhere"] {
            let head = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            assert_eq!(refused_with(&world, &head).await, 400, "{head:?}");
        }
    }
    let two = "GET /healthcheck HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n";
    assert_eq!(refused_with(&world, two).await, 400);
    for good in ["HTTP/1.0\r\n", "HTTP/1.1\r\nhost:\r\n", "HTTP/1.1\r\nhost: [::1]:80\r\n"] {
        let head = format!("GET /healthcheck {good}\r\n");
        assert_eq!(world.send_bytes(head.as_bytes()).await.status, 200, "{head:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_only_transfer_coding_is_chunked_once() {
    let world = World::start().await;
    let post = |version: &str, headers: &str| {
        format!("POST /api/broadcast HTTP/{version}\r\nhost: x\r\n{headers}\r\n2\r\n{{}}\r\n0\r\n\r\n")
    };
    for codings in [
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: \r\n",
        "transfer-encoding: ,chunked\r\n",
        "transfer-encoding: chunked;q=1\r\n",
    ] {
        assert_eq!(refused_with(&world, &post("1.1", codings)).await, 400, "{codings:?}");
    }
    assert_eq!(refused_with(&world, &post("1.0", "transfer-encoding: chunked\r\n")).await, 400);
    let good = post("1.1", "Transfer-Encoding: Chunked\r\n");
    assert_eq!(world.send_bytes(good.as_bytes()).await.status, 401, "there is no token");
    world.stop().await;
}

#[tokio::test]
async fn a_body_has_one_length() {
    let world = World::start().await;
    for headers in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5, 5\r\n",
    ] {
        let post = format!("POST /api/broadcast HTTP/1.1\r\nhost: x\r\n{headers}\r\n0\r\n\r\n");
        assert_eq!(refused_with(&world, &post).await, 400, "{headers:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_line_ends_with_carriage_return_and_line_feed() {
    let world = World::start().await;
    for head in [
        "GET /healthcheck HTTP/1.1\nhost: x\n\n",
        "GET /healthcheck HTTP/1.1\nhost: x\r\n\r\n",
        "GET /healthcheck HTTP/1.1\r\nhost: x\n\r\n",
        "GET /healthcheck HTTP/1.1\r\nhost: x\r\n\n",
        "GET /healthcheck HTTP/1.1\r\nhost: x\r\na: b\nc: d\r\n\r\n",
        "\nGET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /healthcheck HTTP/1.1\r\rhost: x\r\n\r\n",
        "GET /healthcheck HTTP/1.1\r\nhost: x\r\n b: c\r\n\r\n",
        "GET /healthcheck HTTP/1.1\r\nhost : x\r\n\r\n",
    ] {
        assert_eq!(refused_with(&world, head).await, 400, "{head:?}");
        // Also where the head follows that of another request, or its body.
        for first in [
            "GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST /healthcheck HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na\nb",
        ] {
            let mut socket = world.dial().await;
            socket.write(format!("{first}{head}").as_bytes()).await.expect("the server listens");
            assert!([200, 404].contains(&socket.response().await.status));
            if first.starts_with("GET") {
                assert_eq!(socket.response().await.status, 400, "{head:?}");
            }
            assert!(socket.is_dropped().await);
        }
    }
    let after_an_empty_line =
        world.send_bytes(b"\r\nGET /healthcheck HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(after_an_empty_line.await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn chunks_are_framed_by_carriage_return_and_line_feed() {
    let world = World::start().await;
    let token = world.token(Token::Valid);
    let post = |body: &str| {
        format!(
            "POST /api/broadcast HTTP/1.1\r\nhost: x\r\napikey: {token}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{body}"
        )
    };
    let json = json!({"messages": [{"topic": "a", "event": "b", "payload": {}}]}).to_string();
    let size = json.len();
    for body in [
        format!("{size:x}\n{json}\r\n0\r\n\r\n"),
        format!("{size:x}\r\n{json}\n0\r\n\r\n"),
        format!("{size:x}\r\n{json}\r\n0\n\r\n"),
        format!("{size:x}\r\n{json}\r\n0\r\n\nGET / HTTP/1.1\r\n\r\n"),
        format!("{size:x};a\n{json}\r\n0\r\n\r\n"),
        format!("{size:x}\r\n{json}\r\n0\r\na: b\nc: d\r\n\r\n"),
        format!("0x{size:x}\r\n{json}\r\n0\r\n\r\n"),
        format!("+{size:x}\r\n{json}\r\n0\r\n\r\n"),
    ] {
        assert_eq!(refused_with(&world, &post(&body)).await, 400, "{body:?}");
    }
    // No other request follows a chunked body on its connection.
    let good = post(&format!("{size:x}\r\n{json}\r\n0\r\n\r\n"));
    assert_eq!(refused_with(&world, &good).await, 202);
    world.stop().await;
}

#[tokio::test]
async fn requests_may_be_sent_before_the_response_to_the_previous_one() {
    let world = World::start().await;
    let token = world.token(Token::Valid);
    let body =
        json!({"messages": [{"topic": "a", "event": "b", "payload": {"text": "a\n\r\n\r\n"}}]}).to_string();
    let post = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: x\r\napikey: {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let get = "GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n";
    let all = format!("{post}{get}{get}{post}{post}{get}");
    for size in [1, 7, 100, 10_000] {
        let mut socket = world.dial().await;
        for bytes in all.as_bytes().chunks(size) {
            socket.write(bytes).await.expect("it is open");
        }
        for status in [202, 200, 200, 202, 202, 200] {
            assert_eq!(socket.response().await.status, status, "in pieces of {size}");
        }
    }
    world.stop().await;
}

// The bytes were taken for a part of the first request, and had the time-out of an idle connection.
#[tokio::test]
async fn half_a_head_that_precedes_a_response_has_the_deadline_of_a_head() {
    let world = World::with(|settings| {
        settings.server.handshake_timeout = Duration::from_millis(300);
        settings.server.keep_alive_timeout = Duration::from_secs(3_600);
    })
    .await;
    let post = "POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let get = "GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n";
    for first in [get, post] {
        let mut socket = world.dial().await;
        socket.write(format!("{first}GET /health").as_bytes()).await.expect("it is open");
        assert!([200, 401].contains(&socket.response().await.status));
        assert!(socket.is_dropped().await, "{first:?}");
    }
    let mut refused = world.dial().await;
    world.apply(|settings| settings.server.connect_error_backoff = Duration::from_millis(600));
    let handshake = world.target("/socket/websocket", harness::Dialect::V2, Token::Expired);
    let head = format!("GET {handshake} HTTP/1.1\r\nhost: x\r\n\r\n");
    refused.write(head.as_bytes()).await.expect("it is open");
    refused.write(b"GET /health").await.expect("it is open");
    assert_eq!(
        refused.response().await.status,
        401,
        "the response is not lost, although the deadline has passed"
    );
    assert!(refused.is_dropped().await);
    world.stop().await;
}
