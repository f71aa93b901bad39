//! What operators see of the databases of tenants, and order (docs/protocol/http.md#tenants).

use std::time::Duration;

use harness::{Postgres, Request, Response, TokenIssuer, World, eventually};
use hub::Bounds;
use realtime_server::bus::Broker;
use rustix::process::Signal;
use serde_json::{Value, json};
use settings::Settings;

use super::{PrivateRooms, ROOM, join, may_not_read};

const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'realtime_connect'";

fn operators() -> TokenIssuer {
    TokenIssuer::new("the operators' secret, of thirty-two bytes")
}

pub(crate) fn with_operators(settings: &mut Settings) {
    settings.admin.jwt_secret = Some(operators().secret().into());
}

async fn request(world: &World, method: &str, target: &str) -> Response {
    let operator = operators().sign(&json!({"exp": 4_000_000_000_u64}));
    world.send(Request::new(method, target).bearer(&operator)).await
}

/// Whether the tenant is healthy, and whether its database is connected.
async fn health(world: &World) -> (bool, bool) {
    let health = request(world, "GET", "/api/tenants/default/health").await.json()["data"].clone();
    (health["healthy"] == true, health["db_connected"] == true)
}

/// The database of the default tenant in `/status`.
pub(crate) async fn status(world: &World) -> Value {
    let status = request(world, "GET", "/status").await.json();
    status["tenants"].as_array().expect("a list")[0]["database"].clone()
}

#[tokio::test]
async fn the_state_of_the_database_and_its_questions_are_shown() {
    let rooms = PrivateRooms::with(Postgres::alone(&[]), with_operators).await;
    let world = &rooms.world;
    eventually("it is connected", async || health(world).await == (true, true)).await;
    rooms.allow("ann", &["read broadcast"]);
    let _ann = rooms.joined("ann", json!({})).await;
    let mut bob = rooms.connect("bob").await;
    assert_eq!(join(&mut bob, json!({})).await, may_not_read());
    let shown = status(world).await;
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("ready"), &Value::Null), "{shown}");
    eventually("broadcasts are read", async || {
        let health = request(world, "GET", "/api/tenants/default/health").await.json();
        health["data"]["replication_connected"] == true
    })
    .await;
    assert_eq!(status(world).await["broadcasts"], json!({"state": "reading", "reason": null}));
    assert_eq!(shown["questions"], json!({"asked": 2, "denied": 1, "failed": 0}));
    eventually("no connection is in use", async || status(world).await["connections"]["in_use"] == 0).await;
    assert!(shown["connections"]["open"].as_u64() >= Some(1), "{shown}");
    let metrics = world.send(Request::get("/metrics")).await.text();
    for line in [
        "realtime_tenants_connected 1",
        "realtime_database_questions_total{tenant=\"default\"} 2",
        "realtime_database_questions_denied_total{tenant=\"default\"} 1",
        "realtime_tenants_read_authorization_check_bucket{tenant=\"default\",le=\"15000\"} 2",
        "realtime_tenants_write_authorization_check_count{tenant=\"default\"} 2",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} in\n{metrics}");
    }

    rooms.postgres.end(Signal::KILL);
    // A question finds out that the connections are lost.
    let mut late = rooms.connect("late").await;
    assert!(join(&mut late, json!({})).await.as_str().is_some());
    eventually("that is noticed", async || status(world).await["state"] == "unavailable").await;
    let shown = status(world).await;
    let address = rooms.postgres.address().to_string();
    assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains(&address)), "{shown}");
    assert!(shown["questions"]["failed"].as_u64() >= Some(1), "{shown}");
    assert_eq!(health(world).await, (false, false));
    assert_eq!(world.number("realtime_tenants_connected").await, 0.0);
    rooms.world.stop().await;
}

/// A server whose default tenant has the database `postgres` of this cluster by another role than its owner's.
async fn by_role(postgres: Postgres, role: &str) -> PrivateRooms {
    let url = postgres.url().replace("postgres@", &format!("{role}@"));
    let world = World::with(|settings| {
        with_operators(settings);
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    })
    .await;
    PrivateRooms { world, postgres }
}

