//! The systemd unit in `config/`: systemd accepts it, and it agrees with the settings.

use std::io::{ErrorKind, Write};
use std::process::Command;

use settings::{Settings, Sources, Starter, parse_duration};

const UNIT: &str = include_str!("../../config/realtime-server.service");

/// The value of a directive, which must be set once.
fn directive(name: &str) -> &'static str {
    let mut values = UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(values.next(), None, "{name} is set twice");
    value
}

#[test]
fn the_stop_timeout_is_longer_than_a_default_drain() {
    let server = Settings::default().server;
    let drain = server.drain_delay + server.drain_timeout + server.shutdown_timeout;
    let stop_timeout = parse_duration(directive("TimeoutStopSec")).expect("a duration");
    assert!(stop_timeout > drain, "{stop_timeout:?} for {drain:?}");
}

#[test]
fn the_unit_runs_what_the_production_settings_describe() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, Starter::Production.text()).expect("a file");
    let settings = Sources::new(Some(&file), []).load().expect("a starter is good").settings;
    let state = format!("/var/lib/{}", directive("StateDirectory"));
    assert_eq!(settings.server.data_dir.to_str(), Some(&*state));
    assert_eq!(directive("ConfigurationDirectory"), "realtime", "the program reads /etc/realtime");
    let files: u64 = directive("LimitNOFILE").parse().expect("a number");
    assert!(files > settings.server.max_connections.get() as u64 * 2);
    assert_eq!(directive("ExecReload"), "/bin/kill -HUP $MAINPID");
    // `notify` would wait for a message that the program does not send.
    assert_eq!(directive("Type"), "exec");
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("realtime-server.service");
    // systemd checks that the program exists, and its manual page, which is not installed here.
    let here = UNIT.replace("/usr/local/bin/realtime-server", env!("CARGO_BIN_EXE_realtime-server"));
    std::fs::write(&unit, here).expect("a file");
    let mut verify = Command::new("systemd-analyze");
    match verify.args(["verify", "--man=no"]).arg(&unit).output() {
        Ok(output) => {
            let output_text = String::from_utf8_lossy(&output.stderr);
            let ours: Vec<_> = output_text.lines().filter(|line| line.contains("realtime-server")).collect();
            assert!(output.status.success() && ours.is_empty(), "{output_text}");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Written to stderr directly: the test harness captures what a passing test prints.
            let _closed = writeln!(std::io::stderr(), "SKIPPED: systemd-analyze is not installed");
        }
        Err(error) => panic!("{error}"),
    }
}
