//! The heads of requests: what a proxy in front of the server might read in another way is refused
//! (docs/protocol/http.md#errors-without-a-controller).

use harness::World;

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
