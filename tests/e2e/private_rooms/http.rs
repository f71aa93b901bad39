//! Broadcasts over HTTP to private rooms (docs/protocol/http.md#batch).

use harness::{Request, Response};
use serde_json::{Value, json};

use super::{PrivateRooms, join, texts};

impl PrivateRooms {
    pub(super) async fn post(&self, sub: &str, target: &str, body: &Value) -> Response {
        self.world.send(Request::post(target).bearer(&self.token(sub, 0)).json(body)).await
    }
}

fn message(text: &str, private: bool) -> Value {
    json!({"topic": "room", "event": "e", "payload": {"text": text}, "private": private})
}

#[tokio::test]
async fn a_single_message_needs_the_right_to_send() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut ann = rooms.joined("ann", json!({})).await;
    let target = "/api/broadcast/room/events/e?private=true";
    assert_eq!(rooms.post("ann", target, &json!({"text": "hi"})).await.status, 202);
    let denied = rooms.post("eve", target, &json!({"text": "no"})).await;
    assert_eq!((denied.status, denied.json()), (403, json!({"message": "Unauthorized"})));
    ann.settle().await;
    let frames = ann.received().await;
    assert_eq!(frames.len(), 1, "{frames:?}");
    rooms.postgres.sql("CREATE POLICY raises ON realtime.messages FOR SELECT TO authenticated USING (1 / length(topic) = 1 / 0)");
    let failed = rooms.post("bob", target, &json!({"text": "no"})).await;
    assert_eq!((failed.status, failed.json()), (422, json!({"message": "RLS policy error"})));
    rooms.world.stop().await;
}

#[tokio::test]
async fn of_a_batch_the_rooms_that_are_denied_are_dropped() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut private = rooms.joined("ann", json!({})).await;
    let mut public = rooms.connect("carol").await;
    public.join(super::ROOM, json!({})).await;
    let mixed = json!({"messages": [message("1", true), message("2", false), message("3", true)]});
    for sub in ["ann", "eve"] {
        assert_eq!(rooms.post(sub, "/api/broadcast", &mixed).await.status, 202, "{sub}");
    }
    private.settle().await;
    assert_eq!(texts(&mut private).await, ["1", "3"], "those of ann");
    public.settle().await;
    assert_eq!(texts(&mut public).await, ["2", "2"], "of both");
    let mut eve = rooms.connect("eve").await;
    assert_eq!(join(&mut eve, json!({})).await, super::may_not_read());
    rooms.world.stop().await;
}
