//! `serve --dev`, which prints long-lived tokens, and `make run`, which starts it.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

/// The address at which a server with these settings listens.
fn bound(config: &str, variables: &[(&str, &str)], arguments: &[&str]) -> IpAddr {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.toml"), config).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_realtime-server"))
        .args(["serve", "--dev", "--port", "0"])
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("Listening"));
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
    let listening = listening.expect("it listens");
    let address = listening.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
    let (host, _port) = address.and_then(|address| address.rsplit_once(':')).expect("an address");
    host.trim_matches(['[', ']']).parse().expect("an address")
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
