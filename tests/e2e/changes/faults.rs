//! Databases that refuse what the server needs, or are set up in an unusual way.

use std::num::NonZeroU32;
use std::time::Duration;

use harness::{Client, Postgres, World, eventually};
use serde_json::json;
use settings::Settings;

use super::numbered::{Receipt, Subscriber};
use super::{Changes, ROWS_OF_ANN, TABLES, expect_gap, join, record, system, table};
use crate::private_rooms::{PrivateRooms, operators, with_password};

/// What a client receives while changes are not read.
fn not_available(reason: &str) -> Receipt {
    Receipt::Notice(format!("Changes of the database are not available: {reason}"))
}

/// A server whose database is reached at `url`, with the published table.
async fn at(postgres: Postgres, url: String) -> Changes {
    let rooms = PrivateRooms::with(postgres, |settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    })
    .await;
    rooms.postgres.sql(TABLES);
    Changes { rooms }
}

#[tokio::test]
async fn without_a_free_wal_sender_the_reason_is_named_and_a_free_one_is_used() {
    // One is for broadcasts.
    let postgres = Postgres::alone(&["max_wal_senders=2"]);
    let Some(program) = postgres.receive_log() else { return };
    let url = postgres.url();
    let changes = at(postgres, url).await;
    let senders = "SELECT count(*) FROM pg_stat_replication";
    eventually("broadcasts are read", async || changes.postgres().sql(senders) == "2").await;
    let mut ann = Subscriber::joined(&changes, "ann").await;
    ann.until(&not_available("the database has no free WAL sender or replication slot")).await;
    drop(program);
    ann.until(&Receipt::Subscribed).await;
    ann.until_written(changes.postgres(), 1).await;
    assert_eq!(ann.receipts.len(), 3, "the reason comes once: {:?}", ann.receipts);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_role_without_replication_is_named_and_one_that_gets_it_is_used() {
    // Alone, so that it makes the roles itself and may act as them.
    let postgres = Postgres::alone(&[]);
    postgres.sql("CREATE ROLE plain LOGIN CREATEROLE BYPASSRLS; GRANT CREATE ON DATABASE postgres TO plain");
    let url = postgres.url().replace("postgres@", "plain@");
    let changes = at(postgres, url).await;
    let mut ann = Subscriber::joined(&changes, "ann").await;
    ann.until(&not_available("the role of the server may not read the write-ahead log")).await;
    changes.postgres().sql("ALTER ROLE plain REPLICATION");
    ann.until(&Receipt::Subscribed).await;
    ann.until_written(changes.postgres(), 1).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn with_the_right_password_again_changes_are_received_again() {
    let (postgres, [right, wrong]) = with_password();
    let changes = at(postgres, right.clone()).await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    ann.until_written(changes.postgres(), 1).await;
    let set = |url: &str| {
        changes.world().apply(|settings| {
            let database = &mut settings.tenants.entry("default".into()).or_default().database;
            // With another password alone it would be the database that is in use.
            (database.url, database.tls_mode) = (Some(url.into()), settings::StoreTls::Off);
        });
    };
    set(&wrong);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'own'";
    eventually("the old sessions end", async || changes.postgres().sql(sessions) == "0").await;
    let mut late = Subscriber::joined(&changes, "late").await;
    late.until(&not_available("Realtime was unable to connect to the project database")).await;
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (2)");
    set(&right);
    ann.until(&Receipt::Gap).await;
    ann.until(&Receipt::Subscribed).await;
    late.until(&Receipt::Subscribed).await;
    ann.until_written(changes.postgres(), 3).await;
    late.until(&Receipt::Row(3)).await;
    ann.assert_complete(changes.postgres());
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_rotated_password_is_taken_over_and_ends_no_session() {
    let (postgres, [old, new]) = with_password();
    let changes = at(postgres, old).await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let sessions = || changes.postgres().sql("SELECT pid FROM pg_stat_replication WHERE usename = 'own'");
    let before = sessions();
    changes.world().apply(|settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(new.into());
    });
    // The role has its old password still.
    let logged = async |text: &str| {
        eventually(text, async || changes.postgres().log().contains(text)).await;
    };
    logged("password authentication failed for user \"own\"").await;
    let refused = async |number: f64| {
        eventually("the metric shows whether it is refused", async || {
            changes.world().number("realtime_credentials_refused").await == number
        })
        .await;
    };
    refused(1.0).await;
    let code = r#"realtime_codes_total{tenant="default",code="DatabaseCredentialsRefused"}"#;
    assert_eq!(changes.world().number(code).await, 1.0);
    ann.until_written(changes.postgres(), 1).await;
    changes.postgres().sql("ALTER SYSTEM SET log_connections = on");
    changes.postgres().sql("SELECT pg_reload_conf()");
    changes.postgres().sql("ALTER ROLE own PASSWORD 'wrong'");
    logged("connection authorized: user=own database=postgres application_name=realtime_connect_probe").await;
    refused(0.0).await;
    ann.until_written(changes.postgres(), 2).await;
    assert_eq!(sessions(), before);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn that_the_database_cannot_be_reached_is_known_at_once() {
    let postgres = Postgres::start();
    let world = World::with(|settings| {
        operators::with_operators(settings);
        settings.tenants.entry("default".into()).or_default().database.url =
            Some("postgres://user@127.0.0.1:1/none".into());
    })
    .await;
    let changes = Changes { rooms: PrivateRooms { world, postgres } };
    let mut ann = changes.client("ann").await;
    join(&mut ann, &table("todos")).await;
    let unusable =
        "Changes of the database are not available: Realtime was unable to connect to the project database";
    assert_eq!(system(&mut ann).await, ("ok".to_owned(), unusable.to_owned()));
    let shown = operators::status(changes.world()).await;
    assert_eq!(shown["changes"]["reason"], shown["reason"], "{shown}");
    changes.rooms.world.stop().await;
}

/// Sessions of the server that wait for policies.
const SLEEPING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

/// A server with one connection, which a private join uses for so many seconds.
async fn with_one_connection(seconds: f32, change: impl FnOnce(&mut Settings)) -> Changes {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.database.max_connections = NonZeroU32::MIN;
        settings.database.acquire_timeout = Duration::from_millis(200);
        change(settings);
    })
    .await;
    rooms.postgres.sql(TABLES);
    rooms.postgres.sql(&format!(
        "CREATE POLICY sleeps ON realtime.messages FOR SELECT TO authenticated USING (pg_sleep({seconds}) IS NULL)"
    ));
    Changes { rooms }
}

/// A client whose join uses the connection.
async fn occupy_connection(changes: &Changes) -> Client {
    let mut slow = changes.rooms.connect("slow").await;
    slow.push("1", "realtime:room", "phx_join", &json!({"config": {"private": true}})).await;
    eventually("the connection is in use", async || changes.postgres().sql(SLEEPING) == "1").await;
    slow
}

#[tokio::test]
async fn with_all_connections_in_use_changes_wait() {
    let changes = with_one_connection(1.5, |_| {}).await;
    changes.postgres().sql(ROWS_OF_ANN);
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    let _slow = occupy_connection(&changes).await;
    // One that joins meanwhile is subscribed later.
    let mut late = Subscriber::joined(&changes, "ann").await;
    for number in 1..=10 {
        changes.postgres().sql(&format!("INSERT INTO public.todos (id) VALUES ({number})"));
    }
    ann.until(&Receipt::Row(10)).await;
    ann.assert_complete(changes.postgres());
    assert!(!ann.receipts.contains(&Receipt::Gap));
    late.until(&Receipt::Subscribed).await;
    late.until_written(changes.postgres(), 11).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn changes_wait_for_the_database_as_long_as_the_settings_say() {
    let changes = with_one_connection(3.5, |settings| {
        settings.changes.database_wait = Duration::from_secs(1);
    })
    .await;
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    let _slow = occupy_connection(&changes).await;
    changes.postgres().sql("INSERT INTO public.todos (id) VALUES (1)");
    expect_gap(&mut ann).await;
    assert_eq!(changes.postgres().sql(SLEEPING), "1", "the database has not answered");
    let sent = r#"realtime_changes_sent_total{tenant="default"}"#;
    eventually("changes are received again", async || {
        changes.postgres().sql("INSERT INTO public.todos (id) SELECT max(id) + 1 FROM public.todos");
        changes.world().number(sent).await > 0.0
    })
    .await;
    changes.rooms.world.stop().await;
}

/// Settings of a database that change how values are written and read.
const UNUSUAL: [&str; 9] = [
    "timezone = 'Pacific/Kiritimati'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "extra_float_digits = -5",
    "bytea_output = 'escape'",
    "default_transaction_isolation = 'serializable'",
    "search_path = 'elsewhere'",
    "standard_conforming_strings = off",
    "xmlbinary = 'hex'",
];

/// A row whose key and values depend on them.
const UNUSUAL_TABLE: &str = r"
    CREATE TABLE public.values (at timestamptz, during interval, share float8, raw bytea, day date, PRIMARY KEY (at, during, share, raw, day));
    ALTER TABLE public.values ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON public.values TO authenticated;
    CREATE POLICY own ON public.values FOR SELECT TO authenticated
        USING (current_setting('request.jwt.claims', true)::jsonb ->> 'sub' = 'ann');
    ALTER PUBLICATION supabase_realtime ADD TABLE public.values";

#[tokio::test]
async fn the_settings_of_the_database_do_not_matter() {
    let postgres = Postgres::start();
    let database = postgres.sql("SELECT current_database()");
    for setting in UNUSUAL {
        postgres.sql(&format!("ALTER DATABASE {database} SET {setting}"));
    }
    let rooms = PrivateRooms::with(postgres, |settings| settings.changes.exact_visibility = true).await;
    let changes = Changes { rooms };
    changes.postgres().sql(UNUSUAL_TABLE);
    let binding =
        |filter: &str| json!([{"event": "INSERT", "schema": "public", "table": "values", "filter": filter}]);
    let mut clients = Vec::new();
    for filter in [
        "at=eq.2024-02-03T04:05:06.7Z",
        "during=eq.1 year -2 days 03:04:05",
        "share=gt.0.1",
        "raw=eq.00ff",
        "day=lt.2024-03-02",
        "day=in.(2024-02-03,2024-02-04)",
    ] {
        clients.push((filter, changes.subscribed("ann", &binding(filter)).await));
    }
    changes.postgres().sql(
        "INSERT INTO public.values VALUES ('2024-02-03T04:05:06.7Z', '1 year -2 days 03:04:05', 0.10000000000000002, E'\\\\x00ff', '2024-02-03')",
    );
    let row = json!({
        "at": "2024-02-03T04:05:06.7+00:00", "during": "1 year -2 days +03:04:05", "share": 0.100_000_000_000_000_02,
        "raw": "00ff", "day": "2024-02-03",
    });
    for (filter, client) in &mut clients {
        println!("{filter}");
        assert_eq!(record(client).await, row, "{filter}");
    }
    changes.rooms.world.stop().await;
}
