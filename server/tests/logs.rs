//! Log lines of requests and of their WebSockets, in the JSON format.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, SystemTime};

use realtime_server::auth::sign_operator;
use serde_json::{Map, Value};
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
    fn line(&mut self, mut holds: impl FnMut(&Value) -> bool) -> Value {
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
    fn ask(&self, head: &str) -> TcpStream {
        ask(&self.address, head)
    }

    /// Reads a log that was not read for a while, and sends this request until a line with `text` is written.
    fn ask_until_written(&mut self, head: &str, text: &str) {
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
    fn open(&self, token: &str) -> TcpStream {
        self.ask(&format!(
            "GET /socket/websocket?vsn=2.0.0&log_level=banana&apikey={token} HTTP/1.1\r\n\
             x-request-id: an-id-of-twenty-letters\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        ))
    }

    /// The value of a series on the page; 0 if it has none.
    fn number(&self, series: &str) -> f64 {
        let mut page = String::new();
        self.ask("GET /metrics HTTP/1.1\r\nconnection: close").read_to_string(&mut page).expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }

    /// Stops the server and returns the remaining log.
    fn stop(&mut self) -> String {
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

fn ask_with(address: &str, request: &str, body: &str) -> TcpStream {
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
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    [&[0x81, 0xfe], &length[..], &[0; 4], text.as_bytes()].concat()
}

fn is_request(line: &Value) -> bool {
    line["method"].is_string()
}

#[test]
fn each_request_is_one_line_with_its_id_and_address_and_without_its_token() {
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
    let line = serve.line(|line| line["level"] == "WARN" && line["status"].is_null());
    assert_eq!(line["client_address"], "127.0.0.1");
}

#[test]
fn each_refusal_names_its_reason_and_none_is_an_error() {
    let operators = "the operators' secret, of thirty-two bytes";
    let mut serve = Serve::start(&[
        ("API_JWT_SECRET", operators),
        ("METRICS_JWT_SECRET", "the secret of metrics, of thirty-two bytes"),
        ("REALTIME__SERVER__STRICT_HOST", "false"),
    ]);
    let token = serve.token.clone();
    let socket = "GET /socket/websocket";
    for (request, status, code) in [
        ("GET /nowhere HTTP/1.1".to_owned(), 404, "PathNotFound"),
        (format!("{socket} HTTP/1.1"), 401, "MissingAPIKey"),
        (format!("{socket}?apikey=a.b.c HTTP/1.1"), 401, "MalformedJWT"),
        (format!("{socket}?vsn=9&apikey={token} HTTP/1.1"), 403, "UnsupportedProtocolVersion"),
        (format!("{socket}?apikey={token} HTTP/1.1"), 400, "NotAWebSocketHandshake"),
        (format!("{socket}?apikey={token}&tenant=missing HTTP/1.1"), 404, "TenantNotFound"),
        ("POST /api/broadcast HTTP/1.1\r\ncontent-length: 0".to_owned(), 401, "MissingAPIKey"),
        ("POST /api/broadcast HTTP/1.1\r\ncontent-length: 0\r\napikey: x".to_owned(), 401, "MalformedJWT"),
        (
            "POST /api/broadcast?tenant=missing HTTP/1.1\r\ncontent-length: 0".to_owned(),
            401,
            "TenantNotFound",
        ),
        (
            format!(
                "POST /api/broadcast/t/events/e?private=true&apikey={token} HTTP/1.1\r\ncontent-length: 0"
            ),
            422,
            "UnableToConnectToProject",
        ),
        ("GET /status HTTP/1.1".to_owned(), 401, "OperatorDenied"),
        ("GET /metrics HTTP/1.1".to_owned(), 403, "OperatorDenied"),
    ] {
        serve.ask(&request);
        let line = serve.line(|line| {
            // The line of the code comes before that of the request.
            assert_ne!(line["level"], "ERROR", "{line}");
            is_request(line)
        });
        let logged = (&line["status"], &line["error_code"], &line["level"]);
        assert_eq!(logged, (&status.into(), &code.into(), &"WARN".into()), "{request}: {line}");
        assert!(!line.to_string().contains(&token), "{line}");
    }
    let rest = serve.stop();
    assert!(!rest.contains("ERROR"), "{rest}");
}

#[test]
fn an_operators_request_is_logged_with_the_sub_of_its_token() {
    let secret = "the operators' secret, of thirty-two bytes";
    let mut serve = Serve::start(&[("API_JWT_SECRET", secret)]);
    let claims = Map::from_iter([("sub".to_owned(), "ann".into())]);
    let token = sign_operator(&secret.into(), claims, SystemTime::now(), Duration::from_secs(60));
    let request =
        |path: &str| format!("POST {path} HTTP/1.1\r\ncontent-length: 0\r\nauthorization: Bearer {token}");
    for (path, message) in [
        ("/admin/reload", "An operator requests a reload"),
        ("/admin/tenants/default/disconnect", "An operator disconnects the clients of a tenant"),
    ] {
        serve.ask(&request(path));
        let line = serve.line(|line| line["message"] == message);
        assert_eq!((&line["sub"], &line["level"]), (&"ann".into(), &"INFO".into()), "{line}");
        assert!(line["request_id"].is_string() && !line.to_string().contains(&token), "{line}");
    }
    serve.ask(&request("/admin/tenants/missing/disconnect"));
    let line = serve.line(|line| line["status"] == 404);
    assert_eq!(line["error_code"], "TenantNotFound");
}

#[test]
fn every_call_of_the_management_api_is_logged_with_its_outcome() {
    let secret = "the operators' secret, of thirty-two bytes";
    let mut serve = Serve::start(&[("API_JWT_SECRET", secret)]);
    let claims = Map::from_iter([("sub".to_owned(), "ann".into())]);
    let token = sign_operator(&secret.into(), claims, SystemTime::now(), Duration::from_secs(60));
    let hidden = "a secret that is in no line of the log";
    let body = format!(r#"{{"tenant":{{"jwt_secret":"{hidden}"}}}}"#);
    for (request, body, tenant, action, outcome) in [
        ("PUT /api/tenants/acme", &*body, "acme", "create", "done"),
        ("PATCH /api/tenants/acme", &*body, "acme", "update", "done"),
        ("PUT /api/tenants/acme", "[]", "acme", "write", "bad request"),
        ("PUT /api/tenants/acme", r#"{"tenant":{"suspend":[]}}"#, "acme", "write", "invalid"),
        ("PUT /api/tenants/default", &*body, "default", "write", "in the configuration"),
        ("GET /api/tenants", "", "", "list", "done"),
        ("GET /api/tenants/acme", "", "acme", "show", "done"),
        ("GET /api/tenants/other", "", "other", "show", "not found"),
        ("GET /api/tenants/acme/health", "", "acme", "health", "done"),
        ("POST /api/tenants/acme/reload", "", "acme", "reload", "done"),
        ("POST /api/tenants/acme/shutdown", "", "acme", "shutdown", "done"),
        ("DELETE /api/tenants/acme", "", "acme", "delete", "done"),
    ] {
        let length = body.len();
        let head = format!("{request} HTTP/1.1\r\ncontent-length: {length}\r\nauthorization: Bearer {token}");
        ask_with(&serve.address, &head, body);
        let line = serve.line(|line| {
            assert!(!line.to_string().contains(hidden), "{line}");
            line["message"] == "An operator manages tenants"
        });
        let fields = ["sub", "tenant", "action", "outcome"].map(|field| line[field].clone());
        assert_eq!(fields, ["ann", tenant, action, outcome].map(Value::from), "{request}");
    }
}

// A code has one line in ten seconds, so the request's own line has the reason.
#[test]
fn each_refused_request_has_the_reason_in_its_own_line() {
    let mut serve = Serve::start(&[("API_JWT_SECRET", "the operators' secret, of thirty-two bytes")]);
    for (request, reason) in [
        ("GET /status HTTP/1.1", "there is no header"),
        ("GET /status HTTP/1.1\r\nauthorization: Bearer x", "not a valid JWT"),
        ("GET /status HTTP/1.1", "there is no header"),
    ] {
        serve.ask(request);
        let line = serve.line(is_request);
        assert!(line["reason"].as_str().is_some_and(|found| found.contains(reason)), "{reason}: {line}");
    }
}

#[test]
fn a_websocket_keeps_the_id_of_its_handshake() {
    let mut serve = Serve::start(&[]);
    let token = serve.token.clone();
    let mut socket = serve.open(&token);
    assert_eq!(serve.line(is_request)["status"], 101);
    socket.write_all(&frame("x")).expect("it accepts bytes");
    let line = serve.line(|line| line["error_code"] == "MalformedWebSocketMessage");
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

#[test]
fn the_line_of_a_code_has_the_tenant_the_request_and_the_region() {
    let settings = [("REGION", "eu-west-2"), ("CLUSTER", "blue"), ("REALTIME__TELEMETRY__LOG_LEVEL", "warn")];
    let mut serve = Serve::start(&settings);
    let token = serve.token.clone();
    let mut socket = serve.open(&token);
    socket.write_all(&frame(r#"["1","1","realtime:","phx_join",{}]"#)).expect("it accepts bytes");
    let line = serve.line(|line| line["error_code"] == "TopicNameRequired");
    assert_eq!(line["message"], "TopicNameRequired: You must provide a topic name");
    for (field, value) in [
        ("level", "WARN"),
        ("project", "default"),
        ("external_id", "default"),
        ("request_id", "an-id-of-twenty-letters"),
        ("client_address", "127.0.0.1"),
        ("region", "eu-west-2"),
        ("cluster", "blue"),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    let time = line["timestamp"].as_str().expect("text");
    assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    assert!(line["exp"].is_i64() && line.get("span").is_none(), "{line}");
}

#[test]
fn the_line_of_a_join_that_needs_a_database_says_that_the_tenant_has_none() {
    let mut serve = Serve::start(&[]);
    let mut socket = serve.open(&serve.token.clone());
    let join = r#"["1","1","realtime:a","phx_join",{"config":{"postgres_changes":[{"table":"todos"}]}}]"#;
    socket.write_all(&frame(join)).expect("it accepts bytes");
    let line = serve.line(|line| line["error_code"] == "UnableToConnectToProject");
    let message = line["message"].as_str().expect("text");
    assert!(message.contains("the tenant has no database: set `tenants.<id>.database.url`"), "{line}");
}

#[test]
fn a_client_with_a_thousand_errors_causes_one_line_per_code() {
    let mut serve = Serve::start(&[("REALTIME__TELEMETRY__LOG_LEVEL", "warn")]);
    let token = serve.token.clone();
    let mut socket = serve.open(&token);
    let (malformed, join) = (frame("x"), frame(r#"["1","1","realtime:","phx_join",{}]"#));
    for _ in 0..1_000 {
        socket.write_all(&malformed).expect("it accepts bytes");
    }
    for _ in 0..10 {
        socket.write_all(&join).expect("it accepts bytes");
    }
    serve.line(|line| line["error_code"] == "TopicNameRequired");
    // All are counted; a heartbeat is answered only after everything before it.
    socket.write_all(&frame(r#"[null,"9","phoenix","heartbeat",{}]"#)).expect("it accepts bytes");
    let mut socket = BufReader::new(socket);
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains(r#""9","phoenix""#) {
        assert!(socket.read_until(b'}', &mut received).expect("frames") > 0);
    }
    let series = |code| format!(r#"realtime_codes_total{{tenant="default",code="{code}"}}"#);
    assert_eq!(serve.number(&series("MalformedWebSocketMessage")), 1_000.0);
    assert_eq!(serve.number(&series("TopicNameRequired")), 10.0);
    let errors = r#"realtime_channel_error{tenant="default",code="TopicNameRequired"}"#;
    assert_eq!(serve.number(errors), 10.0);
    drop(socket);
    let rest = serve.stop();
    assert!(!rest.contains("TopicNameRequired") && !rest.contains("MalformedWebSocketMessage"), "{rest}");
}

// A terminal may be paused and a disk may be full: lines wait and are dropped, clients are served.
#[test]
fn a_log_that_is_not_read_delays_no_client() {
    let mut serve = Serve::start(&[
        ("REALTIME__TELEMETRY__LOG_QUEUE_LINES", "10"),
        ("REALTIME__TELEMETRY__LOG_LINES_UNVERIFIED", "1000000"),
        ("REALTIME__TELEMETRY__LOG_BYTES_PER_SECOND", "1 GiB"),
    ]);
    let path = "x".repeat(200);
    let asked = (1..10_000).find(|_| {
        serve.ask(&format!("GET /{path} HTTP/1.1\r\nconnection: close"));
        serve.number("realtime_log_lines_dropped_total ") > 0.0
    });
    assert!(asked.is_some(), "no line was dropped");
    // Until the waiting lines have been read, further ones may be dropped.
    serve.ask_until_written("GET /a-reader-is-back HTTP/1.1\r\nconnection: close", "/a-reader-is-back");
    let rest = serve.stop();
    assert!(rest.contains("Stopping: SIGINT"), "lines are written again once the log is read: {rest}");
}

// Neither is in the log at any level, whatever is wrong with them.
#[test]
fn neither_tokens_nor_payloads_are_written() {
    let mut serve = Serve::start(&[("REALTIME__TELEMETRY__LOG_LEVEL", "trace")]);
    let token = serve.token.clone();
    let signature = token.rsplit('.').next().expect("three parts").to_owned();
    let forged = token.replace(&signature, "Zm9yZ2Vk");
    serve.ask(&format!("GET /socket/websocket?apikey={forged} HTTP/1.1"));
    let mut socket = serve.open(&token);
    for message in [
        r#"["1","1","realtime:a","phx_join",{"config":{"broadcast":"hidden"},"access_token":"hidden"}]"#,
        r#"["2","2","realtime:a","phx_join",{"config":{"private":"hidden"}}]"#,
        r#"["3","3","realtime:a","phx_join",{"config":{}}]"#,
        r#"["3","4","realtime:a","broadcast",{"event":"hidden","payload":{"hidden":"hidden"}}]"#,
        r#"["3","5","realtime:a","broadcast","hidden"]"#,
        r#"["3","6","realtime:a","presence",{"event":"track","payload":"hidden"}]"#,
        r#"["3","7","realtime:a","presence",{"event":"hidden"}]"#,
        r#"["3","8","realtime:a","hidden",{"hidden":1}]"#,
        r#"["hidden""#,
        r#"["3","9","realtime:a","access_token",{"access_token":"hidden"}]"#,
    ] {
        socket.write_all(&frame(message)).expect("it accepts bytes");
    }
    let mut log = String::new();
    serve.line(|line| {
        log += &format!("{line}\n");
        line["error_code"] == "ChannelShutdown"
    });
    drop(socket);
    log += &serve.stop();
    assert!(log.contains("InvalidPresencePayload") && log.contains("ErrorConnectingToWebsocket"), "{log}");
    for secret in ["hidden", &token, &signature, "Zm9yZ2Vk"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret}: {line:?}");
    }
}
