//! Settings that follow their files: the real program, real files, and every way in which they change.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use realtime_server::auth::sign_operator;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Signs the tokens of operators.
const OPERATORS: &str = "the operators' secret, of thirty-two bytes";

/// A folder with settings, and a server that runs on them. Killed when the test fails.
struct Running {
    child: Child,
    lines: Receiver<String>,
    address: String,
    folder: TempDir,
}

impl Running {
    /// With these files; `config.toml` is what it is started with.
    fn with(files: &[(&str, &str)]) -> Self {
        Self::in_folder(folder(files), &[])
    }

    /// In a folder that is there already; `{}` in a variable is the folder.
    fn in_folder(folder: TempDir, variables: &[(&str, &str)]) -> Self {
        let here = folder.path().display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--config"])
            .arg(folder.path().join("config.toml"));
        command.env_clear().env("JWT_SECRET", "users").current_dir(folder.path());
        command.envs(variables.iter().map(|(name, value)| (*name, value.replace("{}", &here))));
        if !variables.iter().any(|(name, _)| name.starts_with("API_JWT_SECRET")) {
            command.env("API_JWT_SECRET", OPERATORS);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (said, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let mut running = Self { child, lines, address: String::new(), folder };
        let listening = running.hears("Listening");
        let address = listening.split("address=").nth(1).expect("it says where");
        running.address = address.split_whitespace().next().expect("it says where").to_owned();
        running
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder is writable");
    }

    /// Waits for a log line with these words, and returns it.
    fn hears(&self, words: &str) -> String {
        self.hears_until(words).pop().expect("the line that was waited for")
    }

    /// Waits for a log line with these words, and returns all until then.
    fn hears_until(&self, words: &str) -> Vec<String> {
        let (until, mut heard) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    heard.push(line);
                    if heard.last().is_some_and(|line| line.contains(words)) {
                        return heard;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no word of {words:?} in\n{}", heard.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended:\n{}", heard.join("\n")),
            }
        }
    }

    /// Status and body of an answer.
    fn ask(&self, method: &str, target: &str, secret: &str) -> (u16, String) {
        let lifetime = Duration::from_secs(60);
        let token = sign_operator(&secret.into(), Map::new(), SystemTime::now(), lifetime);
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let head = "HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0";
        write!(stream, "{method} {target} {head}\r\nauthorization: Bearer {token}\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    fn status(&self) -> Value {
        let (status, body) = self.ask("GET", "/status", OPERATORS);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The value of a number on the page for Prometheus.
    fn number(&self, name: &str) -> String {
        let (_, page) = self.ask("GET", "/metrics", OPERATORS);
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).to_owned()
    }

    fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("it runs");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
    folder
}

/// Settings whose effect `/status` shows.
fn called(name: &str) -> String {
    format!("[server]\npublic_url = \"wss://{name}\"\n")
}

#[test]
fn a_saved_file_counts_at_once() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    assert_eq!(server.status()["public_url"], "wss://one");
    for name in ["two", "three"] {
        server.write("config.toml", &called(name));
        let told = server.hears("Settings have changed");
        assert!(told.contains("changed=server.public_url"), "{told}");
        assert_eq!(server.status()["public_url"], format!("wss://{name}"));
    }
    assert_eq!(server.status()["settings"]["generation"], 3);
}

#[test]
fn a_file_put_in_the_place_of_the_old_one_counts_each_time() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    for name in ["two", "three"] {
        server.write(".config.toml.swp", &called(name));
        std::fs::rename(server.path(".config.toml.swp"), server.path("config.toml")).expect("renamed");
        server.hears("Settings have changed");
        assert_eq!(server.status()["public_url"], format!("wss://{name}"));
    }
}

// As Kubernetes changes a ConfigMap: config.toml -> ..data/config.toml, ..data -> ..1.
#[test]
fn a_turned_link_counts_each_time() {
    let folder = folder(&[
        ("..1/config.toml", &called("one")),
        ("..2/config.toml", &called("two")),
        ("..3/config.toml", &called("three")),
    ]);
    symlink("..1", folder.path().join("..data")).expect("a link");
    symlink("..data/config.toml", folder.path().join("config.toml")).expect("a link");
    let server = Running::in_folder(folder, &[]);
    for (edition, name) in [("..2", "two"), ("..3", "three")] {
        symlink(edition, server.path("..data_tmp")).expect("a link");
        std::fs::rename(server.path("..data_tmp"), server.path("..data")).expect("turned");
        server.hears("Settings have changed");
        assert_eq!(server.status()["public_url"], format!("wss://{name}"));
    }
}

#[test]
fn a_file_that_appears_beside_counts_and_so_does_its_going() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    std::fs::create_dir(server.path("config.d")).expect("a folder");
    server.write("config.d/acme.toml", "[tenants.acme]\nsuspended = true");
    assert!(server.hears("Settings have changed").contains("changed=tenants.acme"));
    let tenant = |server: &Running| server.status()["tenants"][0].clone();
    assert_eq!((&tenant(&server)["id"], &tenant(&server)["suspended"]), (&"acme".into(), &true.into()));
    server.write("config.d/acme.toml", "[tenants.acme]\nsuspended = false");
    assert!(server.hears("Settings have changed").contains("changed=tenants.acme.suspended"));
    std::fs::remove_file(server.path("config.d/acme.toml")).expect("removed");
    assert!(server.hears("Settings have changed").contains("changed=tenants.acme"));
    assert_eq!(server.status()["tenants"].as_array().map(Vec::len), Some(1), "only the default one is left");
}

