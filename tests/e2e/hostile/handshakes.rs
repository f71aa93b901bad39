//! Handshakes: bytes that are not HTTP, incomplete and oversized heads, and false tokens.

use super::*;

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_dropped() {
    let world = World::with(|settings| settings.server.handshake_timeout = Duration::from_millis(300)).await;
    let pair = bystanders(&world).await;
    let mut silent = world.dial().await;
    let mut halfway = world.dial().await;
    halfway.write(b"GET /socket/websocket HTTP/1.1\r\nhost: x\r\nx-wait").await.expect("the server listens");
    assert!(silent.is_dropped().await, "nothing was sent");
    assert!(halfway.is_dropped().await, "half a request was sent");
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /socket/websocket HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ] {
        let mut socket = world.dial().await;
        socket.write(bytes).await.expect("the server listens");
        assert!(socket.is_dropped().await, "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn header_floods_are_answered_with_431() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let one_long = Request::upgrade(&target).header("x-filler", &"x".repeat(100_000));
    assert_eq!(world.send(one_long).await.status, 431);
    let many = (0..2000)
        .fold(Request::upgrade(&target), |request, n| request.header(&format!("x-{n}"), &"x".repeat(100)));
    assert_eq!(world.send(many).await.status, 431);
    let mut endless = world.dial().await;
    endless.write(b"GET / HTTP/1.1\r\nhost: x\r\n").await.expect("the server listens");
    // A megabyte would be thirty times what a head may have.
    let flood =
        async { while endless.write(b"x-filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await.is_ok() {} };
    timeout(harness::WAIT_MAX, flood).await.expect("the server hangs up");
    let long_line = Request::get(&format!("/{}", "x".repeat(200_000)));
    let status = world.send(long_line).await.status;
    assert!(matches!(status, 400 | 414 | 431), "{status}");
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"self":true}}
        ann > ["2","2","realtime:a","phx_join",{"config":{},"access_token":"$forged"}]
        ann < ["2","2","realtime:a","phx_reply",{"status":"error","response":{"reason":"JwtSignatureError: Failed to validate JWT signature"}}]
        ann > ["3","3","realtime:a","phx_join",{"config":{},"access_token":"$unsigned"}]
        ann < ["3","3","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["4","4","realtime:a","phx_join",{"config":{},"access_token":"$confused"}]
        ann < ["4","4","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["5","5","realtime:a","phx_join",{"config":{},"access_token":"$valid.more"}]
        ann < ["5","5","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["6","6","realtime:a","phx_join",{"config":{},"access_token":"..."}]
        ann < ["6","6","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["1","7","realtime:room","broadcast",{"event":"assert_unaffected"}]
        ann < [null,null,"realtime:room","broadcast",{"event":"assert_unaffected"}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_refused() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    let huge = format!("{0}.{0}.{0}", "e".repeat(400_000));
    ann.push("2", "realtime:a", "phx_join", &json!({"config": {}, "access_token": huge})).await;
    assert_eq!(ann.next_json().await[4]["status"], "error");
    assert_unaffected(pair).await;
    world.stop().await;
}
