//! Subscriptions that take the database long to check: they delay those of other clients no longer than a check of their own does.

use std::time::{Duration, Instant};

use harness::{Client, Postgres, eventually};
use serde_json::{Value, json};

use super::{
    Changes, TOPIC, change, expect_gap, expect_subscribed, filters, memory, next, record, system, table,
};
use crate::private_rooms::{PrivateRooms, operators};

/// How long a question may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// Channels of the client whose subscriptions take long.
const CHANNELS: u32 = 10;

async fn start() -> Changes {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.database.query_timeout = QUERY_TIMEOUT;
    })
    .await;
    rooms.postgres.sql(super::TABLES);
    Changes { rooms }
}

/// A server whose slow filters are not slow yet, and the body of the function that makes them so.
async fn start_fast() -> (Changes, String) {
    let changes = start().await;
    changes.postgres().sql(filters::SPEED);
    let slow = changes.postgres().sql("SELECT prosrc FROM pg_proc WHERE proname = 'slow'");
    replace_slow(&changes, "SELECT true");
    (changes, slow)
}

/// Makes filters as slow as this body of a function. With a setting of its own it is in no plan that a session keeps.
fn replace_slow(changes: &Changes, body: &str) {
    changes.postgres().sql(&format!(
        "CREATE OR REPLACE FUNCTION public.slow() RETURNS boolean LANGUAGE sql SET search_path TO pg_catalog AS $$ {body} $$"
    ));
}

fn filtered(filter: &str) -> Value {
    json!({"event": "*", "schema": "public", "table": "todos", "filter": filter})
}

/// Joins channels with these bindings, and does not wait for them.
async fn join_many(client: &mut Client, bindings: impl Fn(u32) -> Value) {
    for number in 0..CHANNELS {
        let config = json!({ "postgres_changes": bindings(number) });
        client.push("1", &format!("realtime:{number}"), "phx_join", &json!({ "config": config })).await;
    }
    client.settle().await;
}

/// The time until another client has subscribed to a table.
async fn delay(changes: &Changes) -> Duration {
    let begun = Instant::now();
    let _other = changes.subscribed("bob", &json!([{"schema": "public", "table": "todos"}])).await;
    begun.elapsed()
}

