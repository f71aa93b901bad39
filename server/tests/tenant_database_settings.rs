//! The database of a tenant in the settings: what a check, the start and a reload refuse.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::{ManagedServer, Request};

fn config(folder: &Path, database: &str) {
    let config = format!("[tenants.acme]\nregion = 'eu'\n[tenants.acme.database]\n{database}\n");
    fs::write(folder.join("config.toml"), config).unwrap();
}

/// The exit code and stderr of the program in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.args(arguments).current_dir(folder).env_clear().env("JWT_SECRET", "x".repeat(48));
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_cannot_be_used_is_an_error_of_a_check_and_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("not.pem"), "not a certificate").unwrap();
    let url = "url = 'postgres://user:hunter2@localhost/acme'";
    for (database, line, problem) in [
        // A port that no address can have.
        (
            "url = 'postgres://user:hunter2@localhost:99999/acme'",
            4,
            "tenants.acme.database.url: expected an address that begins with postgres://",
        ),
        ("url = 'postgres://user:hunter2@localhost/acme?sslmode=perhaps'", 4, "tenants.acme.database.url`: "),
        (
            &format!("{url}\ntls_ca_file = 'absent.pem'"),
            5,
            "tenants.acme.database.tls_ca_file`: cannot read absent.pem",
        ),
        (
            &format!("{url}\ntls_ca_file = 'not.pem'"),
            5,
            "tenants.acme.database.tls_ca_file`: not.pem has no certificate: it holds something else",
        ),
    ] {
        config(folder.path(), database);
        for arguments in [&["config", "check"][..], &["serve", "--port", "0"]] {
            let (code, text) = run(folder.path(), arguments);
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains(problem) && text.contains(&format!("config.toml:{line}")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
    config(folder.path(), url);
    assert_eq!(run(folder.path(), &["config", "check"]).0, Some(0));
}

#[tokio::test]
async fn a_reload_keeps_the_database_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    config(folder.path(), "url = 'postgres://localhost/acme'");
    let program = env!("CARGO_BIN_EXE_realtime-server");
    let server = ManagedServer::start(ManagedServer::command(program, folder.path(), &[]));
    for (url, status) in
        [("postgres://localhost/acme?sslmode=perhaps", 422), ("postgres://localhost/other", 200)]
    {
        config(folder.path(), &format!("url = '{url}'"));
        let reloaded = server.manage(Request::post("/admin/reload")).await;
        assert_eq!(reloaded.status, status, "{}", reloaded.text());
        let problem = "config.toml:4:1: `tenants.acme.database.url`: unknown value";
        assert_eq!(reloaded.text().contains(problem), status == 422, "{}", reloaded.text());
    }
}
