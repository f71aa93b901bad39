//! What the log says of requests and of the WebSockets that come of them, as a machine reads it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// `serve --dev` that logs JSON. Killed when the test ends.
struct Serve {
    child: Child,
    log: BufReader<ChildStderr>,
    address: String,
    token: String,
    _folder: TempDir,
}

impl Serve {
    fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--dev"]).current_dir(folder.path());
        command.env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("REALTIME__TELEMETRY__LOG_FORMAT", "json").env("REALTIME__TELEMETRY__LOG_LEVEL", "debug");
        command.envs(settings.iter().copied());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let welcome = BufReader::new(child.stdout.take().expect("piped"));
        let token = welcome.lines().map_while(Result::ok).find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.first() == Some(&"anon")).then(|| words[1].to_owned())
        });
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let mut serve =
            Self { child, log, address: String::new(), token: token.expect("a token"), _folder: folder };
        let listening = serve.line(|line| line["message"] == "Listening");
        serve.address = listening["address"].as_str().expect("an address").to_owned();
        serve
    }

    /// The next line for which this holds.
    fn line(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).expect("text") > 0, "the log ended");
            let line = serde_json::from_str(&line).expect("a line is JSON");
            if holds(&line) {
                return line;
            }
        }
    }

    /// Sends a request, reads the head of the answer, and leaves the connection open.
    fn ask(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "{head}\r\nhost: x\r\n\r\n").expect("it reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        stream
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn is_request(line: &Value) -> bool {
    line["method"].is_string()
}

#[test]
fn each_request_is_one_line_with_its_id_and_whence_it_came_and_never_its_token() {
    let mut serve = Serve::start(&[]);
    serve.ask("GET /health?apikey=hidden HTTP/1.1\r\nx-request-id: an-id-of-twenty-letters");
    let line = serve.line(is_request);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "GET /health 200");
    assert_eq!((&line["path"], &line["status"]), (&"/health".into(), &200.into()));
    assert!(line["duration_ms"].is_u64());
    assert_eq!(line["request_id"], "an-id-of-twenty-letters");
    assert_eq!(line["client_address"], "127.0.0.1");
    assert!(!line.to_string().contains("hidden"), "{line}");

    serve.ask("GET /nowhere HTTP/1.1");
    let line = serve.line(is_request);
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &404.into()));

    serve.ask("GET /socket/websocket?apikey=a.b.c HTTP/1.1");
    let line = serve.line(is_request);
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &401.into()));
    assert_eq!(line["error_code"], "MalformedJWT");

    serve.ask("this is no request");
    let line = serve.line(|line| line["level"] == "WARN");
    assert_eq!(line["client_address"], "127.0.0.1");
}

#[test]
fn a_websocket_keeps_the_id_of_its_handshake() {
    let mut serve = Serve::start(&[]);
    let token = serve.token.clone();
    let mut socket = serve.ask(&format!(
        "GET /socket/websocket?vsn=2.0.0&apikey={token} HTTP/1.1\r\nx-request-id: an-id-of-twenty-letters\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
    ));
    assert_eq!(serve.line(is_request)["status"], 101);
    // A text frame of one letter, masked with nothing.
    socket.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).expect("it reads");
    let line = serve.line(|line| line["code"] == "MalformedWebSocketMessage");
    assert_eq!(line["request_id"], "an-id-of-twenty-letters", "{line}");
    assert_eq!(line["client_address"], "127.0.0.1");
    drop(socket);
    let line = serve.line(|line| line["message"] == "The WebSocket has ended");
    assert_eq!(line["request_id"], "an-id-of-twenty-letters");
}

#[test]
fn health_checks_need_not_be_logged() {
    let mut serve = Serve::start(&[("REALTIME__TELEMETRY__LOG_HEALTH_CHECKS", "false")]);
    for path in ["/health", "/healthcheck", "/readyz", "/metrics"] {
        serve.ask(&format!("GET {path} HTTP/1.1"));
    }
    assert_eq!(serve.line(is_request)["path"], "/metrics");
}
