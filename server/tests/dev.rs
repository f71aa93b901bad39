//! `serve --dev`, which prints long-lived tokens, and `make run`, which starts it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::ServerProcess;

/// The address at which a server with these settings listens.
fn bound(config: &str, variables: &[(&str, &str)], arguments: &[&str]) -> IpAddr {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.toml"), config).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.args(["serve", "--dev", "--port", "0"]).args(arguments).current_dir(folder.path());
    command.env_clear().envs(variables.iter().copied()).stdout(Stdio::null());
    ServerProcess::start(command).listening().ip()
}

#[test]
fn a_server_for_development_is_reached_from_this_machine_alone_unless_configured_otherwise() {
    assert_eq!(bound("", &[], &[]), Ipv4Addr::LOCALHOST);
    let everywhere = Ipv4Addr::UNSPECIFIED;
    assert_eq!(bound("server.host = \"0.0.0.0\"", &[], &[]), everywhere);
    assert_eq!(bound("", &[("HOST", "0.0.0.0")], &[]), everywhere);
    assert_eq!(bound("", &[("REALTIME__SERVER__HOST", "0.0.0.0")], &[]), everywhere);
    assert_eq!(bound("", &[], &["--host", "0.0.0.0"]), everywhere);
    assert_eq!(bound("", &[], &["--set", "server.host=0.0.0.0"]), everywhere);
}

#[test]
fn make_run_passes_its_arguments_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut make = Command::new("make");
    let output = make.args(["--dry-run", "run", "ARGS=--port 8081"]).current_dir(root).output();
    let printed = String::from_utf8(output.expect("make is installed").stdout).expect("text");
    assert!(printed.lines().any(|line| line == "tests/run-dev --port 8081"), "{printed}");
}
