//! Files that cannot be read now: on a file system that does not respond, or without a free descriptor. The server serves
//! meanwhile, reports the cause, takes no more threads however often it is to reload, and recovers by itself.

use std::fs;
use std::time::{Duration, Instant};

use harness::{ServerProcess, Unresponsive};
use rustix::process::{Resource, Rlimit, prlimit};

use crate::called;
use crate::running::{OPERATORS, Running, command, folder};

fn threads(server: &Running) -> usize {
    fs::read_dir(format!("/proc/{}/task", server.id())).expect("it runs").count()
}

#[test]
fn a_file_system_that_does_not_respond_is_reported_and_takes_one_thread() {
    let folder = folder(&[("config.toml", &called("one")), ("config.d/more.toml", "")]);
    let server = Running::in_folder(folder, &[]);
    let Some(unresponsive) = Unresponsive::over(&server.path("config.d")) else { return };
    server.hang_up();
    let error = server.log_line("still waiting for");
    assert!(error.contains("ERROR") && error.contains("config.d"), "{error}");
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    assert!(status == 422 && body.contains("still waiting for"), "{status} {body}");
    let last_error = &server.status()["settings"]["last_error"];
    assert!(last_error.as_str().is_some_and(|error| error.contains("still waiting for")), "{last_error}");
    assert_eq!(server.number("realtime_settings_reload_failed"), "1");

    let before = threads(&server);
    for _ in 0..50 {
        let began = Instant::now();
        let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
        assert!(status == 422 && body.contains("still waiting for"), "{status} {body}");
        assert!(began.elapsed() < Duration::from_secs(5), "refused at once");
        server.hang_up();
    }
    assert!(threads(&server) <= before + 3, "{} threads, {before} before", threads(&server));

    drop(unresponsive);
    server.log_line("Settings are good again");
    assert_eq!(server.number("realtime_settings_reload_failed"), "0");
    server.write("config.d/more.toml", &called("two"));
    server.log_line("Settings have changed");
    assert_eq!(server.status()["public_url"], "wss://two");
}

#[test]
fn a_file_system_that_does_not_respond_does_not_prevent_a_stop() {
    let at_once = "drain_delay = '0s'\ndrain_timeout = '0s'\nshutdown_timeout = '1s'\n";
    let folder =
        folder(&[("config.toml", &format!("{}{at_once}", called("one"))), ("config.d/more.toml", "")]);
    let mut server = Running::in_folder(folder, &[]);
    // Dropped before the server, and so before the folder is removed.
    let Some(_unresponsive) = Unresponsive::over(&server.path("config.d")) else { return };
    server.hang_up();
    assert_eq!(server.status()["public_url"], "wss://one", "it serves meanwhile");
    server.stop();
}

#[test]
fn a_start_on_a_file_system_that_does_not_respond_is_an_error() {
    let folder = folder(&[("config/config.toml", "")]);
    let config = folder.path().join("config");
    let Some(unresponsive) = Unresponsive::over(&config) else { return };
    let mut start = command(&folder, &[]);
    start.arg("--config").arg(config.join("config.toml"));
    let mut process = ServerProcess::start(start);
    let (status, log) = process.exit();
    assert!(!status.success() && log.contains("still waiting for"), "{status}: {log}");
    drop(unresponsive);
}

// Reading a file needs a descriptor.
#[test]
fn a_reload_without_a_free_descriptor_is_repeated_until_there_is_one() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    let id = rustix::process::Pid::from_raw(i32::try_from(server.id()).expect("small"));
    // Those of the standard streams are taken.
    let none_left = Rlimit { current: Some(3), maximum: None };
    let before =
        prlimit(id, Resource::Nofile, Rlimit { maximum: maximum(id), ..none_left }).expect("permitted");
    server.write("config.toml", &called("two"));
    let error = server.log_line("Too many open files");
    assert!(error.contains("ERROR"), "{error}");
    prlimit(id, Resource::Nofile, before).expect("permitted");
    server.log_line("Settings have changed: files could not be read before");
    assert_eq!(server.status()["public_url"], "wss://two");
}

/// The hard limit of descriptors of a process.
fn maximum(id: Option<rustix::process::Pid>) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", id?.as_raw_nonzero())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth_back(1)?.parse().ok()
}
