//! What subscriptions take of the memory of their tenant (docs/protocol/limits.md#memory).

use std::sync::Arc;
use std::time::Duration;

use harness::{Postgres, World, eventually, eventually_within};
use hub::{MemoryCharge, MemoryKind};
use serde_json::json;
use settings::ByteSize;

use super::{Changes, expect_subscribed, join, system};
use crate::private_rooms::{PrivateRooms, operators};

/// Five hundred published tables.
pub(super) const TABLES: &str = "
    DO $$ BEGIN FOR n IN 1..500 LOOP
        EXECUTE format('CREATE TABLE public.table_%s (id int PRIMARY KEY)', n);
        EXECUTE format('GRANT SELECT ON public.table_%s TO authenticated', n);
        EXECUTE format('ALTER PUBLICATION supabase_realtime ADD TABLE public.table_%s', n);
    END LOOP; END $$";

/// Uses up the memory of the default tenant but for some 40 kB, until the charges are dropped.
fn use_up_almost(world: &World) -> Vec<MemoryCharge> {
    let memory = Arc::clone(&world.node().tenants.get("default").expect("it is configured").memory);
    let charge = || memory.try_charge(MemoryKind::Presence, 20_000);
    let mut charges: Vec<_> = std::iter::from_fn(charge).collect();
    charges.truncate(charges.len() - 2);
    charges
}

async fn used(world: &World) -> f64 {
    world.number(r#"realtime_memory_used_bytes{kind="sessions"}"#).await
}

#[tokio::test]
async fn a_subscription_to_all_tables_is_charged_for_each_and_waits_for_memory() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.server.memory_budget = Some(ByteSize::mib(64));
    })
    .await;
    rooms.postgres.sql(TABLES);
    let changes = Changes { rooms };
    let world = changes.world();
    let mut ann = changes.client("ann").await;
    let charges = use_up_almost(world);
    join(&mut ann, &json!([{"schema": "public", "table": "*"}])).await;
    let refused = ("ok".to_owned(), "Memory for channels is used up, try again later".to_owned());
    assert_eq!(system(&mut ann).await, refused);
    let before = used(world).await;
    drop(charges);
    // It is tried again after five to ten seconds.
    let limit = Duration::from_secs(20);
    eventually_within(limit, "the tables are charged", async || used(world).await > before).await;
    expect_subscribed(&mut ann).await;
    let charged = used(world).await - before;
    assert!((100_000.0..500_000.0).contains(&charged), "{charged} bytes for 500 tables");
    changes.rooms.world.stop().await;
}

// There are more tables than are removed at once.
#[tokio::test]
async fn a_subscription_that_does_not_fit_any_more_ends_for_all_tables_and_frees_their_memory() {
    let changes = Changes::start().await;
    changes.postgres().sql(TABLES);
    changes.world().apply(operators::with_operators);
    let mut ann = changes.client("ann").await;
    let titled = json!({"schema": "public", "table": "todos", "filter": "title=eq.a"});
    join(&mut ann, &json!([{"schema": "public", "table": "*"}, titled])).await;
    expect_subscribed(&mut ann).await;
    let subscribed = used(changes.world()).await;
    changes
        .postgres()
        .sql("ALTER TABLE public.todos DROP COLUMN title; INSERT INTO public.todos (id) VALUES (1)");
    let (status, message) = system(&mut ann).await;
    assert!(status == "error" && message.ends_with("invalid column for filter title"), "{message}");
    let tables = &operators::status(changes.world()).await["changes"]["tables"];
    assert!(tables.as_object().is_none_or(serde_json::Map::is_empty), "{tables}");
    eventually("the tables are not charged", async || used(changes.world()).await < subscribed - 100_000.0)
        .await;
    changes.rooms.world.stop().await;
}
