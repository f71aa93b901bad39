//! Joins that are answered when their changes flow (docs/protocol/postgres-changes.md#waiting).

use harness::Client;
use serde_json::{Value, json};

use super::{Changes, TOPIC, change, expect_subscribed, next};

fn todos() -> Value {
    json!([{"event": "*", "schema": "public", "table": "todos"}])
}

/// Joins with these bindings and options. Returns the payload of the reply.
async fn join(client: &mut Client, bindings: &Value, options: &Value) -> Value {
    let config = json!({"postgres_changes": bindings, "postgres_changes_options": options});
    client.push("1", TOPIC, "phx_join", &json!({ "config": config })).await;
    let mut reply = next(client).await;
    assert_eq!(reply["event"], "phx_reply", "{reply}");
    reply["payload"].take()
}

#[tokio::test]
async fn what_is_committed_after_the_reply_is_received() {
    let changes = Changes::start().await;
    for (id, wait) in [(1, json!(true)), (2, json!("true"))] {
        let mut ann = changes.client("ann").await;
        let reply = join(&mut ann, &todos(), &json!({ "wait": wait })).await;
        changes.postgres().sql(&format!("INSERT INTO public.todos VALUES ({id}, 'a', 'ann')"));
        assert_eq!(reply["status"], "ok", "{reply}");
        let binding = &reply["response"]["postgres_changes"][0];
        expect_subscribed(&mut ann).await;
        let (ids, data) = change(&mut ann).await;
        assert_eq!((&ids[0], &data["record"]["id"]), (&binding["id"], &json!(id)));
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_join_without_bindings_or_without_wait_is_answered_at_once() {
    let changes = Changes::start().await;
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    let mut ann = changes.client("ann").await;
    assert_eq!(join(&mut ann, &json!([]), &json!({"wait": true})).await["status"], "ok");
    for options in [json!({"wait": false}), json!({}), json!(5), json!({"wait": 7, "timeout": 1})] {
        assert_eq!(join(&mut ann, &todos(), &options).await["status"], "ok", "{options}");
        // The join before is closed.
        assert_eq!(next(&mut ann).await["event"], "phx_close");
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_join_with_a_wrong_binding_is_refused() {
    let changes = Changes::start().await;
    let mut ann = changes.client("ann").await;
    for (binding, part) in [
        (json!({"event": "*", "schema": "public", "table": "absent"}), "Please check Realtime is enabled"),
        (json!({"event": "*", "schema": "public", "table": "todos", "filter": "id"}), "Error parsing"),
    ] {
        let reply = join(&mut ann, &json!([binding]), &json!({"wait": true})).await;
        assert_eq!(reply["status"], "error", "{reply}");
        let reason = reply["response"]["reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with("RealtimeDisabledForConfiguration: ") && reason.contains(part),
            "{reason}"
        );
    }
    // Nothing is left of it.
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'a', 'ann')");
    ann.expect_quiet().await;
    assert_eq!(join(&mut ann, &todos(), &json!({"wait": true})).await["status"], "ok");
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_join_is_refused_when_its_time_is_over() {
    let changes = Changes::start().await;
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    let mut ann = changes.client("ann").await;
    let refused = |reply: &Value, milliseconds: u32| {
        let text = format!(
            "PostgresChangesSubscribeTimeout: Timed out after {milliseconds}ms waiting for the postgres_changes subscription"
        );
        // With the reason, if it is known by then.
        let reason = reply["response"]["reason"].as_str().expect("a reason");
        assert!(reason.starts_with(&text), "{reason}");
    };
    refused(&join(&mut ann, &todos(), &json!({"wait": true, "timeout": 200})).await, 200);
    changes.world().apply(|settings| settings.changes.max_wait = std::time::Duration::from_millis(300));
    refused(&join(&mut ann, &todos(), &json!({"wait": true})).await, 300);
    // One that waits while the publication is made is answered then.
    changes.world().apply(|settings| settings.changes.max_wait = std::time::Duration::from_secs(60));
    let config =
        json!({"postgres_changes": todos(), "postgres_changes_options": {"wait": true, "timeout": 60_000}});
    ann.push("1", TOPIC, "phx_join", &json!({ "config": config })).await;
    changes.postgres().sql("CREATE PUBLICATION supabase_realtime FOR TABLE public.todos");
    assert_eq!(next(&mut ann).await["payload"]["status"], "ok");
    expect_subscribed(&mut ann).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn what_the_room_sends_meanwhile_follows_the_reply() {
    let changes = Changes::start().await;
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    let mut ann = changes.client("ann").await;
    let config = json!({"postgres_changes": todos(), "postgres_changes_options": {"wait": true}});
    ann.push("1", TOPIC, "phx_join", &json!({ "config": config })).await;
    let mut bob = changes.client("bob").await;
    super::join(&mut bob, &json!([])).await;
    // Ann is a member already, or becomes one before the second message.
    let shout = json!({"type": "broadcast", "event": "shout", "payload": {}});
    for _ in 0..2 {
        bob.push("2", TOPIC, "broadcast", &shout).await;
        ann.expect_quiet().await;
    }
    changes.postgres().sql("CREATE PUBLICATION supabase_realtime FOR TABLE public.todos");
    assert_eq!(next(&mut ann).await["payload"]["status"], "ok");
    expect_subscribed(&mut ann).await;
    assert_eq!(next(&mut ann).await["event"], "broadcast");
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn joins_that_wait_take_turns_and_other_channels_go_on() {
    let changes = Changes::start().await;
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    changes.world().apply(|settings| settings.server.max_tasks_per_connection = crate::size(2));
    let mut ann = changes.client("ann").await;
    let push = async |ann: &mut Client, topic: String, timeout: u32| {
        let options = json!({"wait": true, "timeout": timeout});
        let config = json!({"postgres_changes": todos(), "postgres_changes_options": options});
        ann.push(&topic, &format!("realtime:{topic}"), "phx_join", &json!({ "config": config })).await;
    };
    // The first two have a turn each. The third is refused at the end of its time, although it had none.
    for (topic, timeout) in [("0", 60_000), ("1", 300), ("2", 300), ("3", 60_000), ("4", 60_000)] {
        push(&mut ann, topic.to_owned(), timeout).await;
    }
    ann.push("5", "realtime:other", "phx_join", &json!({"config": {"broadcast": {"self": true}}})).await;
    let reply = next(&mut ann).await;
    assert_eq!((&reply["ref"], &reply["payload"]["status"]), (&json!("5"), &json!("ok")));
    let shout = json!({"type": "broadcast", "event": "shout", "payload": {}});
    ann.push("6", "realtime:other", "broadcast", &shout).await;
    assert_eq!(next(&mut ann).await["event"], "broadcast");
    for reference in ["1", "2"] {
        let reply = next(&mut ann).await;
        assert_eq!((&reply["ref"], &reply["payload"]["status"]), (&json!(reference), &json!("error")));
    }
    changes.postgres().sql("CREATE PUBLICATION supabase_realtime FOR TABLE public.todos");
    let mut subscribed = Vec::new();
    while subscribed.len() < 3 {
        let reply = next(&mut ann).await;
        assert_eq!(reply["payload"]["status"], "ok", "{reply}");
        expect_subscribed_to(&mut ann, &reply["topic"]).await;
        subscribed.push(reply["ref"].clone());
    }
    subscribed.sort_by_key(Value::to_string);
    assert_eq!(subscribed, ["0", "3", "4"]);
    changes.rooms.world.stop().await;
}

async fn expect_subscribed_to(client: &mut Client, topic: &Value) {
    let message = next(client).await;
    assert_eq!(
        (&message["topic"], &message["payload"]["message"]),
        (topic, &json!("Subscribed to PostgreSQL"))
    );
}
