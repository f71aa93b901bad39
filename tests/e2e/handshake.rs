//! Before the first frame: paths, versions, tokens, limits, and how handshakes are refused
//! (docs/protocol/websocket.md#handshake-checks).

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use harness::{Dialect, Request, Token, World, check, eventually};
use serde_json::json;

use crate::size;

const SOCKET: &str = "/socket/websocket";

#[tokio::test]
async fn both_prefixes_lead_to_the_same_rooms() {
    check(
        r#"
        ann connects at /socket/websocket
        bob connects at /realtime/v1/websocket
        ann, bob join realtime:room
        ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
        bob < [null,null,"realtime:room","broadcast",{"event":"hi"}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn without_a_version_the_first_serializer_is_used() {
    let world = World::start().await;
    let target = format!("{SOCKET}?apikey={}", world.token(Token::Valid));
    let mut ann = world.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds");
    ann.join("realtime:room", json!({})).await;
    world.stop().await;
}

#[tokio::test]
async fn patch_versions_are_accepted_and_others_are_refused_before_the_token_is_checked() {
    let world = World::start().await;
    for good in ["1.0.0", "1.0.7", "2.0.0", "2.0.3"] {
        let target = format!("{SOCKET}?apikey={}&vsn={good}", world.token(Token::Valid));
        assert_eq!(world.send(Request::upgrade(&target)).await.status, 101, "vsn={good}");
    }
    for bad in ["", "2", "2.0", "1.1.0", "2.1.0", "3.0.0", "two"] {
        let refusal = world.send(Request::upgrade(&format!("{SOCKET}?apikey=garbage&vsn={bad}"))).await;
        assert_eq!((refusal.status, refusal.text().as_str()), (403, ""), "vsn={bad}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_refused_with_the_reason_as_json() {
    let world = World::start().await;
    let signer = "Failed to generate JWT signer, check your JWT secret or JWKS configuration";
    for (token, reason) in [
        (Token::Nothing, "API key is missing"),
        (Token::Garbage, "The token provided is not a valid JWT"),
        (Token::Forged, "Failed to validate JWT signature"),
        (Token::Expired, "Token has expired"),
        (Token::Roleless, "Fields `role` and `exp` are required in JWT"),
        (Token::Endless, "Fields `role` and `exp` are required in JWT"),
        (Token::Unsigned, signer),
        (Token::Confused, signer),
    ] {
        let target = world.target(SOCKET, Dialect::V2, token);
        let refusal = world.send(Request::upgrade(&target)).await;
        assert_eq!(refusal.status, 401, "{token:?}");
        assert_eq!(refusal.header("content-type"), Some("application/json; charset=utf-8"), "{token:?}");
        assert_eq!(refusal.json(), json!({"error": reason}), "{token:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_empty_key_is_not_a_missing_one() {
    let world = World::start().await;
    let refusal = world.send(Request::upgrade(&format!("{SOCKET}?apikey=&vsn=2.0.0"))).await;
    assert_eq!(refusal.status, 401);
    assert_eq!(refusal.json(), json!({"error": "The token provided is not a valid JWT"}));
    world.stop().await;
}

#[tokio::test]
async fn the_header_takes_precedence_over_the_query() {
    let world = World::start().await;
    let (valid, garbage) = (world.token(Token::Valid), world.token(Token::Garbage));
    let welcome = Request::upgrade(&format!("{SOCKET}?apikey={garbage}")).header("x-api-key", &valid);
    assert_eq!(world.send(welcome).await.status, 101);
    let refused = Request::upgrade(&format!("{SOCKET}?apikey={valid}")).header("x-api-key", &garbage);
    assert_eq!(world.send(refused).await.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn a_token_is_accepted_in_every_place_where_http_accepts_it() {
    let world = World::start().await;
    let token = world.token(Token::Valid);
    let in_a_subprotocol = format!("phoenix, base64url.bearer.phx.{}", BASE64_URL_SAFE_NO_PAD.encode(&token));
    for (name, value) in [
        ("apikey", token.clone()),
        ("x-api-key", token.clone()),
        ("authorization", format!("Bearer {token}")),
        ("sec-websocket-protocol", in_a_subprotocol),
    ] {
        let answer = world.send(Request::upgrade(SOCKET).header(name, &value)).await;
        assert_eq!(answer.status, 101, "{name}");
        let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
        let post = Request::post("/api/broadcast").header(name, &value).json(&message);
        assert_eq!(world.send(post).await.status, 202, "{name}");
    }
    world.stop().await;
}

#[tokio::test]
async fn of_the_subprotocols_offered_the_one_of_phoenix_is_accepted() {
    let world = World::start().await;
    let target = world.target(SOCKET, Dialect::V2, Token::Valid);
    for (offered, accepted) in [
        (&[][..], None),
        (&["phoenix"][..], Some("phoenix")),
        (&["graphql-ws, phoenix"], Some("phoenix")),
        (&["graphql-ws", "phoenix"], Some("phoenix")),
        (&["graphql-ws"], None),
    ] {
        let upgrade = Request::upgrade(&target);
        let upgrade = offered.iter().fold(upgrade, |it, line| it.header("sec-websocket-protocol", line));
        let answer = world.send(upgrade).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, accepted), "{offered:?}");
    }
    world.stop().await;
}

// Go's proxies and Node's clients write a header's list on several lines (RFC 9110 §5.3).
#[tokio::test]
async fn lines_of_one_name_are_one_list_whose_tokens_have_no_case() {
    let world = World::start().await;
    let target = world.target(SOCKET, Dialect::V2, Token::Valid);
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    for lists in [
        "connection: keep-alive\r\nConnection: Upgrade\r\nupgrade: websocket",
        "connection: keep-alive,  UPGRADE\r\nupgrade: WebSocket",
        "connection: upgrade\r\nupgrade: h2c\r\nupgrade: websocket",
        "connection: upgrade\r\nupgrade: h2c, websocket",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{lists}\r\n{key}\r\n\r\n");
        assert_eq!(world.send_bytes(head.as_bytes()).await.status, 101, "{lists}");
    }
    world.stop().await;
}

#[tokio::test]
async fn another_version_of_the_protocol_is_refused_with_the_supported_one() {
    let world = World::start().await;
    let target = world.target(SOCKET, Dialect::V2, Token::Valid);
    let upgrade = Request::get(&target)
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "8")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = world.send(upgrade).await;
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")));
    world.stop().await;
}

// `createClient("https://host/")` asks for `//realtime/v1/websocket`.
#[tokio::test]
async fn empty_segments_of_clients_paths_are_ignored() {
    let world = World::start().await;
    let query = format!("?vsn=2.0.0&apikey={}", world.token(Token::Valid));
    for path in ["/realtime/v1//websocket", "//realtime/v1/websocket/", "//socket//websocket"] {
        assert_eq!(world.send(Request::upgrade(&format!("{path}{query}"))).await.status, 101, "{path}");
    }
    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    for path in ["//api/broadcast", "/realtime/v1//api/broadcast/"] {
        let post = Request::post(path).bearer(&world.token(Token::Valid)).json(&message);
        assert_eq!(world.send(post).await.status, 202, "{path}");
    }
    for path in ["/health/", "//healthcheck", "/readyz/"] {
        assert_eq!(world.send(Request::get(path)).await.status, 200, "{path}");
    }
    world.stop().await;
}

// A gateway that restricts access to `/metrics` compares paths, so there is one path for each page.
#[tokio::test]
async fn pages_of_operators_have_exactly_one_path() {
    let world = World::start().await;
    for page in ["metrics", "status"] {
        let upper = page.to_uppercase();
        let first = format!("%{:02x}", page.as_bytes()[0]);
        for (target, status) in [
            (format!("/{page}/"), 404),
            (format!("//{page}"), 404),
            (format!("/{page}//"), 404),
            (format!("/./{page}"), 404),
            (format!("/health/../{page}"), 404),
            (format!("/realtime/v1/{page}"), 404),
            (format!("/{upper}"), 404),
            (format!("/{first}{}", &page[1..]), 404),
            (format!("/{page}%2f"), 404),
            (format!("%2f{page}"), 400),
            (format!("/{page};a"), 404),
            (format!("http://x/{page}"), 404),
            (format!("/{page}#a"), 400),
            (format!("/#/{page}"), 400),
            (page.to_owned(), 400),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            assert_eq!(world.send_bytes(head.as_bytes()).await.status, status, "{target}");
        }
    }
    assert_eq!(world.send(Request::get("/admin//reload")).await.status, 404);
    assert_eq!(world.send(Request::get("/metrics")).await.status, 200);
    assert_eq!(
        world.send(Request::get("/metrics?a=b")).await.status,
        200,
        "the query is not part of the path"
    );
    world.stop().await;
}

#[tokio::test]
async fn the_root_answers_load_balancers() {
    let world = World::start().await;
    assert_eq!(world.send(Request::get("/")).await.text(), "Realtime Server\n");
    assert_eq!(world.send(Request::new("HEAD", "/")).await.status, 200);
    assert_eq!(world.send(Request::post("/")).await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn only_a_get_that_upgrades_is_a_handshake() {
    let world = World::start().await;
    let target = world.target(SOCKET, Dialect::V2, Token::Valid);
    let posted = world.send(Request::post(&target)).await;
    assert_eq!((posted.status, posted.text().as_str()), (400, ""));
    let plain = world.send(Request::get(&target)).await;
    assert_eq!(plain.status, 400);
    assert!(!plain.text().is_empty(), "the reason is in the body");
    world.stop().await;
}

// A proxy in front takes it for a body, and what follows it for the next request.
#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let world = World::start().await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let with = |name, value| Request::upgrade(&target).header(name, value);
    assert_eq!(world.send(with("content-length", "0")).await.status, 101);
    let refused = world.send(with("content-length", "6").body("frames")).await;
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (400, "not a WebSocket handshake: it has a body\n")
    );
    assert_eq!(world.send(with("transfer-encoding", "chunked").body("0\r\n\r\n")).await.status, 400);
    world.stop().await;
}

#[tokio::test]
async fn neither_compression_nor_a_subprotocol_is_agreed_on() {
    let world = World::start().await;
    let offer = Request::upgrade(&world.target(SOCKET, Dialect::V2, Token::Valid))
        .header("sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
    let welcome = world.send(offer).await;
    assert_eq!(welcome.status, 101);
    assert_eq!(welcome.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(welcome.header("sec-websocket-extensions"), None);
    assert_eq!(welcome.header("sec-websocket-protocol"), None);
    world.stop().await;
}

#[tokio::test]
async fn any_host_and_any_origin_reach_the_only_tenant() {
    let world = World::start().await;
    let target = world.target(SOCKET, Dialect::V2, Token::Valid);
    for host in ["abc.supabase.co", "localhost:4000", "[::1]:8080"] {
        let visit =
            Request::upgrade(&target).header("host", host).header("origin", "https://elsewhere.example");
        assert_eq!(world.send(visit).await.status, 101, "host {host}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_token_of_sixteen_kilobytes_passes_in_header_and_query() {
    let world = World::start().await;
    // Base64 encodes three bytes as four.
    let claims = json!({"role": "authenticated", "exp": 4_000_000_000u64, "teams": "t".repeat(11_800)});
    let token = world.sign(&claims);
    assert!(token.len() > 15_500 && token.len() <= 16_384, "{} bytes", token.len());
    let in_header = Request::upgrade(&format!("{SOCKET}?vsn=2.0.0")).header("x-api-key", &token);
    assert_eq!(world.send(in_header).await.status, 101);
    let in_query = Request::upgrade(&format!("{SOCKET}?vsn=2.0.0&apikey={token}"));
    assert_eq!(world.send(in_query).await.status, 101);
    world.stop().await;
}

#[tokio::test]
async fn at_the_limit_handshakes_are_answered_503_until_a_client_leaves() {
    let world = World::with(|settings| {
        settings.server.max_connections = size(2);
        settings.limits.max_concurrent_users = Some(size(100));
    })
    .await;
    let mut inside = world.conversation();
    inside.check("ann, bob join realtime:room").await;
    let target = world.target(SOCKET, Dialect::V2, Token::Valid);
    assert_eq!(world.send(Request::upgrade(&target)).await.status, 503);
    inside.check("ann is alive").await;
    inside.check("bob vanishes").await;
    eventually("the permit of a closed connection is free", async || {
        world.send(Request::upgrade(&target)).await.status == 101
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_delayed_refusal_delays_no_other_handshake() {
    let world =
        World::with(|settings| settings.server.connect_error_backoff = Duration::from_secs(3600)).await;
    let mut refused = world.dial().await;
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        world.target(SOCKET, Dialect::V2, Token::Expired)
    );
    refused.write(head.as_bytes()).await.expect("the server listens");
    world.check("ann joins realtime:room\n ann is quiet").await;
    world.stop().await;
}

#[tokio::test]
async fn refusals_beyond_the_bound_are_answered_without_the_pause() {
    let world = World::with(|settings| {
        settings.server.connect_error_backoff = Duration::from_secs(3600);
        settings.server.max_pending_refusals = size(1);
    })
    .await;
    let target = world.target(SOCKET, Dialect::V2, Token::Expired);
    let first = world.send(Request::upgrade(&target));
    let second = async {
        // Whichever comes second is answered at once.
        let third = world.send(Request::upgrade(&target));
        let fourth = world.send(Request::upgrade(&target));
        tokio::select! { answer = third => answer, answer = fourth => answer }
    };
    let answer = tokio::select! { answer = first => answer, answer = second => answer };
    assert_eq!(answer.status, 401);
}
