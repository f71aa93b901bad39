//! Reloads: the real program, real files, and every way in which they change.

mod connected;
mod damage;
mod running;
mod unresponsive;

use std::os::unix::fs::symlink;
use std::process::Command;

use running::{OPERATORS, Running, folder};
use serde_json::Value;

/// Settings whose effect `/status` shows.
fn called(name: &str) -> String {
    format!("[server]\npublic_url = \"wss://{name}\"\n")
}

#[test]
fn a_saved_file_is_applied_at_once() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    assert_eq!(server.status()["public_url"], "wss://one");
    for name in ["two", "three"] {
        server.write("config.toml", &called(name));
        let log = server.log_line("Settings have changed");
        assert!(log.contains("changed=server.public_url"), "{log}");
        assert_eq!(server.status()["public_url"], format!("wss://{name}"));
    }
    assert_eq!(server.status()["settings"]["generation"], 3);
}

#[test]
fn a_file_that_replaces_the_old_one_is_applied_each_time() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    for name in ["two", "three"] {
        server.write(".config.toml.swp", &called(name));
        std::fs::rename(server.path(".config.toml.swp"), server.path("config.toml")).expect("renamed");
        server.log_line("Settings have changed");
        assert_eq!(server.status()["public_url"], format!("wss://{name}"));
    }
}

// As Kubernetes changes a ConfigMap: config.toml -> ..data/config.toml, ..data -> ..1.
#[test]
fn a_replaced_link_is_applied_each_time() {
    let folder = folder(&[
        ("..1/config.toml", &called("one")),
        ("..2/config.toml", &called("two")),
        ("..3/config.toml", &called("three")),
    ]);
    symlink("..1", folder.path().join("..data")).expect("a link");
    symlink("..data/config.toml", folder.path().join("config.toml")).expect("a link");
    let server = Running::in_folder(folder, &[]);
    for (version, name) in [("..2", "two"), ("..3", "three")] {
        symlink(version, server.path("..data_tmp")).expect("a link");
        std::fs::rename(server.path("..data_tmp"), server.path("..data")).expect("replaced");
        server.log_line("Settings have changed");
        assert_eq!(server.status()["public_url"], format!("wss://{name}"));
    }
}

// The kubelet writes a new folder, replaces the link to it, and removes the old one: several events for one change.
#[test]
fn a_swap_of_a_config_map_is_one_line() {
    let folder = folder(&[("..1/config.toml", &called("one"))]);
    symlink("..1", folder.path().join("..data")).expect("a link");
    symlink("..data/config.toml", folder.path().join("config.toml")).expect("a link");
    let server = Running::in_folder(folder, &[]);
    let swap = |old: &str, new: &str, name: &str| {
        std::fs::create_dir(server.path(new)).expect("a folder");
        server.write(&format!("{new}/config.toml"), &called(name));
        symlink(new, server.path("..data_tmp")).expect("a link");
        std::fs::rename(server.path("..data_tmp"), server.path("..data")).expect("replaced");
        std::fs::remove_dir_all(server.path(old)).expect("removed");
    };
    swap("..1", "..2", "two");
    server.log_line("Settings have changed");
    // Saving the same again is not logged either; a SIGHUP always is.
    server.write("..2/config.toml", &called("two"));
    swap("..2", "..3", "three");
    let log = server.log_until("Settings have changed");
    let lines = log.iter().filter(|line| line.contains("Settings"));
    assert_eq!(lines.count(), 1, "{log:?}");
    server.hang_up();
    server.log_line("nothing changes: SIGHUP");
}

