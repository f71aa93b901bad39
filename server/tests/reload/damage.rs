//! Files that are damaged by accident: moved away, emptied, half-written, broken. The server keeps its settings, reports
//! the problem, and applies the file once it is whole again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::running::{OPERATORS, Running, folder};

/// A way to damage a file, and the text that is then logged.
type Damage = (fn(&Path), &'static str);

/// The memory that the server may have had at any time: what it has with small files, and a margin.
const RESIDENT_MAX: usize = 128 * 1024 * 1024;

const DAMAGES: [Damage; 7] = [
    (|file| fs::remove_file(file).expect("removed"), "is missing now"),
    (|file| fs::write(file, "\n").expect("emptied"), "empty"),
    (|file| fs::write(file, [b'#', 0xff, 0xfe, b'\n']).expect("written"), "UTF-8"),
    (in_its_place_a_folder, "Is a directory"),
    (in_its_place_a_link, "No such file"),
    (in_its_place_a_pipe, "it is a FIFO (named pipe), and only regular files are used"),
    (enlarged, "it is too large: it has 1 GiB"),
];

fn in_its_place_a_folder(file: &Path) {
    fs::remove_file(file).expect("removed");
    fs::create_dir(file).expect("a folder");
}

fn in_its_place_a_link(file: &Path) {
    fs::remove_file(file).expect("removed");
    symlink("nowhere", file).expect("a link");
}

fn in_its_place_a_pipe(file: &Path) {
    fs::remove_file(file).expect("removed");
    mknodat(CWD, file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
}

fn enlarged(file: &Path) {
    fs::OpenOptions::new().write(true).open(file).expect("there").set_len(1 << 30).expect("enlarged");
}

/// Replaces whatever is at `file` by a file with this text.
fn put(file: &Path, text: &str) {
    if file.is_dir() {
        fs::remove_dir(file).expect("empty");
    }
    let fresh = file.with_file_name(".fresh");
    fs::write(&fresh, text).expect("written");
    fs::rename(fresh, file).expect("renamed");
}

fn tenants(server: &Running) -> Vec<Value> {
    let status = server.status();
    status["tenants"].as_array().expect("a list").iter().map(|tenant| tenant["id"].clone()).collect()
}

/// Damages a file in each of these ways, and asserts that the running settings stay.
fn damage_changes_nothing(server: &Running, name: &str, damages: &[Damage]) {
    let file = server.path(name);
    let text = fs::read_to_string(&file).expect("whole");
    for (damage, text_logged) in damages {
        damage(&file);
        let log = server.log_until("Settings refused").join("\n");
        assert!(!log.contains("Settings have changed"), "{name}: {log}");
        // Of steps that are one damage, the first may be refused by itself.
        let log = server.log_line(text_logged);
        assert!(log.contains("ERROR") && log.contains(name), "{name}: {log}");
        let status = server.status();
        assert_eq!(status["settings"]["generation"], 1, "{name}, {text_logged}");
        assert!(status["settings"]["last_error"].as_str().is_some_and(|error| error.contains(name)));
        assert_eq!(server.number("realtime_settings_reload_failed"), "1");
        assert_eq!(tenants(server), ["acme", "beside", "default", "staging"], "{name}, {text_logged}");
        put(&file, &text);
        server.log_line("nothing changes");
        assert_eq!(server.number("realtime_settings_reload_failed"), "0");
    }
}

#[test]
fn a_damaged_file_changes_nothing() {
    let folder = folder(&[
        ("config.toml", "[tenants.acme]"),
        ("config.d/beside.toml", "[tenants.beside]"),
        ("config.staging.toml", "[tenants.staging]"),
        ("secrets/operators", OPERATORS),
    ]);
    let variables = [("API_JWT_SECRET_FILE", "{}/secrets/operators"), ("REALTIME_ENV", "staging")];
    let server = Running::by_itself(folder, &variables);
    damage_changes_nothing(&server, "config.toml", &DAMAGES);
    damage_changes_nothing(&server, "config.staging.toml", &DAMAGES);
    // A file that is removed from config.d is no problem.
    damage_changes_nothing(&server, "config.d/beside.toml", &DAMAGES[1..]);
    let missing: Damage = (DAMAGES[0].0, "No such file");
    damage_changes_nothing(&server, "secrets/operators", &[missing]);
    damage_changes_nothing(&server, "secrets/operators", &DAMAGES[1..]);
    // Among the damages are files of 1 GiB, which are not read.
    assert!(server.resident_peak() < RESIDENT_MAX, "{} bytes", server.resident_peak());
}

#[test]
fn half_a_file_changes_nothing() {
    let server = Running::with(&[("config.toml", "[tenants.acme]")]);
    server.write("config.toml", "[tenants.acme]\nsuspended = tr");
    server.log_line("Settings refused");
    assert_eq!(tenants(&server), ["acme", "default"]);
    server.write("config.toml", "[tenants.acme]\nsuspended = true");
    assert!(server.log_line("Settings have changed").contains("changed=tenants.acme.suspended"));
}

// A start refuses settings without a secret; a reload, which would end every channel, refuses them too.
#[test]
fn the_last_secret_cannot_be_removed() {
    let secret = "[auth]\njwt_secret = 'the only one'\n";
    let server = Running::in_folder(folder(&[("config.toml", secret)]), &[("JWT_SECRET", "")]);
    server.write("config.toml", "# none\n");
    server.log_line("Settings refused");
    let log = server.log_line("auth.jwt_secret");
    assert!(log.contains("no secret to verify tokens with would be left"), "{log}");
    assert!(
        server.status()["settings"]["last_error"].as_str().is_some_and(|error| error.contains("suspend"))
    );
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    assert_eq!(status, 422, "{body}");

    server.write("config.toml", "[tenants.acme.auth]\njwt_secret = 'another'\n");
    let log = server.log_line("Settings have changed");
    assert!(log.contains("auth.jwt_secret, tenants.acme"), "one tenant with a key is enough: {log}");
}

#[test]
fn another_default_tenant_waits_with_its_keys_for_a_restart() {
    let tenants = "[tenants.default.auth]\njwt_secret = 'ours'\n[tenants.acme.auth]\njwt_secret = 'theirs'\n";
    let folder = folder(&[("config.toml", tenants)]);
    let server = Running::in_folder(folder, &[("JWT_SECRET", "")]);
    server.write("config.toml", &format!("[server]\ndefault_tenant = 'acme'\n{tenants}"));
    server.log_line("nothing changes");
    assert_eq!(server.status()["settings"]["pending"], json!(["server.default_tenant"]));
}

#[test]
fn memory_that_is_not_there_is_remarked() {
    let server = Running::in_folder(folder(&[("config.toml", "")]), &[("JWT_SECRET", OPERATORS)]);
    server.write("config.toml", "[server]\nmemory_budget = \"900 TiB\"\n");
    server.log_line("`server.memory_budget` (900.0 TiB) is more than the ");
}

// 100,000 problems were 15 MB of log and 150 MB of memory.
#[test]
fn a_file_with_very_many_problems_is_refused_with_few_lines_and_little_memory() {
    let server = Running::with(&[("config.toml", "# nothing\n")]);
    for (text, problems) in [
        ("a=\n".repeat(500_000), 1),
        (".a".repeat(69).split_off(1) + "=1\n", 1),
        ((0..40_000).map(|n| format!("key_{n} = 1\n")).collect(), 101),
    ] {
        server.write("config.toml", &text);
        server.log_until("Settings refused");
        let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, body["problems"].as_array().expect("a list").len()), (422, problems), "{body}");
    }
    let log = server.log_until("39900 more problems");
    assert_eq!(log.iter().filter(|line| line.contains(": key_")).count(), 100);
    assert!(server.resident_peak() < RESIDENT_MAX, "{} bytes", server.resident_peak());
}
