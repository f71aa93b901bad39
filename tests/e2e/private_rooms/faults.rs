//! Policies that fail, and a database that does not answer. Public rooms notice nothing.

use std::time::Duration;

use harness::{Postgres, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{PrivateRooms, ROOM, join, may_not_read, send, with_password};

#[tokio::test]
async fn a_policy_that_fails_denies() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut ann = rooms.joined("ann", json!({"broadcast": {"ack": true}})).await;
    for policy in [
        "raises ON realtime.messages FOR SELECT TO authenticated USING (1 / (length(topic) - 4) = 1)",
        "recurses ON realtime.messages FOR SELECT TO authenticated USING (EXISTS (SELECT 1 FROM realtime.messages))",
    ] {
        rooms.postgres.sql(&format!("CREATE POLICY {policy}"));
        let mut bob = rooms.connect("bob").await;
        assert_eq!(join(&mut bob, json!({})).await, may_not_read(), "{policy}");
        let name = policy.split(' ').next().unwrap_or_default();
        rooms.postgres.sql(&format!("DROP POLICY {name} ON realtime.messages"));
    }
    assert_eq!(send(&mut ann, "2", "hi").await, Value::Null, "who has joined keeps what was found out");
    // Writing is found out with reading. A policy that fails there denies writing alone.
    rooms.postgres.sql("CREATE POLICY raises ON realtime.messages FOR INSERT TO authenticated WITH CHECK (1 / (length(topic) - 4) = 1)");
    rooms.allow("bob", &["read broadcast"]);
    let mut bob = rooms.joined("bob", json!({"broadcast": {"ack": true}})).await;
    assert!(!send(&mut bob, "2", "hi").await.is_null());
    rooms.world.stop().await;
}

#[tokio::test]
async fn roles_that_do_not_exist_and_that_of_the_server_are_denied() {
    let rooms = PrivateRooms::start().await;
    for role in ["ghost", "none", "NONE"] {
        let claims = json!({"role": role, "sub": "ann", "exp": 4_000_000_000_u64});
        let mut client = rooms.connect_with(&rooms.world.sign(&claims)).await;
        assert_eq!(join(&mut client, json!({})).await, may_not_read(), "{role}");
    }
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_policy_that_takes_too_long_is_cancelled() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.database.query_timeout = Duration::from_millis(300);
    })
    .await;
    rooms.allow("ann", &["read broadcast"]);
    rooms.postgres.sql(
        "CREATE POLICY sleeps ON realtime.messages FOR SELECT TO authenticated USING (pg_sleep(60) IS NULL)",
    );
    let mut ann = rooms.connect("ann").await;
    let reason = join(&mut ann, json!({})).await;
    assert_eq!(reason, "QueryCanceled: Query was cancelled, please try again");
    rooms.postgres.sql("DROP POLICY sleeps ON realtime.messages");
    assert_eq!(join(&mut ann, json!({})).await, Value::Null, "the connection is usable again");
    rooms.world.stop().await;
}

#[tokio::test]
async fn with_all_connections_in_use_questions_are_refused() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.database.max_connections = std::num::NonZeroU32::MIN;
        settings.database.acquire_timeout = Duration::from_millis(200);
    })
    .await;
    rooms.postgres.sql(
        "CREATE POLICY sleeps ON realtime.messages FOR SELECT TO authenticated USING (pg_sleep(1.5) IS NULL)",
    );
    let (mut ann, mut bob) = (rooms.connect("ann").await, rooms.connect("bob").await);
    let (one, other) = tokio::join!(join(&mut ann, json!({})), join(&mut bob, json!({})));
    let pool = "IncreaseConnectionPool: Please increase your connection pool size";
    assert!([&one, &other].contains(&&json!(pool)), "{one} {other}");
    assert!([&one, &other].contains(&&may_not_read()), "{one} {other}");
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_database_that_stops_and_starts_ends_nothing() {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), |_| {}).await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut ann = rooms.joined("ann", json!({"broadcast": {"ack": true}})).await;
    rooms.postgres.end(Signal::KILL);
    let mut late = rooms.connect("ann-2").await;
    let reason = join(&mut late, json!({})).await;
    assert_eq!(reason, "UnableToConnectToProject: Realtime was unable to connect to the project database");
    assert_eq!(send(&mut ann, "2", "hi").await, Value::Null, "who has joined goes on");
    let mut public = rooms.connect("public").await;
    public.join(ROOM, json!({})).await;
    rooms.postgres.start_again();
    rooms.allow("ann-2", &["read broadcast"]);
    eventually("private rooms can be joined again", async || join(&mut late, json!({})).await.is_null())
        .await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn another_password_in_the_settings_needs_no_restart() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let url = rooms.postgres.url();
    let set = |url: String| {
        rooms.world.apply(|settings| {
            settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
        });
    };
    set(url.replace("/test_", "/absent_"));
    let mut ann = rooms.connect("ann").await;
    let reason = join(&mut ann, json!({})).await;
    assert!(reason.as_str().unwrap_or_default().starts_with("UnableToConnectToProject"), "{reason}");
    set(url);
    assert_eq!(join(&mut ann, json!({})).await, Value::Null);
    rooms.world.stop().await;
}

#[tokio::test]
async fn without_a_partition_the_reason_names_it_and_it_is_made_again() {
    let rooms = PrivateRooms::start().await;
    rooms.allow("ann", &["read broadcast"]);
    let today = rooms.postgres.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD')");
    rooms.postgres.sql(&format!("DROP TABLE realtime.messages_{today}"));
    let mut ann = rooms.connect("ann").await;
    let reason = join(&mut ann, json!({})).await;
    assert_eq!(reason, "MissingPartition: Realtime was unable to find the expected messages partition");
    eventually("the partition is made", async || join(&mut ann, json!({})).await.is_null()).await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn the_time_zone_of_the_database_does_not_matter() {
    let postgres = Postgres::start();
    let database = postgres.sql("SELECT current_database()");
    postgres.sql(&format!("ALTER DATABASE {database} SET timezone = 'Pacific/Kiritimati'"));
    let rooms = PrivateRooms::with(postgres, |_| {}).await;
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let mut ann = rooms.joined("ann", json!({"broadcast": {"ack": true}})).await;
    assert_eq!(send(&mut ann, "2", "hi").await, Value::Null);
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_refused_tls_are_named_and_the_right_settings_apply() {
    let (postgres, [right, wrong]) = with_password();
    let rooms = PrivateRooms::with(postgres, |settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(right.clone().into());
    })
    .await;
    rooms.allow("ann", &["read broadcast"]);
    let set = |url: &str, tls: settings::StoreTls| {
        rooms.world.apply(|settings| {
            let database = &mut settings.tenants.entry("default".into()).or_default().database;
            (database.url, database.tls_mode) = (Some(url.into()), tls);
        });
    };
    let mut ann = rooms.connect("ann").await;
    // With another mode of TLS the database is another one, of which no connection exists.
    for (url, tls) in [(&wrong, settings::StoreTls::Off), (&right, settings::StoreTls::Require)] {
        set(url, tls);
        let reason = join(&mut ann, json!({})).await;
        assert_eq!(
            reason,
            "UnableToConnectToProject: Realtime was unable to connect to the project database"
        );
    }
    set(&right, settings::StoreTls::Off);
    assert_eq!(join(&mut ann, json!({})).await, Value::Null);
    rooms.world.stop().await;
}
