//! Many who come and go, and more changes than the rate of the tenant allows.

use std::time::Duration;

use harness::{Dialect, Frame, Postgres, World, eventually, eventually_within};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Changes, TABLES, expect_subscribed, join, record};
use crate::private_rooms::operators;

fn todos() -> Value {
    json!([{"event": "INSERT", "schema": "public", "table": "todos"}])
}

/// The channels with subscriptions in `/status`, and those of `public.todos`.
async fn subscriptions(changes: &Changes) -> Value {
    let status = &operators::status(changes.world()).await["changes"];
    json!([status["subscriptions"], status["tables"]["public.todos"]])
}

#[tokio::test]
async fn a_thousand_that_subscribe_and_leave_at_once_leave_nothing_behind() {
    let changes = Changes::start().await;
    changes.world().apply(|settings| {
        settings.limits.max_joins_per_second = crate::count(100_000);
        operators::with_operators(settings);
    });
    let mut ann = changes.subscribed("ann", &todos()).await;
    let mut stormy = changes.client("ann").await;
    for number in 0..1_000 {
        let topic = format!("realtime:{number}");
        let filter = format!("id=gt.{number}");
        let binding = json!([{"schema": "public", "table": "todos", "filter": filter}]);
        stormy.push("1", &topic, "phx_join", &json!({"config": {"postgres_changes": binding}})).await;
        // The others leave before they can have subscribed.
        if number % 20 == 0 {
            let is_notice =
                |frame: &Frame| matches!(frame, Frame::Json(message) if message["event"] == "system");
            while !is_notice(&stormy.next().await) {}
        }
        stormy.push("2", &topic, "phx_leave", &json!({})).await;
    }
    stormy.settle().await;
    let subscribed = r#"realtime_changes_subscriptions{tenant="default"}"#;
    eventually("only one is left", async || changes.world().number(subscribed).await == 1.0).await;
    assert_eq!(subscriptions(&changes).await, json!([1, 1]));
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (1)");
    assert_eq!(record(&mut ann).await["id"], 1);
    stormy.settle().await;
    // Those who close the connection.
    for _ in 0..20 {
        let _closed = changes.subscribed("ann", &todos()).await;
    }
    drop(ann);
    eventually("none is left", async || changes.world().number(subscribed).await == 0.0).await;
    assert_eq!(subscriptions(&changes).await, json!([0, null]));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn what_is_beyond_the_rate_is_dropped_with_one_notice() {
    let changes = Changes::start().await;
    let (mut ann, mut bob) = (changes.subscribed("ann", &todos()).await, changes.client("bob").await);
    let twice = json!([
        {"event": "INSERT", "schema": "public", "table": "todos"},
        {"event": "*", "schema": "public", "table": "todos"},
    ]);
    join(&mut bob, &twice).await;
    expect_subscribed(&mut bob).await;
    // A burst of ten.
    changes.world().apply(|settings| settings.limits.max_events_per_second = crate::count(1));
    let insert = |numbers: std::ops::Range<i64>| {
        let (first, last) = (numbers.start, numbers.end - 1);
        changes.postgres().sql(&format!(
            "INSERT INTO public.todos (id) SELECT n FROM generate_series({first}, {last}) AS n"
        ));
    };
    insert(0..50);
    insert(50..100);
    let dropped = r#"realtime_changes_over_rate_total{tenant="default"}"#;
    let mut total = 0.0;
    eventually("all are handled", async || {
        total = changes.world().number(dropped).await;
        total >= 180.0
    })
    .await;
    let upstreams = r#"realtime_replication_poller_changes_skip{tenant="default",reason="rate_limited"}"#;
    assert_eq!(changes.world().number(upstreams).await, total);
    let mut received = 0;
    for client in [&mut ann, &mut bob] {
        let mut notices = 0;
        for frame in client.received().await {
            let Frame::Json(message) = frame else { panic!("expected JSON, got {frame}") };
            match message["event"].as_str() {
                Some("postgres_changes") => received += 1,
                Some("system") => {
                    assert_eq!(
                        message["payload"]["message"],
                        "Too many postgres changes messages per second"
                    );
                    assert_eq!(message["payload"]["status"], "ok");
                    notices += 1;
                }
                _ => {}
            }
        }
        assert_eq!(notices, 1);
    }
    assert_eq!(f64::from(received) + total, 200.0, "each is sent or counted");
    changes.rooms.world.stop().await;
}

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// Rows of each tenant, each in a transaction of its own.
const ROWS: i64 = 500;

/// A server with the tenants, and their databases with a published table.
async fn tenants() -> (World, [Postgres; 3]) {
    let (world, databases) = (World::with_tenants(&TENANTS).await, TENANTS.map(|_| Postgres::start()));
    world.apply(|settings| {
        for (id, postgres) in TENANTS.iter().zip(&databases) {
            let tenant = settings.tenants.get_mut(*id).expect("it is configured");
            tenant.database.url = Some(postgres.url().into());
        }
    });
    for (id, postgres) in TENANTS.iter().zip(&databases) {
        world.connect_for(id).await.join("realtime:any", json!({})).await;
        let made = "SELECT count(*) FROM pg_publication WHERE pubname = 'supabase_realtime'";
        let limit = Duration::from_secs(30);
        eventually_within(limit, "the publication is made", async || postgres.sql(made) == "1").await;
        postgres.sql(TABLES);
    }
    (world, databases)
}

#[tokio::test]
async fn tenants_whose_databases_write_at_once_receive_their_own_rows() {
    let (world, databases) = tenants().await;
    let mut clients = Vec::new();
    for id in TENANTS {
        let claims = json!({"role": "authenticated", "sub": "ann", "exp": 4_000_000_000_u64});
        let token = world.tenant_token_issuer(id).sign(&claims);
        let target = format!("/socket/websocket?tenant={id}&apikey={token}&vsn=1.0.0");
        let mut client = world.connect_to(Dialect::V1, &target).await.expect("the handshake succeeds");
        join(&mut client, &todos()).await;
        expect_subscribed(&mut client).await;
        clients.push(client);
    }
    let mut writing = JoinSet::new();
    for (id, postgres) in TENANTS.into_iter().zip(&databases) {
        let postgres = postgres.clone();
        let insert = format!("INSERT INTO public.todos VALUES (n, '{id}')");
        let statement = format!("DO $$ BEGIN FOR n IN 1..{ROWS} LOOP {insert}; COMMIT; END LOOP; END $$");
        writing.spawn_blocking(move || postgres.sql(&statement));
    }
    for (id, client) in TENANTS.into_iter().zip(&mut clients) {
        for number in 1..=ROWS {
            let row = record(client).await;
            assert_eq!((&row["id"], &row["title"]), (&json!(number), &json!(id)));
        }
        client.expect_quiet().await;
    }
    writing.join_all().await;
    world.stop().await;
}
