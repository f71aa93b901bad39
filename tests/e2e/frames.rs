//! Frames that are not messages are dropped, and the socket stays open (docs/protocol/websocket.md#invalid-frames).

use harness::check;

#[tokio::test]
async fn broken_text_is_dropped_in_the_second_serializer() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"self":true,"ack":true}}
        ann > not json
        ann >
        ann > []
        ann > {}
        ann > null
        ann > 42
        ann > "text"
        ann > ["1","2","realtime:room","broadcast"]
        ann > ["1","2",3,"broadcast",{}]
        ann > ["1","2","realtime:room",4,{}]
        ann > [1,2,3,4,5]
        ann > ["1","2","realtime:room","broadcast",{}
        ann > ["1","2","realtime:room","broadcast",{}]]
        ann > {"topic":"realtime:room","event":"broadcast","payload":{},"ref":"2","join_ref":"1"}
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn broken_text_is_dropped_in_the_first_serializer() {
    check(
        r#"
        ann (v1) joins realtime:room {"broadcast":{"self":true,"ack":true}}
        ann > not json
        ann >
        ann > []
        ann > {}
        ann > {"event":"broadcast","payload":{},"ref":"2"}
        ann > {"topic":"realtime:room","payload":{},"ref":"2"}
        ann > {"topic":"realtime:room","event":"broadcast","ref":"2"}
        ann > {"topic":"realtime:room","event":"broadcast","payload":{}}
        ann > {"topic":7,"event":"broadcast","payload":{},"ref":"2"}
        ann > ["1","2","realtime:room","broadcast",{}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn broken_bytes_are_dropped() {
    check(
        r#"
        ann, bob join realtime:room {"broadcast":{"self":true,"ack":true}}
        ann > binary
        ann > binary 03
        ann > binary 03 01 01 0d
        ann > binary 03 ff ff ff ff ff 01
        ann > binary 03 01 01 0d 02 05 01 '1' '2' 'realtime:room' 'hi' '{}'
        ann > binary 04 0d 02 00 01 'realtime:room' 'hi' '{}'
        ann > binary 09 01 02 03
        ann > binary ff ff ff ff
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_topic_that_is_not_utf8_is_dropped_and_an_event_is_refused() {
    check(
        r#"
        ann, bob join realtime:room {"broadcast":{"self":true,"ack":true}}
        ann > binary 03 01 01 0d 02 00 01 '1' '2' 'realtime:room' ff fe '{}'
        ann < ["1","2","realtime:room","phx_reply",{"response":{"reason":"event is not a string"},"status":"error"}]
        ann > binary 03 01 01 02 02 00 01 '1' '2' ff fe 'hi' '{}'
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn bytes_from_a_client_of_the_first_serializer_are_dropped() {
    check(
        r#"
        ann (v1), bob join realtime:room {"broadcast":{"self":true,"ack":true}}
        ann > binary 03 01 01 0d 02 00 01 '1' '2' 'realtime:room' 'hi' '{}'
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn more_elements_and_more_keys_than_needed_are_ignored() {
    check(
        r#"
        ann connects
        ann > [null,"7","phoenix","heartbeat",{},1,[2]]
        ann < [null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]
        ann > [ null , "8" , "phoenix" , "heartbeat" , { "a" : [ 1 , "]" ] } ]
        ann < [null,"8","phoenix","phx_reply",{"status":"ok","response":{}}]
        bob (v1) connects
        bob > {"extra":{"topic":"x"},"payload":{},"ref":"7","event":"heartbeat","topic":"phoenix"}
        bob < {"topic":"phoenix","event":"phx_reply","ref":"7","payload":{"status":"ok","response":{}}}
        "#,
    )
    .await;
}

#[tokio::test]
async fn escapes_in_names_are_decoded() {
    check(
        r#"
        ann joins realtime:röom
        bob connects
        bob > ["1","1","realtime:r\u00f6om","phx_join",{"config":{}}]
        bob < ["1","1","realtime:röom","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        bob > ["1","2","realtime:r\u00f6om","broad\u0063ast",{"event":"hi"}]
        ann < [null,null,"realtime:röom","broadcast",{"event":"hi"}]
        "#,
    )
    .await;
}
