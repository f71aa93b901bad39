//! `serve --dev` with a log in JSON, and what is sent to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// `serve --dev` that logs JSON. Killed when the test ends.
pub(crate) struct Serve {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) address: String,
    pub(crate) token: String,
    _folder: TempDir,
}

impl Serve {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--dev"]).current_dir(folder.path());
        command.env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("REALTIME__TELEMETRY__LOG_FORMAT", "json").env("REALTIME__TELEMETRY__LOG_LEVEL", "debug");
        // No pause before refusals, for which no test should have to wait.
        command.env("REALTIME__SERVER__CONNECT_ERROR_BACKOFF", "0s");
        command.env("REALTIME__SERVER__CHANNEL_ERROR_BACKOFF", "0s");
        command.envs(settings.iter().copied());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut start_text =
            BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut value_of = |name: &str| {
            let mut lines = start_text.by_ref().map(|line| line.trim().to_owned());
            let value = lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
            value.expect("the start text has it")
        };
        let (url, token) = (value_of("URL"), value_of("anon"));
        let address = url.trim_start_matches("http://").to_owned();
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, log, address, token, _folder: folder }
    }

    /// The next line that satisfies `holds`.
    pub(crate) fn line(&mut self, mut holds: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).expect("text") > 0, "the log ended");
            let line = serde_json::from_str(&line).expect("a line is JSON");
            if holds(&line) {
                return line;
            }
        }
    }

    /// Sends a request, reads the head of the response, and leaves the connection open.
    pub(crate) fn ask(&self, head: &str) -> TcpStream {
        ask(&self.address, head)
    }

    /// Reads a log that was not read for a while, and sends this request until a line with `text` is written.
    pub(crate) fn ask_until_written(&mut self, head: &str, text: &str) {
        let Self { log, address, .. } = self;
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| log.lines().map_while(Result::ok).any(|line| line.contains(text)));
            while !reading.is_finished() {
                ask(address, head);
            }
            assert!(reading.join().expect("lines of text"), "the log ended");
        });
    }

    /// A WebSocket with this token.
    pub(crate) fn open(&self, token: &str) -> TcpStream {
        self.ask(&format!(
            "GET /socket/websocket?vsn=2.0.0&log_level=banana&apikey={token} HTTP/1.1\r\n\
             x-request-id: an-id-of-twenty-letters\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        ))
    }

    /// The value of a series on the page; 0 if it has none.
    pub(crate) fn number(&self, series: &str) -> f64 {
        let mut page = String::new();
        self.ask("GET /metrics HTTP/1.1\r\nconnection: close").read_to_string(&mut page).expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }

    /// Stops the server and returns the remaining log.
    pub(crate) fn stop(&mut self) -> String {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        rest
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _already_exited = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Sends a request, reads the head of the response, and leaves the connection open.
fn ask(address: &str, request: &str) -> TcpStream {
    ask_with(address, request, "")
}

pub(crate) fn ask_with(address: &str, request: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "{request}\r\nhost: x\r\n\r\n{body}").expect("it accepts bytes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a response");
        head.push(byte[0]);
    }
    stream
}

/// A text frame, masked with zeros.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    [&[0x81, 0xfe], &length[..], &[0; 4], text.as_bytes()].concat()
}

pub(crate) fn is_request(line: &Value) -> bool {
    line["method"].is_string()
}