#[test]
fn a_file_that_is_added_or_removed_is_applied() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    std::fs::create_dir(server.path("config.d")).expect("a folder");
    server.write("config.d/acme.toml", "[tenants.acme]\nsuspended = true");
    assert!(server.log_line("Settings have changed").contains("changed=tenants.acme"));
    let tenant = |server: &Running| server.status()["tenants"][0].clone();
    assert_eq!((&tenant(&server)["id"], &tenant(&server)["suspended"]), (&"acme".into(), &true.into()));
    server.write("config.d/acme.toml", "[tenants.acme]\nsuspended = false");
    assert!(server.log_line("Settings have changed").contains("changed=tenants.acme.suspended"));
    std::fs::remove_file(server.path("config.d/acme.toml")).expect("removed");
    assert!(server.log_line("Settings have changed").contains("changed=tenants.acme"));
    assert_eq!(server.status()["tenants"].as_array().map(Vec::len), Some(1), "only the default one is left");
}

#[test]
fn a_bad_edit_changes_nothing_and_is_reported() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    assert_eq!(server.number("realtime_settings_reload_failed"), "0");
    server.write("config.toml", &format!("{}[limits]\nmax_joinz_per_second = 1\n", called("two")));
    let log = server.log_line("unknown key");
    let problem = "config.toml:4:1: limits.max_joinz_per_second: unknown key";
    assert!(log.contains("ERROR") && log.contains(problem), "{log}");
    assert!(log.contains("did you mean limits.max_joins_per_second?"), "{log}");
    let status = server.status();
    assert_eq!(status["public_url"], "wss://one");
    let error = status["settings"]["last_error"].as_str().expect("an error");
    assert!(
        error.contains(problem) && error.ends_with("did you mean limits.max_joins_per_second?"),
        "{error}"
    );
    assert_eq!(status["settings"]["generation"], 1);
    assert_eq!(server.number("realtime_settings_reload_failed"), "1");

    // The same text as `config check` prints and as an operator receives.
    let check = Command::new(env!("CARGO_BIN_EXE_realtime-server"))
        .args(["config", "check"])
        .arg(server.path("config.toml"))
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&check.stderr).starts_with(error), "{check:?}");
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["problems"][0]), (422, &error.into()));

    // Undone: nothing changes, and nothing is wrong any more.
    server.write("config.toml", &called("one"));
    server.log_line("nothing changes");
    assert_eq!(server.status()["settings"]["last_error"], Value::Null);
    assert_eq!(server.number("realtime_settings_reload_failed"), "0");
}

#[test]
fn what_needs_a_restart_is_pending() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    server
        .write("config.toml", &format!("{}default_tenant = \"acme\"\n[bus]\nlease = \"1m\"", called("two")));
    assert!(server.log_line("Settings have changed").contains("changed=server.public_url"));
    let log = server.log_line("wait for a restart");
    assert!(log.contains("pending=\"bus.lease, server.default_tenant\""), "{log}");
    let status = server.status();
    assert_eq!(status["public_url"], "wss://two", "the rest is applied");
    assert_eq!(status["tenants"][0]["id"], "default");
    assert_eq!(status["settings"]["pending"], serde_json::json!(["bus.lease", "server.default_tenant"]));
    server.write("config.toml", &called("two"));
    server.log_line("nothing changes");
    assert_eq!(server.status()["settings"]["pending"], serde_json::json!([]));
}

// Otherwise the next start would be the first to report it, and fail.
#[test]
fn files_that_a_restart_would_load_are_loaded_before_they_wait_for_it() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    let tls = "tls = { cert_file = \"cert.pem\", key_file = \"key.pem\" }\n";
    server.write("config.toml", &(called("two") + tls));
    let log = server.log_line("cannot read `server.tls.cert_file` (cert.pem): No such file");
    assert!(log.contains("ERROR") && log.contains("config.toml:3:"), "{log}");
    assert_eq!(server.status()["public_url"], "wss://one");
    assert_eq!(server.number("realtime_settings_reload_failed"), "1");
}

