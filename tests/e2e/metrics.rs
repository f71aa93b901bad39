//! The page for Prometheus, checked by Prometheus' own linter, and metrics that another exporter gets without a scrape.
//!
//! Names that upstream's dashboards use stay as upstream has them (docs/protocol/operations.md#metrics), although the
//! linter reports them. It reports nothing else.

mod series;
mod upstream_names;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use harness::{MemoryExporter, Request, World};
use realtime_server::telemetry::reference::reference;
use tokio::time::{sleep, timeout};

/// Names of upstream that the linter reports: a gauge that ends in `_total`, counters that do not, and times in milliseconds.
const UPSTREAM: [&str; 20] = [
    "phoenix_channel_handled_in_duration_milliseconds",
    "phoenix_connections_total",
    "phoenix_socket_connected_duration_milliseconds",
    "realtime_channel_db_events",
    "realtime_channel_error",
    "realtime_channel_events",
    "realtime_channel_global_db_events",
    "realtime_channel_global_error",
    "realtime_channel_global_events",
    "realtime_channel_global_input_bytes",
    "realtime_channel_global_joins",
    "realtime_channel_global_output_bytes",
    "realtime_channel_global_presence_events",
    "realtime_channel_input_bytes",
    "realtime_channel_joins",
    "realtime_channel_output_bytes",
    "realtime_channel_presence_events",
    "realtime_replication_poller_changes_dispatch",
    "realtime_replication_poller_changes_skip",
    "realtime_tenants_migrations_duration_milliseconds",
];

/// The page after clients have done most things that are counted.
async fn page() -> String {
    let world = World::start().await;
    let mut clients = world.conversation();
    clients
        .check(
            r#"
            ann, bob join realtime:a
            ann > ["1","2","realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            bob < [null,null,"realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            "#,
        )
        .await;
    assert_eq!(world.send(Request::get("/realtime/v1/websocket?apikey=a.b.c")).await.status, 401);
    let page = world.send(Request::get("/metrics")).await.text();
    world.stop().await;
    page
}

#[tokio::test]
async fn the_linter_reports_upstreams_names_only() {
    let page = page().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: tests/install");
    promtool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads the page");
    let output = promtool.wait_with_output().expect("it exits");
    let output = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let reported: Vec<_> = output
        .lines()
        .filter(|line| !UPSTREAM.contains(&line.split(' ').next().unwrap_or_default()))
        .collect();
    assert_eq!(reported, Vec::<&str>::new(), "{page}");
}

#[tokio::test]
async fn every_help_text_can_be_understood_alone() {
    let page = page().await;
    let helps: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    assert!(helps.len() > 40, "{page}");
    for help in helps {
        let (name, text) = help.split_once(' ').expect("a text");
        let refers = ["The same", "Those of them", "As above", "Likewise"];
        assert!(text.len() > 15 && text.ends_with('.'), "{name}: {text}");
        assert!(!refers.iter().any(|words| text.starts_with(words)), "{name}: {text}");
    }
}

#[test]
fn the_generated_page_of_codes_and_metrics_is_fresh() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/codes.md");
    let expected = reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, &expected).expect("docs/ is writable");
    }
    let found = fs::read_to_string(&page).unwrap_or_default();
    assert!(found == expected, "docs/codes.md is stale: UPDATE=1 cargo test -p e2e --test e2e metrics::");
}

#[tokio::test]
async fn the_page_of_metrics_is_complete() {
    let reference = reference();
    let page = page().await;
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        assert!(reference.contains(&format!("\n| `{name}` | {kind} |")), "{line}");
    }
}

#[tokio::test]
async fn the_process_has_the_standard_metrics() {
    let page = page().await;
    let value = |name: &str| -> f64 {
        let mut lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.next().unwrap_or_else(|| panic!("{name} is missing: {page}")).parse().expect("a number")
    };
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    let started = value("process_start_time_seconds");
    assert!(started <= now && started > now - 3_600.0, "{started} {now}");
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_open_fds") > 3.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(page.contains("\n# TYPE process_cpu_seconds_total counter\n"), "{page}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(page.contains(&format!("\nrealtime_build_info{{version=\"{version}\"")), "{page}");
}

/// Longer than the interval at which gauges are sampled, even on a busy machine.
const SAMPLED: Duration = Duration::from_secs(20);

/// Waits until a gauge of `exporter` has this value.
async fn gauge_becomes(exporter: &MemoryExporter, series: &str, expected: f64) {
    let reached = async {
        while exporter.gauge(series) != Some(expected) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = || format!("{series} is {:?}, not {expected}", exporter.gauge(series));
    timeout(SAMPLED, reached).await.unwrap_or_else(|_| panic!("{}", found()));
}

#[tokio::test]
async fn another_exporter_sees_counters_at_once_and_current_gauges_without_a_scrape() {
    let exporter = Arc::new(MemoryExporter::default());
    let second = Arc::clone(&exporter);
    let world = World::extended(|server| server.exporter(second), |_| {}).await;
    let mut clients = world.conversation();
    clients
        .check(
            r#"
            ann, bob join realtime:a
            ann > ["1","2","realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            bob < [null,null,"realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            ann > not json
            ann is quiet
            "#,
        )
        .await;
    let tenant = r#"{tenant="default"}"#;
    assert_eq!(exporter.counter(&format!("realtime_channel_joins{tenant}")), Some(2));
    assert_eq!(exporter.counter(&format!("realtime_channel_events{tenant}")), Some(2));
    let sizes = r#"realtime_tenants_payload_size{tenant="default",message_type="broadcast"}"#;
    assert_eq!(exporter.samples(sizes), Some(1));
    let code = r#"realtime_codes_total{tenant="default",code="MalformedWebSocketMessage"}"#;
    assert_eq!(exporter.counter(code), Some(1));
    gauge_becomes(&exporter, "realtime_members", 2.0).await;
    for (series, expected) in [
        ("realtime_rooms", 1.0),
        ("phoenix_connections_active", 2.0),
        ("realtime_connections_global_connected", 2.0),
        (r#"realtime_connections_connected{tenant="default"}"#, 2.0),
        ("realtime_settings_generation", 1.0),
        ("realtime_settings_reload_failed", 0.0),
    ] {
        gauge_becomes(&exporter, series, expected).await;
    }
    assert!(exporter.gauge("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert!(exporter.gauge("realtime_uptime_seconds").is_some_and(|seconds| seconds > 0.0));
    drop(clients);
    gauge_becomes(&exporter, "realtime_members", 0.0).await;
    gauge_becomes(&exporter, "phoenix_connections_active", 0.0).await;
    // The page shows the same.
    assert_eq!(world.number("realtime_members").await, 0.0);
    let page = world.send(Request::get("/metrics")).await.text();
    assert!(page.contains(&format!("\nrealtime_channel_joins{tenant} 2\n")), "{page}");
    world.stop().await;
}
