//! Joining and leaving rooms (docs/protocol/channels.md).

use std::time::Duration;

use harness::{Frame, World, check};
use serde_json::json;

#[tokio::test]
async fn a_join_is_answered_with_the_empty_list_of_changes() {
    check(
        r#"
        ann connects
        ann > ["6","6","realtime:room1","phx_join",{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":false},"postgres_changes":[],"private":false},"access_token":"$valid","version":"realtime-js/2.112.2"}]
        ann < ["6","6","realtime:room1","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        bob (v1) connects
        bob > {"event":"phx_join","payload":{"config":{"broadcast":null,"presence":{"key":"","enabled":false},"private":false,"postgres_changes":[]},"access_token":"$valid"},"topic":"realtime:room1","ref":"1","join_ref":null}
        bob < {"topic":"realtime:room1","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[]}},"ref":"1"}
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn nulls_strings_for_booleans_and_unknown_keys_are_accepted() {
    check(
        r#"
        ann joins realtime:a {"broadcast":null,"presence":null,"postgres_changes":null,"private":"false"}
        ann joins realtime:b {"postgres_changes":[null],"private":"False","colour":"blue"}
        ann joins realtime:c {"broadcast":{"self":"TRUE","ack":"true","shape":"round"},"presence":{"enabled":"false"}}
        ann > ["3","9","realtime:c","broadcast",{"event":"hi"}]
        ann < [null,null,"realtime:c","broadcast",{"event":"hi"}]
        ann < ["3","9","realtime:c","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
}

// docs/protocol/channels.md#join-payload: a field that does not parse takes its default, and the join goes on.
#[tokio::test]
async fn wrong_types_fall_back_to_their_defaults() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"self":5,"ack":[]},"presence":{"enabled":{}}}
        ann joins realtime:other {"broadcast":"loud","presence":7}
        ann > ["1","9","realtime:room","broadcast",{"event":"hi"}]
        ann is quiet
        "#,
    )
    .await;
}

// docs/protocol/channels.md#join-payload: a client that meant the private room must not join the
// public one.
#[tokio::test]
async fn a_private_that_cannot_be_read_is_refused() {
    check(
        r#"
        ann connects
        ann > ["1","1","realtime:room","phx_join",{"config":{"private":"yes"}}]
        ann < ["1","1","realtime:room","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["2","2","realtime:room","phx_join",{"config":{"private":1}}]
        ann < ["2","2","realtime:room","phx_reply",{"status":"error","response":{"reason":_}}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_topic_needs_a_name() {
    check(
        r#"
        ann connects
        ann > ["1","1","realtime:","phx_join",{"config":{}}]
        ann < ["1","1","realtime:","phx_reply",{"status":"error","response":{"reason":"TopicNameRequired: You must provide a topic name"}}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_topic_has_at_most_255_bytes() {
    let longest = format!("realtime:{}", "x".repeat(246));
    let too_long = format!("{longest}x");
    check(&format!(
        r#"
        ann joins {longest}
        ann > ["2","2","{too_long}","phx_join",{{"config":{{}}}}]
        ann < ["2","2","{too_long}","phx_reply",{{"status":"error","response":{{"reason":_}}}}]
        ann is quiet
        "#
    ))
    .await;
}

#[tokio::test]
async fn topics_are_returned_as_joined_and_case_matters() {
    check(
        r#"
        ann joins realtime:Room:with:colons
        bob joins realtime:room:with:colons
        cid joins realtime:Room:with:colons
        cid > ["1","2","realtime:Room:with:colons","broadcast",{"event":"hi"}]
        ann < [null,null,"realtime:Room:with:colons","broadcast",{"event":"hi"}]
        bob is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn other_topics_and_topics_not_joined_are_unmatched() {
    check(
        r#"
        ann connects
        ann > ["1","8","other:x","phx_join",{}]
        ann < [null,"8","other:x","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann > ["1","9","realtime:room","broadcast",{"event":"hi"}]
        ann < [null,"9","realtime:room","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann > ["1","10","realtime:room","access_token",{"access_token":"$valid"}]
        ann < [null,"10","realtime:room","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann > binary 03 01 02 0d 02 00 01 '1' '11' 'realtime:room' 'hi' '{}'
        ann < [null,"11","realtime:room","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        bob (v1) connects
        bob > {"topic":"other:x","event":"hi","payload":{},"ref":"3"}
        bob < {"topic":"other:x","event":"phx_reply","payload":{"status":"error","response":{"reason":"unmatched topic"}},"ref":"3"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_leave_is_answered_and_then_the_channel_is_closed() {
    check(
        r#"
        ann connects
        ann > ["6","6","realtime:room","phx_join",{"config":{}}]
        ann < ["6","6","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann > ["6","12","realtime:room","phx_leave",{}]
        ann < ["6","12","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann < ["6","6","realtime:room","phx_close",{}]
        bob joins realtime:room
        bob > ["1","2","realtime:room","broadcast",{"event":"hi"}]
        ann is quiet
        ann > ["6","13","realtime:room","phx_leave",{}]
        ann < [_,"13","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_leave_of_an_earlier_join_is_ignored() {
    check(
        r#"
        ann joins realtime:room
        bob joins realtime:room
        ann > ["99","5","realtime:room","phx_leave",{}]
        ann is quiet
        bob > ["1","2","realtime:room","broadcast",{"event":"hi"}]
        ann < [null,null,"realtime:room","broadcast",{"event":"hi"}]
        ann > [null,"6","realtime:room","phx_leave",{}]
        ann < [_,"6","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann < ["1","1","realtime:room","phx_close",{}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_v1_join_without_join_ref_closes_with_a_null_ref() {
    check(
        r#"
        ann (v1) connects
        ann > {"topic":"realtime:room","event":"phx_join","payload":{"config":{}},"ref":"1","join_ref":null}
        ann < {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[]}},"ref":"1"}
        ann > {"topic":"realtime:room","event":"phx_leave","payload":{},"ref":"2","join_ref":null}
        ann < {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}
        ann < {"topic":"realtime:room","event":"phx_close","payload":{},"ref":null}
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_v1_join_with_join_ref_closes_with_that_ref() {
    check(
        r#"
        ann (v1) connects
        ann > {"topic":"realtime:room","event":"phx_join","payload":{"config":{}},"ref":"4","join_ref":"4"}
        ann < {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[]}},"ref":"4"}
        ann > {"topic":"realtime:room","event":"phx_leave","payload":{},"ref":"5","join_ref":"4"}
        ann < {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"5"}
        ann < {"topic":"realtime:room","event":"phx_close","payload":{},"ref":"4"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_rejoin_is_answered_before_the_old_join_is_closed() {
    check(
        r#"
        ann connects
        ann > ["6","6","realtime:room","phx_join",{"config":{}}]
        ann < ["6","6","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann > ["9","9","realtime:room","phx_join",{"config":{"broadcast":{"self":true}}}]
        ann < ["9","9","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < ["6","6","realtime:room","phx_close",{}]
        ann > ["9","10","realtime:room","broadcast",{"event":"once"}]
        ann < [null,null,"realtime:room","broadcast",{"event":"once"}]
        ann is quiet
        "#,
    )
    .await;
}

// docs/protocol/channels.md#repeated-joins: realtime-js sends two joins back to back after failed connection
// attempts; the second one is current.
#[tokio::test]
async fn of_two_joins_back_to_back_the_second_is_current() {
    let world = World::start().await;
    let mut ann = world.connect().await;
    ann.send_text(r#"["6","6","realtime:room","phx_join",{"config":{"broadcast":{"self":true}}}]"#).await;
    ann.send_text(r#"["16","16","realtime:room","phx_join",{"config":{"broadcast":{"self":true}}}]"#).await;
    let frames = ann.received().await;
    let reply = json!(["16", "16", "realtime:room", "phx_reply", {"status": "ok", "response": {"postgres_changes": []}}]);
    assert!(frames.contains(&Frame::Json(reply)), "{frames:?}");
    let close_of_the_second = json!(["16", "16", "realtime:room", "phx_close", {}]);
    assert!(!frames.contains(&Frame::Json(close_of_the_second)), "{frames:?}");
    ann.send_text(r#"["16","17","realtime:room","broadcast",{"event":"hi"}]"#).await;
    assert_eq!(
        ann.received().await,
        [Frame::Json(json!([null, null, "realtime:room", "broadcast", {"event": "hi"}]))]
    );
    world.stop().await;
}

#[tokio::test]
async fn a_rejoin_that_is_refused_closes_the_old_join_too() {
    check(
        r#"
        ann, bob join realtime:room
        ann > ["9","9","realtime:room","phx_join",{"config":{},"access_token":"$garbage"}]
        ann <~ ["9","9","realtime:room","phx_reply",{"status":"error","response":{"reason":"MalformedJWT: The token provided is not a valid JWT"}}]
        ann <~ ["1","1","realtime:room","phx_close",{}]
        bob > ["1","2","realtime:room","broadcast",{"event":"hi"}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn stale_and_missing_join_refs_are_accepted() {
    check(
        r#"
        ann, bob join realtime:room {"broadcast":{"ack":true}}
        ann > [null,"2","realtime:room","broadcast",{"event":"a"}]
        ann < [_,"2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann > ["99","3","realtime:room","broadcast",{"event":"b"}]
        ann < [_,"3","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann > binary 03 00 01 0d 01 00 01 '4' 'realtime:room' 'c' '{}'
        ann < [_,"4","realtime:room","phx_reply",{"status":"ok","response":{}}]
        bob < [null,null,"realtime:room","broadcast",{"event":"a"}]
        bob < [null,null,"realtime:room","broadcast",{"event":"b"}]
        bob < binary 04 0d 01 00 01 'realtime:room' 'c' '{}'
        ann > ["99","5","realtime:room","presence",{"type":"presence","event":"dance"}]
        ann < [_,"5","realtime:room","phx_reply",{"status":"error","response":{}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn unknown_events_are_ignored() {
    check(
        r#"
        ann, bob join realtime:room {"broadcast":{"ack":true,"self":true}}
        ann > ["1","5","realtime:room","dance",{}]
        ann > ["1","6","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann, bob are quiet
        "#,
    )
    .await;
}

// These need a tenant database, which no tenant has yet; they must not be ignored.
#[tokio::test]
async fn what_needs_a_database_is_refused() {
    check(
        r#"
        ann connects
        ann > ["1","1","realtime:a","phx_join",{"config":{"private":true}}]
        ann < ["1","1","realtime:a","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann > ["2","2","realtime:b","phx_join",{"config":{"private":"true"}}]
        ann < ["2","2","realtime:b","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann > ["3","3","realtime:c","phx_join",{"config":{"postgres_changes":[{"event":"*","schema":"public","table":"todos"}]}}]
        ann < ["3","3","realtime:c","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann > ["4","4","realtime:c","broadcast",{}]
        ann < [null,"4","realtime:c","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn replay_is_refused_on_public_channels() {
    check(
        r#"
        ann connects
        ann > ["1","1","realtime:a","phx_join",{"config":{"broadcast":{"replay":{"since":1755770000000,"limit":10}}}}]
        ann < ["1","1","realtime:a","phx_reply",{"status":"error","response":{"reason":"UnableToReplayMessages: Replay is not allowed for public channels"}}]
        ann > ["2","2","realtime:a","phx_join",{"config":{"broadcast":{"replay":null}}}]
        ann < ["2","2","realtime:a","phx_reply",{"status":"error","response":{"reason":"UnableToReplayMessages: Replay is not allowed for public channels"}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_delayed_refusal_keeps_its_order_within_its_topic_only() {
    let world =
        World::with(|settings| settings.server.channel_error_backoff = Duration::from_millis(300)).await;
    world
        .check(
            r#"
            ann connects
            ann > ["1","1","realtime:","phx_join",{"config":{}}]
            ann > ["2","2","realtime:room","phx_join",{"config":{}}]
            ann < ["2","2","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
            ann < ["1","1","realtime:","phx_reply",{"status":"error","response":{"reason":"TopicNameRequired: You must provide a topic name"}}]
            "#,
        )
        .await;
    world.stop().await;
}

// docs/protocol/channels.md#join-replies: replies keep their order per topic, so the later join sends the
// earlier refusal first.
#[tokio::test]
async fn a_later_join_or_leave_of_the_topic_does_not_overtake_its_refusal() {
    let world =
        World::with(|settings| settings.server.channel_error_backoff = Duration::from_secs(3600)).await;
    world
        .check(
            r#"
            ann connects
            ann > ["1","1","realtime:room","phx_join",{"config":{"private":true}}]
            ann > ["2","2","realtime:room","phx_join",{"config":{}}]
            ann < ["1","1","realtime:room","phx_reply",{"status":"error","response":{"reason":_}}]
            ann < ["2","2","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
            ann > ["3","3","realtime:other","phx_join",{"config":{"private":true}}]
            ann > ["3","4","realtime:other","phx_leave",{}]
            ann < ["3","3","realtime:other","phx_reply",{"status":"error","response":{"reason":_}}]
            ann < [_,"4","realtime:other","phx_reply",{"status":"ok","response":{}}]
            ann is quiet
            "#,
        )
        .await;
    world.stop().await;
}