#[test]
fn a_hangup_and_an_operator_reload_them() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    server.hang_up();
    server.log_line("nothing changes: SIGHUP");
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    assert_eq!((status, body.as_str()), (200, r#"{"changed":[],"generation":1,"pending":[]}"#));
    server.log_line("nothing changes: ordered by an operator");
}

#[test]
fn a_secret_in_a_file_of_its_own_is_reloaded() {
    let folder = folder(&[("config.toml", ""), ("secrets/operators", "the first secret\n")]);
    let server = Running::in_folder(folder, &[("API_JWT_SECRET_FILE", "{}/secrets/operators")]);
    assert_eq!(server.ask("GET", "/status", "the first secret").0, 200);
    server.write("secrets/operators", "the second secret\n");
    let log = server.log_line("Settings have changed");
    assert!(log.contains("changed=admin.jwt_secret") && !log.contains("second"), "{log}");
    assert_eq!(server.ask("GET", "/status", "the first secret").0, 401);
    assert_eq!(server.ask("GET", "/status", "the second secret").0, 200);
}

// A rotated secret must not wait until someone has corrected a file that has nothing to do with it.
#[test]
fn a_refused_file_does_not_hold_back_a_secret() {
    let folder = folder(&[("config.toml", &called("one")), ("operators", "the first secret\n")]);
    let server = Running::in_folder(folder, &[("API_JWT_SECRET_FILE", "{}/operators")]);
    server.write("config.toml", &format!("{}[limits]\nmax_joinz_per_second = 1\n", called("two")));
    server.log_line("unknown key");
    server.write("operators", "the second secret\n");
    let log = server.log_line("Settings have changed");
    assert!(log.contains("changed=admin.jwt_secret"), "{log}");
    assert_eq!(server.ask("GET", "/status", "the first secret").0, 401);
    let (_, status) = server.ask("GET", "/status", "the second secret");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["public_url"], &status["settings"]["generation"]), (&"wss://one".into(), &2.into()));
    assert!(status["settings"]["last_error"].as_str().is_some_and(|error| error.contains("unknown key")));
    server.write("config.toml", &called("two"));
    assert!(server.log_line("Settings have changed").contains("changed=server.public_url"));
}

#[test]
fn an_edit_that_a_variable_overrides_is_logged() {
    let folder = folder(&[("config.toml", "[server]\nmax_connections = 7")]);
    let server = Running::in_folder(folder, &[("MAX_CONNECTIONS", "9")]);
    server.write("config.toml", "[server]\nmax_connections = 8");
    server.log_line("nothing changes");
    let log = server.log_line("is overridden by");
    assert!(
        log.contains("config.toml:2:1: server.max_connections is overridden by variable MAX_CONNECTIONS"),
        "{log}"
    );
}

#[test]
fn the_log_level_is_reloaded() {
    let server = Running::with(&[("config.toml", "")]);
    let refused = || assert_eq!(server.ask("GET", "/status", "a wrong secret").0, 401);
    refused();
    server.log_line("GET /status 401");
    server.write("config.toml", "[telemetry]\nlog_level = \"error\"");
    assert_eq!(server.ask("POST", "/admin/reload", OPERATORS).0, 200);
    refused();
    server.write("config.toml", "broken");
    let log = server.log_until("Settings refused");
    assert!(!log.iter().any(|line| line.contains("GET /status 401")), "{log:?}");
}

// What the queues may take stays that of the start. It was more than the whole budget, and nothing was left to clients.
#[test]
fn a_lower_memory_budget_leaves_a_quarter_to_clients_and_is_remarked() {
    let settings = |mib: u32| {
        format!("[server]\nmemory_budget = \"{mib} MiB\"\n[telemetry]\nlog_queue_bytes = \"128 MiB\"\n")
    };
    let server = Running::with(&[("config.toml", &settings(1_024))]);
    server.write("config.toml", &settings(160));
    let remark = server.log_line("more than half of all memory of this process, 160.0 MiB");
    assert!(remark.contains("may take 128.0 MiB"), "{remark}");
    let quarter = (160 - 24) / 4;
    assert_eq!(server.status()["memory"]["limit"], quarter << 20);
}
