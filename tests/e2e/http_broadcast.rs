//! Broadcast over HTTP: the batch that `channel.send()` falls back to and `channel.httpSend()`
//! (docs/protocol/http.md#broadcast-checks).

use std::time::Duration;

use harness::{Request, Response, Token, World, check};
use serde_json::{Value, json};
use settings::ByteSize;

use crate::{count, size};

fn batch(messages: Value) -> Value {
    json!({"messages": messages})
}

/// Asserts that a response has the three headers about the rate of requests.
pub fn assert_rate_headers(response: &Response) {
    for name in ["x-rate-rolling", "x-rate-limit", "x-rate-limit-remaining"] {
        let value = response.header(name).unwrap_or_else(|| panic!("{name} is there ({})", response.status));
        assert!(value.parse::<i64>().is_ok(), "{name}: {value}");
    }
}

#[tokio::test]
async fn a_batch_reaches_all_members_as_text() {
    check(
        r#"
        ann joins realtime:room
        bob (v1) joins realtime:room
        POST /api/broadcast {"messages":[{"topic":"room","event":"shout","payload":{"a":1}}]} -> 202
        ann < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"shout","payload":{"a":1}}]
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"shout","payload":{"a":1}},"ref":null}
        POST /realtime/v1/api/broadcast {"messages":[{"topic":"room","event":"a","payload":{},"private":false},{"topic":"empty","event":"b","payload":{}},{"topic":"room","event":"c","payload":{}}]} -> 202
        ann < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"a","payload":{}}]
        ann < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"c","payload":{}}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn an_id_becomes_meta() {
    check(
        r#"
        ann joins realtime:room
        bob (v1) joins realtime:room
        POST /api/broadcast {"messages":[{"topic":"room","event":"e","payload":{},"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}]} -> 202
        ann < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"e","payload":{},"meta":{"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}}]
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"e","payload":{},"meta":{"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}},"ref":null}
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_single_message_reaches_the_second_serializer_in_binary() {
    check(
        r#"
        ann joins realtime:room
        bob (v1) joins realtime:room
        POST /api/broadcast/room/events/cursor {"x":1} -> 202
        ann < binary 04 0d 06 00 01 'realtime:room' 'cursor' '{"x":1}'
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"cursor","payload":{"x":1}},"ref":null}
        POST /realtime/v1/api/broadcast/room/events/list [1,2] -> 202
        ann < binary 04 0d 04 00 01 'realtime:room' 'list' '{"_json":[1,2]}'
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"list","payload":{"_json":[1,2]}},"ref":null}
        "#,
    )
    .await;
}

#[tokio::test]
async fn names_in_the_path_are_percent_encoded_and_may_hold_slashes() {
    check(
        r#"
        ann joins realtime:game:7/left
        POST /api/broadcast/game%3A7%2Fleft/events/a%20b%2Fc {"x":1} -> 202
        ann < binary 04 14 05 00 01 'realtime:game:7/left' 'a b/c' '{"x":1}'
        "#,
    )
    .await;
}

#[tokio::test]
async fn bytes_stay_bytes_and_version_one_clients_receive_none() {
    let world = World::start().await;
    let mut room = world.conversation();
    room.check("ann joins realtime:room\n bob (v1) joins realtime:room").await;
    let post = Request::post("/api/broadcast/room/events/bin").bearer(&world.token(Token::Valid));
    let octets = post.header("content-type", "application/octet-stream");
    assert_eq!(world.send(octets.clone().body([1, 2, 255])).await.status, 202);
    assert_eq!(world.send(octets).await.status, 202);
    room.check(
        r#"
        ann < binary 04 0d 03 00 00 'realtime:room' 'bin' 0102ff
        ann < binary 04 0d 03 00 00 'realtime:room' 'bin'
        bob is quiet
        "#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn other_content_types_are_refused_by_the_single_form() {
    let world = World::start().await;
    let post = Request::post("/api/broadcast/room/events/e").bearer(&world.token(Token::Valid)).body("hello");
    let refusal = world.send(post.clone().header("content-type", "text/plain")).await;
    assert_eq!(refusal.status, 415);
    let error = "Unsupported Media Type. Use application/json or application/octet-stream";
    assert_eq!(refusal.json(), json!({"error": error}));
    let charset = Request::post("/api/broadcast/room/events/e").bearer(&world.token(Token::Valid)).body("{}");
    let response = world.send(charset.header("content-type", "application/json; charset=utf-8")).await;
    assert_eq!(response.status, 202);
    world.stop().await;
}

#[tokio::test]
async fn an_invalid_batch_is_refused_with_the_errors_of_each_message() {
    let world = World::start().await;
    let mut room = world.conversation();
    room.check("ann joins realtime:room").await;
    let good = json!({"topic": "room", "event": "e", "payload": {}});
    for (sent, errors) in [
        (json!({}), json!(["can't be blank"])),
        (batch(json!([])), json!(["can't be blank"])),
        // A list is not an object, even if its items are in the order of the fields.
        (json!([[good]]), json!(["can't be blank"])),
        (batch(json!("text")), json!(["is invalid"])),
        (batch(json!([good, 7])), json!(["is invalid"])),
        (batch(json!([["room", "e", {}, false, null]])), json!(["is invalid"])),
        (
            batch(json!([{"topic": "room"}, good])),
            json!([{"payload": ["can't be blank"], "event": ["can't be blank"]}, {}]),
        ),
        (
            batch(json!([good, {"topic": "", "event": "e", "payload": {}}])),
            json!([{}, {"topic": ["can't be blank"]}]),
        ),
        (
            batch(json!([{"topic": null, "event": "e", "payload": null, "private": null, "id": null}])),
            json!([{"topic": ["can't be blank"], "payload": ["can't be blank"]}]),
        ),
        (
            batch(json!([{"topic": "room", "event": "e", "payload": "text"}])),
            json!([{"payload": ["is invalid"]}]),
        ),
        (batch(json!([{"topic": 7, "event": "e", "payload": {}}])), json!([{"topic": ["is invalid"]}])),
        (
            batch(json!([{"topic": ["room"], "event": "e", "payload": {}, "private": 1, "id": "7"}])),
            json!([{"topic": ["is invalid"], "private": ["is invalid"], "id": ["is invalid"]}]),
        ),
    ] {
        let refusal =
            world.send(Request::post("/api/broadcast").bearer(&world.token(Token::Valid)).json(&sent)).await;
        assert_eq!(refusal.status, 422, "{sent}");
        assert_eq!(refusal.json(), json!({"errors": {"messages": errors}}), "{sent}");
    }
    room.check("ann is quiet").await;
    world.stop().await;
}

#[tokio::test]
async fn too_many_messages_are_refused_before_they_are_parsed() {
    let world = World::with(|settings| settings.broadcast.max_batch_size = size(3)).await;
    let good = json!({"topic": "room", "event": "e", "payload": {}});
    let post = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
    assert_eq!(world.send(post.clone().json(&batch(json!([good, good, good])))).await.status, 202);
    for four in [json!([good, good, good, good]), json!([{}, {}, {}, {}]), json!([1, 2, 3, 4])] {
        let refusal = world.send(post.clone().json(&batch(four))).await;
        let text = "Too many messages to broadcast, please reduce the batch size";
        assert_eq!((refusal.status, refusal.json()), (429, json!({"message": text})));
    }
    world.stop().await;
}

// Once, the three errors of each of two million empty messages were put into the response: gigabytes.
#[tokio::test]
async fn a_body_full_of_empty_messages_costs_little() {
    let world = World::start().await;
    let post = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
    let body = format!("{{\"messages\":[{}{{}}]}}", "{},".repeat(2_000_000));
    let refusal = world.send(post.body(body)).await;
    assert_eq!(refusal.status, 429, "{} bytes", refusal.body.len());
    world.stop().await;
}

#[tokio::test]
async fn an_oversized_payload_is_refused() {
    let world = World::with(|settings| settings.limits.max_payload_size_in_kb = count(1)).await;
    let post = |path: &str| Request::post(path).bearer(&world.token(Token::Valid));
    let large = json!({"a": "x".repeat(4000)});
    let messages = json!([{"topic": "room", "event": "e", "payload": large}, {"topic": "room", "event": "e", "payload": {}}]);
    let refusal = world.send(post("/api/broadcast").json(&batch(messages))).await;
    let text = json!({"payload": ["Payload size exceeds tenant limit"]});
    assert_eq!((refusal.status, refusal.json()), (422, json!({"errors": {"messages": [text, {}]}})));
    let refusal = world.send(post("/api/broadcast/room/events/e").json(&large)).await;
    assert_eq!((refusal.status, refusal.json()), (422, json!({"errors": text})));
    let octets = post("/api/broadcast/room/events/e").header("content-type", "application/octet-stream");
    let refusal = world.send(octets.body(vec![0; 4000])).await;
    assert_eq!((refusal.status, refusal.json()), (422, json!({"errors": text})));
    world.stop().await;
}

#[tokio::test]
async fn invalid_and_oversized_bodies_are_refused() {
    let world = World::with(|settings| settings.broadcast.max_body_size = ByteSize::kib(2)).await;
    let post = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
    let post = post.header("content-type", "application/json");
    assert_eq!(world.send(post.clone().body("{\"messages\":[")).await.status, 400);
    let refusal = world.send(post.body(vec![b' '; 100_000])).await;
    assert_eq!((refusal.status, refusal.json()), (413, json!("Request Entity Too Large")));
    assert_rate_headers(&refusal);
    world.stop().await;
}

#[tokio::test]
async fn without_a_valid_token_the_response_is_401() {
    let world = World::start().await;
    let valid = world.token(Token::Valid);
    let message = batch(json!([{"topic": "room", "event": "e", "payload": {}}]));
    for path in ["/api/broadcast", "/api/broadcast/room/events/e", "/realtime/v1/api/broadcast"] {
        let post = Request::post(path).json(&message);
        for kind in
            [Token::Garbage, Token::Expired, Token::Forged, Token::Roleless, Token::Unsigned, Token::Confused]
        {
            let refusal = world.send(post.clone().bearer(&world.token(kind))).await;
            assert_eq!(
                (refusal.status, refusal.json()),
                (401, json!({"message": "Unauthorized"})),
                "{path} {kind:?}"
            );
        }
        for refused in [
            post.clone(),
            post.clone().header("authorization", &valid),
            post.clone().header("authorization", "Bearer"),
            post.clone().header("authorization", "Bearer garbage").header("apikey", &valid),
            post.clone().header("authorization", &format!("Basic {valid}")),
            post.clone().header("apikey", "sb_publishable_x"),
        ] {
            let refusal = world.send(refused.clone()).await;
            assert_eq!(refusal.status, 401, "{refused:?}");
        }
        for accepted in [
            post.clone().bearer(&valid),
            post.clone().header("authorization", &format!("bearer {valid}")),
            post.clone().header("apikey", &valid),
            post.clone().header("authorization", "").header("apikey", &valid),
        ] {
            assert_eq!(world.send(accepted.clone()).await.status, 202, "{accepted:?}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn every_response_to_a_valid_token_has_the_headers_of_the_rate() {
    let world = World::start().await;
    for body in [json!([{"topic": "room", "event": "e", "payload": {}}]), json!([])] {
        let post = Request::post("/api/broadcast").bearer(&world.token(Token::Valid));
        assert_rate_headers(&world.send(post.json(&batch(body))).await);
    }
    world.stop().await;
}

// The body is read after the checks. Here it never arrives, and the response does.
#[tokio::test]
async fn a_request_is_refused_before_its_body_is_read() {
    let world = World::start().await;
    for (path, header, status) in [
        ("/api/broadcast", "apikey: garbage", 401),
        ("/api/broadcast/room/events/e", "apikey: garbage", 401),
        ("/api/broadcast/room/events/e", "content-type: text/plain", 415),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-length: 7000000\r\n\r\n");
        let refusal = world.send_bytes(head.as_bytes()).await;
        assert_eq!(refusal.status, status, "{path}");
    }
    world.stop().await;
}

// Parsing a large body costs more than all else that a request causes.
#[tokio::test]
async fn once_the_rate_is_exhausted_a_body_is_not_read() {
    let world = World::with(|settings| settings.limits.max_events_per_second = count(5)).await;
    let token = world.token(Token::Valid);
    let message = json!({"topic": "room", "event": "e", "payload": {}});
    // Ten seconds' worth at once.
    let first = Request::post("/api/broadcast").bearer(&token).json(&batch(json!(vec![message; 50])));
    assert_eq!(world.send(first).await.status, 202);
    let head = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: x\r\napikey: {token}\r\ncontent-length: 7000000\r\n\r\n"
    );
    let refusal = world.send_bytes(head.as_bytes()).await;
    assert_eq!(refusal.status, 429);
    world.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_refused_with_408() {
    let world = World::with(|settings| settings.server.handshake_timeout = Duration::from_millis(100)).await;
    let token = world.token(Token::Valid);
    let head =
        format!("POST /api/broadcast HTTP/1.1\r\nhost: x\r\napikey: {token}\r\ncontent-length: 9\r\n\r\n");
    let refusal = world.send_bytes(head.as_bytes()).await;
    assert_eq!((refusal.status, refusal.json()), (408, json!("Request Timeout")));
    assert_rate_headers(&refusal);
    world.stop().await;
}

// Upstream leaves preflight requests to its gateway. Without a gateway the server responds to them.
#[tokio::test]
async fn browsers_may_send_from_any_origin() {
    let world = World::start().await;
    for path in ["/api/broadcast", "/realtime/v1/api/broadcast", "/api/broadcast/room/events/e"] {
        let preflight = Request::new("OPTIONS", path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,apikey,content-type");
        let response = world.send(preflight).await;
        assert_eq!(response.status, 204, "{path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert!(
            response.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST"))
        );
        let allowed = response.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
        let all = ["authorization", "apikey", "content-type"].iter().all(|name| allowed.contains(name));
        assert!(all || allowed == "*", "{path}: {allowed}");
        let post = Request::post(path).header("origin", "https://app.example").json(&json!({}));
        assert_eq!(world.send(post).await.header("access-control-allow-origin"), Some("*"), "{path}");
    }
    world.stop().await;
}

// Without a tenant database no policy can be evaluated, and 202 would hide that no client receives the message.
#[tokio::test]
async fn private_messages_are_refused_in_both_forms() {
    check(
        r#"
        ann joins realtime:room
        POST /api/broadcast {"messages":[{"topic":"room","event":"no","payload":{},"private":true}]} -> 422 {"message":"Tenant database unavailable"}
        POST /api/broadcast {"messages":[{"topic":"room","event":"no","payload":{}},{"topic":"room","event":"no","payload":{},"private":"true"}]} -> 422 {"message":"Tenant database unavailable"}
        POST /api/broadcast {"messages":[{"topic":"room","event":"no","payload":{},"private":"1"}]} -> 422 {"message":"Tenant database unavailable"}
        POST /api/broadcast/room/events/e?private=true {} -> 422 {"message":"Tenant database unavailable"}
        ann is quiet
        POST /api/broadcast {"messages":[{"topic":"room","event":"yes","payload":{},"private":false}]} -> 202
        ann < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"yes","payload":{}}]
        POST /api/broadcast/room/events/e?private=false {} -> 202
        ann < binary 04 0d 01 00 01 'realtime:room' 'e' '{}'
        ann is quiet
        "#,
    )
    .await;
}

// The intended name is unknown, and a replacement character would name another room.
#[tokio::test]
async fn a_name_that_is_not_utf_8_is_refused() {
    let world = World::start().await;
    for path in ["/api/broadcast/%ff/events/e", "/api/broadcast/room/events/%c3"] {
        let post = Request::post(path).bearer(&world.token(Token::Valid)).json(&json!({}));
        assert_eq!(world.send(post).await.status, 400, "{path}");
    }
    world.stop().await;
}

// No client can join such a room: its name does not fit the frame of a join.
#[tokio::test]
async fn a_topic_too_long_to_be_joined_is_refused_in_both_forms() {
    let world = World::start().await;
    let post = |path: &str| Request::post(path).bearer(&world.token(Token::Valid));
    let message = |bytes| json!([{"topic": "x".repeat(bytes), "event": "e", "payload": {}}]);
    assert_eq!(world.send(post("/api/broadcast").json(&batch(message(246)))).await.status, 202);
    let refusal = world.send(post("/api/broadcast").json(&batch(message(247)))).await;
    let text = json!({"topic": ["should be at most 246 byte(s)"]});
    assert_eq!((refusal.status, refusal.json()), (422, json!({"errors": {"messages": [text]}})));
    let alone = format!("/api/broadcast/{}/events/e", "x".repeat(247));
    let refusal = world.send(post(&alone).json(&json!({}))).await;
    assert_eq!((refusal.status, refusal.json()), (422, json!({"errors": text})));
    world.stop().await;
}

#[tokio::test]
async fn unknown_routes_are_not_found() {
    let world = World::start().await;
    for path in
        ["/api/nothing", "/api/broadcast/room", "/api/broadcast/room/events", "/api/broadcast/a/events/b/c"]
    {
        let post = Request::post(path).bearer(&world.token(Token::Valid)).json(&json!({}));
        assert_eq!(world.send(post).await.status, 404, "{path}");
    }
    world.stop().await;
}
