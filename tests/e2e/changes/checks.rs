//! Subscriptions that take the database long to check: they delay those of other clients no longer than a check of their own does.

use std::time::{Duration, Instant};

use harness::{Client, Postgres};
use serde_json::{Value, json};

use super::{Changes, filters, memory, next};
use crate::private_rooms::PrivateRooms;

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
    let changes = start().await;
    changes.postgres().sql(filters::SPEED);
    // The session is there.
    let _cas = changes.subscribed("cas", &json!([filtered("id=eq.1")])).await;
    let mut ann = changes.client("ann").await;
    join_many(&mut ann, |number| json!([filtered(&format!("id=eq.{number},speed=eq.(slow)"))])).await;
    let delay = delay(&changes).await;
    // Two are asked at once: with all of them before it, it would be five times as long.
    assert!(delay < 2 * QUERY_TIMEOUT, "{delay:?}");
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
    assert!(delay < Duration::from_secs(3), "{delay:?}");
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
        "postgres_changes_options": {"wait": true, "timeout": 4_000},
    });
    ann.push("1", super::TOPIC, "phx_join", &json!({ "config": config })).await;
    let reply = next(&mut ann).await;
    assert_eq!(
        reply["payload"]["response"]["reason"],
        "PostgresChangesSubscribeTimeout: Timed out after 4000ms waiting for the postgres_changes subscription: \
         Changes of the database are not available: the database takes too long to check the subscription"
    );
    changes.rooms.world.stop().await;
}
