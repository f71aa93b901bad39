//! Which series there are: of tenants and of all together, of this node and of the cluster, in which format.

use harness::{Redis, Request, World, eventually};
use serde_json::json;
use settings::MetricsFormat;

use crate::bus::{on, two};
use crate::changes::{Changes, record};

/// The value of a series on the page of `world`; zero without it.
async fn value(world: &World, series: &str) -> f64 {
    let page = world.send(Request::get("/metrics")).await.text();
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().expect("a number"))
}

/// Waits until a series has this value.
async fn becomes(world: &World, series: &str, expected: f64) {
    eventually(&format!("{series} is {expected}"), async || value(world, series).await == expected).await;
}

/// Whether a series is at least this.
async fn at_least(world: &World, series: &str, least: f64) {
    let found = value(world, series).await;
    assert!(found >= least, "{series} is {found}");
}

#[tokio::test]
async fn all_tenants_are_counted_together_and_what_users_feel_is_measured() {
    let world = World::with_tenants(&["acme", "other"]).await;
    let mut clients = world.conversation();
    clients
        .check(
            r#"
            ann, bob join realtime:a
            ann > ["1","2","realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            bob < [null,null,"realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            ann > ["1","3","realtime:a","nothing",{}]
            ann > ["1","4","phoenix","heartbeat",{}]
            ann < ["1","4","phoenix","phx_reply",{"status":"ok","response":{}}]
            "#,
        )
        .await;
    let mut refused = world.connect().await;
    refused.push("1", "realtime:", "phx_join", &json!({})).await;
    assert_eq!(refused.next_json().await[4]["status"], "error");
    for (series, expected) in [
        ("realtime_channel_global_joins", 2.0),
        ("realtime_channel_global_events", 2.0),
        ("realtime_payload_size_count{message_type=\"broadcast\"}", 1.0),
        ("realtime_join_duration_seconds_count{result=\"ok\"}", 2.0),
        ("realtime_join_duration_seconds_count{result=\"error\"}", 1.0),
        (
            "phoenix_channel_joined_total{result=\"ok\",transport=\"websocket\",endpoint=\"RealtimeWeb.Endpoint\"}",
            2.0,
        ),
        ("realtime_broadcast_fanout_duration_seconds_count", 1.0),
        // The broadcast and the event that nothing knows; neither the joins nor the heartbeat.
        ("phoenix_channel_handled_in_duration_milliseconds_count{endpoint=\"RealtimeWeb.Endpoint\"}", 2.0),
        (
            "phoenix_socket_connected_duration_milliseconds_count{result=\"ok\",transport=\"websocket\",endpoint=\"RealtimeWeb.Endpoint\",serializer=\"Phoenix.Socket.V2.JSONSerializer\"}",
            3.0,
        ),
        ("realtime_http_request_duration_seconds_count{operation=\"none\",status=\"4xx\"}", 0.0),
    ] {
        assert_eq!(value(&world, series).await, expected, "{series}");
    }
    assert_eq!(world.send(Request::get("/no/such/path")).await.status, 404);
    let unknown = "realtime_http_request_duration_seconds_count{operation=\"none\",status=\"4xx\"}";
    assert_eq!(value(&world, unknown).await, 1.0);
    at_least(&world, "realtime_channel_global_input_bytes", 50.0).await;
    at_least(&world, "realtime_channel_global_output_bytes", 50.0).await;
    at_least(&world, "osmon_ram_usage", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_limit_of_tenants_bounds_the_page_and_applies_at_once() {
    let world = World::with_tenants(&["acme", "other"]).await;
    let tenants = async || {
        let page = world.send(Request::get("/metrics")).await.text();
        page.lines().filter(|line| line.starts_with("realtime_channel_joins{")).count()
    };
    let all = tenants().await;
    assert!(all >= 2, "{all}");
    world.apply(|settings| settings.telemetry.tenant_metrics = 1);
    assert_eq!(tenants().await, 1);
    becomes(&world, "realtime_tenants_without_series", all as f64 - 1.0).await;
    world.apply(|settings| settings.telemetry.tenant_metrics = 0);
    assert_eq!(tenants().await, 0);
    world.apply(|settings| settings.telemetry.tenant_metrics = 1_000);
    assert_eq!(tenants().await, all);
    becomes(&world, "realtime_tenants_without_series", 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn names_and_bounds_of_upstreams_runtime_need_a_setting() {
    let world = World::start().await;
    let page = world.send(Request::get("/metrics")).await.text();
    assert!(!page.contains("beam_") && page.contains(",le=\"250\"}"), "{page}");
    world.stop().await;
    let world = World::with(|settings| settings.telemetry.metrics_format = MetricsFormat::Supabase).await;
    let mut ann = world.connect().await;
    ann.join("realtime:a", json!({})).await;
    at_least(&world, "beam_memory_allocated_bytes", 1e6).await;
    at_least(&world, "beam_stats_port_io_byte_count{type=\"input\"}", 10.0).await;
    let page = world.send(Request::get("/metrics")).await.text();
    assert!(page.contains(",le=\"250.0\"}") && page.contains(",le=\"+Inf\"}"), "{page}");
    assert!(!page.contains("le=\"250\""), "{page}");
    world.stop().await;
}

#[tokio::test]
async fn the_cluster_is_counted_on_each_node_and_messages_to_others_are_measured() {
    let redis = Redis::start().await;
    let (one, two) = two(on(&redis)).await;
    let (mut ann, mut bob) = (one.connect().await, two.connect().await);
    ann.join("realtime:room", json!({})).await;
    bob.join("realtime:room", json!({})).await;
    for world in [&one, &two] {
        becomes(world, "realtime_connections_global_connected_cluster", 2.0).await;
        becomes(world, "realtime_connections_connected_cluster{tenant=\"default\"}", 2.0).await;
        becomes(world, "realtime_connections_global_connected", 1.0).await;
    }
    ann.push("1", "realtime:room", "broadcast", &json!({"event": "e", "payload": {}})).await;
    assert_eq!(bob.next_json().await[3], "broadcast");
    let of_tenant = "realtime_broadcast_fanout_node_delivery_total{tenant=\"default\",hit=\"true\"}";
    becomes(&two, of_tenant, 1.0).await;
    becomes(&two, "realtime_broadcast_global_fanout_node_delivery_total{hit=\"true\"}", 1.0).await;
    let hop = "realtime_global_rpc_count{mechanism=\"redis\",success=\"true\"}";
    eventually("the message is measured", async || value(&one, hop).await >= 1.0).await;
    drop(bob);
    becomes(&one, "realtime_connections_global_connected_cluster", 1.0).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_a_database_sends_is_counted_and_measured() {
    let changes = Changes::start().await;
    let binding = json!([{"event": "INSERT", "schema": "public", "table": "todos"}]);
    let mut ann = changes.subscribed("ann", &binding).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'x', 'ann')");
    assert_eq!(record(&mut ann).await["id"], 1);
    let world = changes.world();
    for name in [
        "realtime_channel_db_events{tenant=\"default\"}",
        "realtime_replication_poller_changes_dispatch{tenant=\"default\"}",
        "realtime_subscriptions_manager_subscribers{tenant=\"default\"}",
        "realtime_tenants_payload_size_count{tenant=\"default\",message_type=\"postgres_changes\"}",
        "realtime_tenants_migrations_duration_milliseconds_count",
        "realtime_channel_global_db_events",
    ] {
        becomes(world, name, 1.0).await;
    }
    at_least(world, "realtime_replication_poller_query_duration_count{tenant=\"default\"}", 1.0).await;
    for since in ["committed_at", "inserted_at"] {
        let name = format!("realtime_tenants_broadcast_from_database_latency_{since}_count");
        let series = format!("{name}{{tenant=\"default\"}}");
        eventually("broadcasts of the database are measured", async || {
            changes.postgres().sql(r#"SELECT realtime.send('{"n": 1}', 'e', 'room')"#);
            value(world, &series).await >= 1.0
        })
        .await;
    }
    changes.postgres().sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'realtime_rls' AND datname = current_database()",
    );
    becomes(world, "realtime_replication_poller_exception_total{tenant=\"default\"}", 1.0).await;
    becomes(world, "realtime_replication_poller_stop_total{tenant=\"default\",reason=\"other\"}", 1.0).await;
    changes.rooms.world.stop().await;
}