#[test]
fn a_bad_edit_changes_nothing_and_is_seen() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    assert_eq!(server.number("realtime_settings_reload_failed"), "0");
    server.write("config.toml", &format!("{}[limits]\nmax_joinz_per_second = 1\n", called("two")));
    let told = server.hears("unknown key");
    let problem = "config.toml:4:1: limits.max_joinz_per_second: unknown key";
    assert!(told.contains("ERROR") && told.contains(problem), "{told}");
    assert!(told.contains("did you mean limits.max_joins_per_second?"), "{told}");
    let status = server.status();
    assert_eq!(status["public_url"], "wss://one");
    let error = status["settings"]["last_error"].as_str().expect("an error");
    assert!(
        error.contains(problem) && error.ends_with("did you mean limits.max_joins_per_second?"),
        "{error}"
    );
    assert_eq!(status["settings"]["generation"], 1);
    assert_eq!(server.number("realtime_settings_reload_failed"), "1");

    // The same text as `config check`, and as an operator hears.
    let check = Command::new(env!("CARGO_BIN_EXE_realtime-server"))
        .args(["config", "check"])
        .arg(server.path("config.toml"))
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&check.stderr).starts_with(error), "{check:?}");
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["problems"][0]), (422, &error.into()));

    // Taken back: nothing changes, and nothing is wrong any more.
    server.write("config.toml", &called("one"));
    server.hears("nothing changes");
    assert_eq!(server.status()["settings"]["last_error"], Value::Null);
    assert_eq!(server.number("realtime_settings_reload_failed"), "0");
}

#[test]
fn what_takes_a_restart_is_pending() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    server
        .write("config.toml", &format!("{}default_tenant = \"acme\"\n[bus]\nlease = \"1m\"", called("two")));
    assert!(server.hears("Settings have changed").contains("changed=server.public_url"));
    let told = server.hears("wait for a restart");
    assert!(told.contains("pending=\"bus.lease, server.default_tenant\""), "{told}");
    let status = server.status();
    assert_eq!(status["public_url"], "wss://two", "the rest counts");
    assert_eq!(status["tenants"][0]["id"], "default");
    assert_eq!(status["settings"]["pending"], serde_json::json!(["bus.lease", "server.default_tenant"]));
    server.write("config.toml", &called("two"));
    server.hears("nothing changes");
    assert_eq!(server.status()["settings"]["pending"], serde_json::json!([]));
}

#[test]
fn a_hangup_and_an_operator_have_them_read() {
    let server = Running::with(&[("config.toml", &called("one"))]);
    server.hang_up();
    server.hears("nothing changes: SIGHUP");
    let (status, body) = server.ask("POST", "/admin/reload", OPERATORS);
    assert_eq!((status, body.as_str()), (200, r#"{"changed":[],"generation":1,"pending":[]}"#));
    server.hears("nothing changes: ordered by an operator");
}

#[test]
fn a_secret_in_a_file_of_its_own_is_followed() {
    let folder = folder(&[("config.toml", ""), ("secrets/operators", "the first secret\n")]);
    let server = Running::in_folder(folder, &[("API_JWT_SECRET_FILE", "{}/secrets/operators")]);
    assert_eq!(server.ask("GET", "/status", "the first secret").0, 200);
    server.write("secrets/operators", "the second secret\n");
    let told = server.hears("Settings have changed");
    assert!(told.contains("changed=admin.jwt_secret") && !told.contains("second"), "{told}");
    assert_eq!(server.ask("GET", "/status", "the first secret").0, 403);
    assert_eq!(server.ask("GET", "/status", "the second secret").0, 200);
}

#[test]
fn an_edit_that_a_variable_overrides_is_told() {
    let folder = folder(&[("config.toml", "[server]\nmax_connections = 7")]);
    let server = Running::in_folder(folder, &[("MAX_CONNECTIONS", "9")]);
    server.write("config.toml", "[server]\nmax_connections = 8");
    server.hears("nothing changes");
    let told = server.hears("is overridden by");
    assert!(
        told.contains("config.toml:2:1: server.max_connections is overridden by variable MAX_CONNECTIONS"),
        "{told}"
    );
}

#[test]
fn the_log_level_is_followed() {
    let server = Running::with(&[("config.toml", "")]);
    let refused = || assert_eq!(server.ask("GET", "/status", "a wrong secret").0, 403);
    refused();
    server.hears("GET /status 403");
    server.write("config.toml", "[telemetry]\nlog_level = \"error\"");
    assert_eq!(server.ask("POST", "/admin/reload", OPERATORS).0, 200);
    refused();
    server.write("config.toml", "broken");
    let heard = server.hears_until("Settings refused");
    assert!(!heard.iter().any(|line| line.contains("403")), "{heard:?}");
}