/// The state of the database of the default tenant in `/status`, and the reason.
async fn state_and_reason(world: &World) -> (Value, String) {
    let shown = status(world).await;
    (shown["state"].clone(), shown["reason"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn roles_that_the_server_may_not_act_as_are_the_reason_of_a_database_that_is_ready() {
    // The roles of clients belong to the cluster: another server has made them.
    let postgres = Postgres::alone(&[]);
    postgres.sql(
        "CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE second LOGIN REPLICATION;
         GRANT CREATE ON DATABASE postgres TO second",
    );
    let rooms = by_role(postgres, "second").await;
    rooms.prepare().await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = rooms.connect("ann").await;
    assert_eq!(join(&mut ann, json!({})).await, may_not_read());
    let (state, reason) = state_and_reason(&rooms.world).await;
    let grant = "GRANT anon, authenticated TO second";
    assert!(state == "ready" && reason.contains(grant), "{state} {reason}");
    // A partition that is missing has the database looked at at once.
    let today = rooms.postgres.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD')");
    rooms.postgres.sql(&format!("{grant}; DROP TABLE realtime.messages_{today}"));
    eventually("she may join", async || join(&mut ann, json!({})).await.is_null()).await;
    eventually("nothing is missing", async || state_and_reason(&rooms.world).await.1.is_empty()).await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_role_that_may_not_make_the_schema_is_the_reason_and_no_policy_denies() {
    let postgres = Postgres::alone(&[]);
    postgres.sql("CREATE ROLE plain LOGIN");
    let rooms = by_role(postgres, "plain").await;
    let mut ann = rooms.connect("ann").await;
    assert_eq!(
        join(&mut ann, json!({})).await,
        "UnableToConnectToProject: Realtime was unable to connect to the project database"
    );
    let (state, reason) = state_and_reason(&rooms.world).await;
    let grant = "it needs `GRANT CREATE ON DATABASE postgres TO plain`";
    assert!(state == "ready" && reason.contains(grant), "{state} {reason}");
    assert_eq!(status(&rooms.world).await["questions"], json!({"asked": 1, "denied": 0, "failed": 1}));
    rooms.world.stop().await;
}

#[tokio::test]
async fn shutdown_closes_the_connections_until_a_client_needs_them() {
    let rooms = PrivateRooms::with(Postgres::start(), with_operators).await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = rooms.joined("ann", json!({})).await;
    let since = status(&rooms.world).await["since"].clone();
    assert!(since.is_string());
    for command in ["shutdown", "reload"] {
        assert_ne!(rooms.postgres.sql(CONNECTIONS), "0");
        let target = format!("/api/tenants/default/{command}");
        assert_eq!(request(&rooms.world, "POST", &target).await.status, 204);
        eventually("the connections are closed", async || rooms.postgres.sql(CONNECTIONS) == "0").await;
        if command == "shutdown" {
            assert_eq!(
                (status(&rooms.world).await, health(&rooms.world).await),
                (Value::Null, (false, false))
            );
            ann.join("realtime:public", json!({})).await;
        }
        ann = rooms.joined("ann", json!({})).await;
        eventually("it is connected", async || health(&rooms.world).await == (true, true)).await;
    }
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_refreshed_token_connects_again_after_a_shutdown() {
    let rooms = PrivateRooms::with(Postgres::start(), with_operators).await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = rooms.joined("ann", json!({})).await;
    assert_eq!(request(&rooms.world, "POST", "/api/tenants/default/shutdown").await.status, 204);
    eventually("the connections are closed", async || rooms.postgres.sql(CONNECTIONS) == "0").await;
    ann.push("9", ROOM, "access_token", &json!({"access_token": rooms.token("ann", 1)})).await;
    eventually("it is connected", async || health(&rooms.world).await == (true, true)).await;
    ann.expect_quiet().await;
    rooms.world.stop().await;
}

#[tokio::test]
async fn all_nodes_close_their_connections() {
    let bus = Broker::new(Duration::from_secs(60), Bounds { frames: 10_000, bytes: 1 << 26 });
    let postgres = Postgres::start();
    let url = postgres.url();
    let settings = |settings: &mut Settings| {
        with_operators(settings);
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.clone().into());
    };
    let one = World::on(bus.clone(), settings).await;
    let other = World::on(bus, settings).await;
    for node in [&one, &other] {
        eventually("they form a cluster", async || node.number("realtime_bus_nodes").await == 2.0).await;
    }
    let mut ann = other.connect().await;
    ann.join(ROOM, json!({})).await;
    eventually("it is connected", async || health(&other).await == (true, true)).await;
    assert_eq!(health(&one).await, (true, false), "no client of this node needs it");
    assert_eq!(request(&one, "POST", "/api/tenants/default/shutdown").await.status, 204);
    eventually("it is closed there too", async || status(&other).await.is_null()).await;
    ann.expect_quiet().await;
    one.stop().await;
    other.stop().await;
}
