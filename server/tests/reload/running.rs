//! The program, running on a folder with settings, and the requests that tests send to it.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use harness::ServerProcess;
use realtime_server::auth::sign_operator;
use rustix::process::Signal;
use serde_json::{Map, Value};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Signs the tokens of operators.
pub const OPERATORS: &str = "the operators' secret, of thirty-two bytes";

/// A folder with settings, and a server that runs on them.
pub struct Running {
    process: ServerProcess,
    pub address: SocketAddr,
    folder: TempDir,
}

impl Running {
    /// With these files; `config.toml` is what it is started with.
    pub fn with(files: &[(&str, &str)]) -> Self {
        Self::in_folder(folder(files), &[])
    }

    /// In a folder that is there already; `{}` in a variable is the folder.
    pub fn in_folder(folder: TempDir, variables: &[(&str, &str)]) -> Self {
        let file = folder.path().join("config.toml");
        Self::start(folder, &["--config".as_ref(), file.as_os_str()], variables)
    }

    /// As [`in_folder`](Self::in_folder), but without naming the file: it is at a default path.
    pub fn by_itself(folder: TempDir, variables: &[(&str, &str)]) -> Self {
        Self::start(folder, &[], variables)
    }

    fn start(folder: TempDir, arguments: &[&OsStr], variables: &[(&str, &str)]) -> Self {
        let mut command = command(&folder, variables);
        command.args(arguments);
        let process = ServerProcess::start(command);
        let address = process.listening();
        Self { process, address, folder }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The most memory that was resident at once, in bytes.
    pub fn resident_peak(&self) -> usize {
        self.process.resident_peak()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder is writable");
    }

    /// Waits for a log line with these words, and returns it.
    pub fn log_line(&self, words: &str) -> String {
        self.process.log_line(words)
    }

    /// Waits for a log line with these words, and returns all until then.
    pub fn log_until(&self, words: &str) -> Vec<String> {
        self.process.log_until(words)
    }

    /// Status and body of an answer.
    pub fn ask(&self, method: &str, target: &str, secret: &str) -> (u16, String) {
        let lifetime = Duration::from_secs(60);
        let token = sign_operator(&secret.into(), Map::new(), SystemTime::now(), lifetime);
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(WAIT_MAX)).expect("a time-out");
        let head = "HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0";
        write!(stream, "{method} {target} {head}\r\nauthorization: Bearer {token}\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    pub fn status(&self) -> Value {
        let (status, body) = self.ask("GET", "/status", OPERATORS);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The value of a number on the page for Prometheus.
    pub fn number(&self, name: &str) -> String {
        let (_, page) = self.ask("GET", "/metrics", OPERATORS);
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).to_owned()
    }

    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.exit();
    }
}

/// The program, to be run in `folder`; `{}` in a variable is that folder.
pub fn command(folder: &TempDir, variables: &[(&str, &str)]) -> Command {
    let here = folder.path().display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.args(["serve", "--host", "127.0.0.1", "--port", "0"]);
    command.env_clear().env("JWT_SECRET", "users").current_dir(folder.path());
    command.envs(variables.iter().map(|(name, value)| (*name, value.replace("{}", &here))));
    if !variables.iter().any(|(name, _)| name.starts_with("API_JWT_SECRET")) {
        command.env("API_JWT_SECRET", OPERATORS);
    }
    command
}

/// A folder with these files.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
    folder
}
