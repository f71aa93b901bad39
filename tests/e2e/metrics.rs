//! The page for Prometheus, as Prometheus' own linter reads it.
//!
//! Names that upstream's dashboards know stay as upstream has them (docs/protocol/operations.md#metrics),
//! whatever the linter thinks of them; of everything else there is no complaint.

use std::io::Write;
use std::process::{Command, Stdio};

use harness::{Request, World};

/// Names of upstream's that the linter complains of.
const UPSTREAM: [&str; 8] = [
    "phoenix_connections_total",
    "realtime_channel_error",
    "realtime_channel_events",
    "realtime_channel_global_error",
    "realtime_channel_input_bytes",
    "realtime_channel_joins",
    "realtime_channel_output_bytes",
    "realtime_channel_presence_events",
];

/// The page after a client has done something of everything that is counted.
async fn page() -> String {
    let world = World::start().await;
    let mut people = world.conversation();
    people
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
async fn prometheus_linter_complains_of_upstreams_names_alone() {
    let page = page().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: tests/install");
    promtool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let complaints: Vec<_> =
        said.lines().filter(|line| !UPSTREAM.contains(&line.split(' ').next().unwrap_or_default())).collect();
    assert_eq!(complaints, Vec::<&str>::new(), "{page}");
}

#[tokio::test]
async fn every_help_text_is_understood_alone() {
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

#[tokio::test]
async fn the_process_is_described_by_the_standard_names() {
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