#[tokio::test]
async fn one_client_whose_checks_are_slow_leaves_turns_to_others() {
    let changes = Changes::start().await;
    // By default.
    let query_timeout = Duration::from_secs(4);
    changes.postgres().sql(filters::SPEED);
    // The session is there.
    let _cas = changes.subscribed("cas", &json!([filtered("id=eq.1")])).await;
    let mut ann = changes.client("ann").await;
    join_many(&mut ann, |number| json!([filtered(&format!("id=eq.{number},speed=eq.(slow)"))])).await;
    let delay = delay(&changes).await;
    // Two are asked at once: with all of them before it, it would be five times as long.
    assert!(delay < 2 * query_timeout, "{delay:?}");
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn equal_bindings_for_many_tables_take_as_long_as_one() {
    let changes = Changes::start().await;
    changes.postgres().sql(memory::TABLES);
    let _cas = changes.subscribed("cas", &json!([filtered("id=eq.1")])).await;
    let mut ann = changes.client("ann").await;
    let wide = |number| {
        let mut bindings = vec![json!({"schema": "public", "table": "*"}); 90];
        // So that the channels are not checked together.
        bindings.push(filtered(&format!("id=eq.{number}")));
        Value::from(bindings)
    };
    join_many(&mut ann, wide).await;
    let delay = delay(&changes).await;
    // A fraction of a second, and 90 times as long if each is resolved.
    assert!(delay < Duration::from_secs(10), "{delay:?}");
    changes.rooms.world.stop().await;
}

// The bindings are more than are put at once.
#[tokio::test]
async fn bindings_for_many_tables_receive_rows_of_all_after_a_token_refresh_too() {
    let changes = Changes::start().await;
    changes.postgres().sql(memory::TABLES);
    let bindings =
        ["*", "INSERT", "UPDATE"].map(|event| json!({"event": event, "schema": "public", "table": "*"}));
    changes.world().apply(operators::with_operators);
    let mut ann = changes.subscribed("ann", &Value::from(bindings.to_vec())).await;
    for (id, user) in [(1, "bob"), (2, "ann")] {
        for table in ["table_1", "table_250", "table_500"] {
            changes.postgres().sql(&format!("INSERT INTO public.{table} VALUES ({id})"));
            let (ids, data) = change(&mut ann).await;
            assert_eq!((ids.as_array().map(Vec::len), &data["table"]), (Some(2), &json!(table)));
        }
        let token = changes.rooms.token(user, 0);
        ann.push("2", TOPIC, "access_token", &json!({ "access_token": token })).await;
        expect_subscribed(&mut ann).await;
    }
    ann.push("3", TOPIC, "phx_leave", &json!({})).await;
    eventually("nothing is left", async || {
        operators::status(changes.world()).await["changes"]["tables"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    })
    .await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_complete_subscription_outlives_a_slow_check() {
    let (changes, slow) = start_fast().await;
    let bindings = json!([{"schema": "public", "table": "todos"}, filtered("id=lt.0,speed=eq.(slow)")]);
    let mut ann = changes.subscribed("ann", &bindings).await;
    replace_slow(&changes, &slow);
    ann.push("2", TOPIC, "access_token", &json!({ "access_token": changes.rooms.token("bob", 0) })).await;
    let text =
        "Changes of the database are not available: the database takes too long to check the subscription";
    assert_eq!(system(&mut ann).await, ("ok".to_owned(), text.to_owned()));
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (1)");
    assert_eq!(record(&mut ann).await["id"], 1);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_check_after_a_change_of_the_table_that_is_slow_concerns_its_own_channel_only() {
    let (changes, slow) = start_fast().await;
    let mut ann = changes.subscribed("ann", &json!([filtered("speed=eq.(slow)")])).await;
    let mut bob = changes.subscribed("bob", &table("todos")).await;
    changes.world().apply(|settings| settings.changes.database_wait = QUERY_TIMEOUT);
    replace_slow(&changes, &slow);
    changes
        .postgres()
        .sql("ALTER TABLE public.todos ADD COLUMN more int; INSERT INTO public.todos (id) VALUES (1)");
    expect_gap(&mut ann).await;
    // His rights to the new column are noticed too, so he may be checked twice.
    let received = loop {
        let message = next(&mut bob).await;
        if message["event"] == "postgres_changes" {
            break message;
        }
        assert_eq!(message["payload"]["message"], "Subscribed to PostgreSQL");
    };
    assert_eq!(received["payload"]["data"]["record"]["id"], 1);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_join_that_waits_in_vain_is_refused_with_the_reason() {
    let changes = start().await;
    changes.postgres().sql(filters::SPEED);
    let _cas = changes.subscribed("cas", &json!([filtered("id=eq.1")])).await;
    let mut ann = changes.client("ann").await;
    let config = json!({
        "postgres_changes": [filtered("speed=eq.(slow)")],
        "postgres_changes_options": {"wait": true, "timeout": 3_500},
    });
    ann.push("1", super::TOPIC, "phx_join", &json!({ "config": config })).await;
    let reply = next(&mut ann).await;
    assert_eq!(
        reply["payload"]["response"]["reason"],
        "PostgresChangesSubscribeTimeout: Timed out after 3500ms waiting for the postgres_changes subscription: \
         Changes of the database are not available: the database takes too long to check the subscription"
    );
    // A check takes a second, and the pause two: after one second there would have been another check. Each is reported by the question, and
    // for the subscription.
    let slow = r#"realtime_codes_total{tenant="default",code="QueryCanceled"}"#;
    assert_eq!(changes.world().number(slow).await, 2.0);
    changes.rooms.world.stop().await;
}
