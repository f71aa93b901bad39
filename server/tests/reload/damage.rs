//! What happens to files that nobody meant to change like this: moved away, emptied, half-written, broken. The
//! server goes on as it was, says so, and takes up the file once it is whole again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::called;
use crate::running::{OPERATORS, Running, WAIT_MAX, folder};

/// A way to damage a file, with what is then said of it.
type Damage = (fn(&Path), &'static str);

const DAMAGES: [Damage; 5] = [
    (|file| fs::remove_file(file).expect("removed"), "is gone"),
    (|file| fs::write(file, "\n").expect("emptied"), "empty"),
    (|file| fs::write(file, [b'#', 0xff, 0xfe, b'\n']).expect("written"), "UTF-8"),
    (in_its_place_a_folder, "Is a directory"),
    (in_its_place_a_link, "No such file"),
];

fn in_its_place_a_folder(file: &Path) {
    fs::remove_file(file).expect("removed");
    fs::create_dir(file).expect("a folder");
}

fn in_its_place_a_link(file: &Path) {
    fs::remove_file(file).expect("removed");
    symlink("nowhere", file).expect("a link");
}

/// Puts a file with this text where whatever was there is.
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

/// Damages each of these files in each way, and looks that nothing comes of it.
fn nothing_comes_of_damage_to(server: &Running, name: &str, damages: &[Damage]) {
    let file = server.path(name);
    let text = fs::read_to_string(&file).expect("whole");
    for (damage, told) in damages {
        damage(&file);
        let heard = server.hears_until("Settings refused").join("\n");
        assert!(!heard.contains("Settings have changed"), "{name}: {heard}");
        // Of steps that are one damage, the first may be refused by itself.
        let heard = server.hears(told);
        assert!(heard.contains("ERROR") && heard.contains(name), "{name}: {heard}");
        let status = server.status();
        assert_eq!(status["settings"]["generation"], 1, "{name}, {told}");
        assert!(status["settings"]["last_error"].as_str().is_some_and(|error| error.contains(name)));
        assert_eq!(server.number("realtime_settings_reload_failed"), "1");
        assert_eq!(tenants(server), ["acme", "beside", "default", "staging"], "{name}, {told}");
        put(&file, &text);
        server.hears("nothing changes");
        assert_eq!(server.number("realtime_settings_reload_failed"), "0");
    }
}

#[test]
fn nothing_comes_of_a_damaged_file() {
    let folder = folder(&[
        ("config.toml", "[tenants.acme]"),
        ("config.d/beside.toml", "[tenants.beside]"),
        ("config.staging.toml", "[tenants.staging]"),
        ("secrets/operators", OPERATORS),
    ]);
    let variables = [("API_JWT_SECRET_FILE", "{}/secrets/operators"), ("REALTIME_ENV", "staging")];
    let server = Running::by_itself(folder, &variables);
    nothing_comes_of_damage_to(&server, "config.toml", &DAMAGES);
    nothing_comes_of_damage_to(&server, "config.staging.toml", &DAMAGES);
    // Nothing that is gone from there is missed.
    nothing_comes_of_damage_to(&server, "config.d/beside.toml", &DAMAGES[1..]);
    let missing: Damage = (DAMAGES[0].0, "No such file");
    nothing_comes_of_damage_to(&server, "secrets/operators", &[missing]);
    nothing_comes_of_damage_to(&server, "secrets/operators", &DAMAGES[1..]);
}

#[test]
fn nothing_comes_of_half_a_file() {
    let server = Running::with(&[("config.toml", "[tenants.acme]")]);
    server.write("config.toml", "[tenants.acme]\nsuspended = tr");
    server.hears("Settings refused");
    assert_eq!(tenants(&server), ["acme", "default"]);
    server.write("config.toml", "[tenants.acme]\nsuspended = true");
    assert!(server.hears("Settings have changed").contains("changed=tenants.acme.suspended"));
}

// A restart refuses a file without a secret; a reload by which every channel would end does so all the more.
#[test]
fn the_last_secret_is_not_taken_away() {
    let secret = "[auth]\njwt_secret = 'the only one'\n";
    let server = Running::in_folder(folder(&[("config.toml", secret)]), &[("JWT_SECRET", "")]);
    server.write("config.toml", "# none\n");
    server.hears("Settings refused");
    let told = server.hears("auth.jwt_secret");
    assert!(told.contains("no secret to verify tokens with would be left"), "{told}");
    assert!(
        server.status()["settings"]["last_error"].as_str().is_some_and(|error| error.contains("suspend"))
    );
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    assert_eq!(status, 422, "{body}");

    server.write("config.toml", "[tenants.acme.auth]\njwt_secret = 'another'\n");
    let told = server.hears("Settings have changed");
    assert!(told.contains("auth.jwt_secret, tenants.acme"), "one tenant with a key is enough: {told}");
}

#[test]
fn another_default_tenant_waits_with_its_keys_for_a_restart() {
    let tenants = "[tenants.default.auth]\njwt_secret = 'ours'\n[tenants.acme.auth]\njwt_secret = 'theirs'\n";
    let folder = folder(&[("config.toml", tenants)]);
    let server = Running::in_folder(folder, &[("JWT_SECRET", "")]);
    server.write("config.toml", &format!("[server]\ndefault_tenant = 'acme'\n{tenants}"));
    server.hears("nothing changes");
    assert_eq!(server.status()["settings"]["pending"], json!(["server.default_tenant"]));
}

// As a network file system is that has gone away: whoever reads this pipe waits for somebody who writes into it.
#[test]
fn a_disk_that_does_not_answer_keeps_nobody_from_stopping() {
    let at_once = "drain_delay = '0s'\ndrain_timeout = '0s'\nshutdown_timeout = '1s'\n\
                   [telemetry]\nlog_level = 'debug'\n";
    let server = Running::with(&[("config.toml", &format!("{}{at_once}", called("one")))]);
    fs::create_dir(server.path("config.d")).expect("a folder");
    server.hears("their files are unchanged");
    let (mode, pipe) = (Mode::from_raw_mode(0o600), server.path("config.d/deaf.toml"));
    mknodat(CWD, &pipe, FileType::Fifo, mode, 0).expect("a pipe");
    let until = Instant::now() + WAIT_MAX;
    let _silent = loop {
        // Nobody can write into a pipe that nobody reads.
        match open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(writer) => break writer,
            Err(Errno::NXIO) => assert!(Instant::now() < until, "nobody reads it"),
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(server.status()["public_url"], "wss://one", "it serves meanwhile");
    server.stop();
}
