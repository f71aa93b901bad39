//! The line of the log that says what has started, as text and as JSON.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Certificate, ServerProcess};
use serde_json::{Value, json};

/// The line of a server in this folder.
fn start_line(folder: &Path, variables: &[(&str, &str)]) -> String {
    log_line(folder, variables, "Listening")
}

/// The first line with these words in the log of a server in this folder.
fn log_line(folder: &Path, variables: &[(&str, &str)], words: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.arg("serve").current_dir(folder).env_clear();
    command.env("HOST", "127.0.0.1").env("PORT", "0");
    command.env("JWT_SECRET", "users, of thirty-two bytes or more than that");
    command.envs(variables.iter().copied());
    ServerProcess::start(command).log_line(words)
}

/// A field of a line in text.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let rest = line.split(&format!(" {name}=")).nth(1).unwrap_or_else(|| panic!("no {name}: {line}"));
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => rest.split(' ').next().unwrap_or_default(),
    }
}

#[test]
fn a_server_without_settings_logs_its_version_and_what_is_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = start_line(folder.path(), &[]);
    for (name, value) in [
        ("version", env!("CARGO_PKG_VERSION")),
        ("files", "none"),
        ("bus", "none"),
        ("public_url", "none"),
        ("tenants", "1"),
        ("databases", "0"),
        ("tls", "false"),
        (
            "off",
            "TLS (server.tls), other nodes (bus.redis_url), administration (admin.jwt_secret), tokens for /metrics \
             (admin.metrics_jwt_secret), PROXY protocol (server.proxy_protocol_from)",
        ),
    ] {
        assert_eq!(field(&line, name), value, "{name}: {line}");
    }
    assert!(!field(&line, "commit").is_empty(), "{line}");
    assert!(field(&line, "memory_budget").contains("(half of the "), "{line}");
}

#[test]
fn the_line_in_json_has_the_same_fields_and_no_password() {
    let certificate = Certificate::new();
    let folder = certificate.folder();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    write("operators", "operators, of thirty-two bytes or more");
    write(
        "config.toml",
        r#"
            [server]
            public_url = "wss://rt.example.com"
            proxy_protocol_from = ["10.0.0.0/8"]
            [bus]
            redis_url = "redis://ann:hush@127.0.0.1:1/2"
            [telemetry]
            log_format = "json"
            [tenants.acme.auth]
            jwt_secret = "acme, of thirty-two bytes or more than that"
            [tenants.acme.database]
            url = "postgres://ann:hush@127.0.0.1:1/app"
        "#,
    );
    fs::create_dir(folder.join("config.d")).expect("a folder");
    write("config.d/tls.toml", "[server.tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"");
    let line = start_line(
        folder,
        &[
            ("API_JWT_SECRET_FILE", "operators"),
            ("METRICS_JWT_SECRET", "metrics, of thirty-two bytes or more"),
        ],
    );
    assert!(!line.contains("hush"), "{line}");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    for (name, value) in [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("files", json!("config.toml, config.d/tls.toml, operators, cert.pem, key.pem")),
        ("bus", json!("redis://…@127.0.0.1:1/2")),
        ("public_url", json!("wss://rt.example.com")),
        ("tenants", json!(2)),
        ("databases", json!(1)),
        ("tls", json!(true)),
        ("off", json!("")),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
}

#[test]
fn the_line_about_pushed_metrics_and_those_about_its_failures_have_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.arg("serve").current_dir(folder.path()).env_clear().envs([
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("JWT_SECRET", "users, of thirty-two bytes or more than that"),
        ("METRICS_PUSHER_ENABLED", "true"),
        ("METRICS_PUSHER_URL", "http://ann:hush@127.0.0.1:1/import?key=hush"),
        ("METRICS_PUSHER_AUTH", "Bearer hush"),
        ("METRICS_PUSHER_INTERVAL_MS", "100"),
        ("REALTIME__TELEMETRY__LOG_LEVEL", "trace"),
    ]);
    let server = ServerProcess::start(command);
    let address = "http://…@127.0.0.1:1/…";
    server.log_line(&format!("Pushing metrics to {address} every 100ms"));
    let line = server.log_line("MetricsPusherFailed");
    assert!(line.contains(&format!("could not be pushed to {address}: the request failed: ")), "{line}");
    assert!(!server.log().contains("hush"), "{}", server.log());
}

#[test]
fn memory_that_is_not_there_is_remarked() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = log_line(folder.path(), &[("REALTIME__SERVER__MEMORY_BUDGET", "900 TiB")], "is more than");
    assert!(line.contains("WARN `server.memory_budget` (900.0 TiB) is more than the "), "{line}");
}
