//! No client can fill a disk: what is written to the log has a bound in bytes per second, whatever is sent over however many
//! connections. Measured as the bytes that the process writes to its standard error.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Token, TokenIssuer};
use tempfile::TempDir;

/// How long each flood lasts.
const FLOOD: Duration = Duration::from_secs(3);

/// The bytes of log lines that a flood of one kind may cause in that time: the lines of two kinds, of at most 1.5 kB.
const BYTES_OF_ONE_KIND: u64 = 2 * 20 * 1_500;

/// The secret of a tenant that causes few lines.
const QUIET: &str = "the secret of the quiet tenant, of thirty-two bytes";

/// A server whose log is read and measured.
struct Measured {
    child: Child,
    address: String,
    token: String,
    log: Arc<Log>,
    _folder: TempDir,
}

#[derive(Default)]
struct Log {
    bytes: AtomicU64,
    text: std::sync::Mutex<String>,
}

impl Measured {
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--dev"]).current_dir(folder.path());
        command.env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("REALTIME__SERVER__CONNECT_ERROR_BACKOFF", "0s");
        command.envs(variables.iter().copied());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut value_of = |name: &str| {
            let line = lines.find(|line| line.trim().starts_with(name)).expect("the start text has it");
            line.trim()[name.len()..].trim().to_owned()
        };
        let address = value_of("URL").trim_start_matches("http://").to_owned();
        let token = value_of("anon");
        let (log, mut stderr) = (Arc::new(Log::default()), child.stderr.take().expect("piped"));
        let written = Arc::clone(&log);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(bytes @ 1..) = stderr.read(&mut buffer) {
                written
                    .text
                    .lock()
                    .expect("no reader panics")
                    .push_str(&String::from_utf8_lossy(&buffer[..bytes]));
                written.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        });
        Self { child, address, token, log, _folder: folder }
    }

    /// Sends `bytes` again and again over each of four connections, which are opened again when they are closed. Returns
    /// the bytes written to the log meanwhile.
    fn flood(&self, bytes: &[u8]) -> u64 {
        let before = self.log.bytes.load(Ordering::Relaxed);
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| self.send_until(&end, bytes));
            }
            thread::sleep(FLOOD);
            end.store(true, Ordering::Relaxed);
        });
        self.log.bytes.load(Ordering::Relaxed) - before
    }

    fn send_until(&self, end: &AtomicBool, bytes: &[u8]) {
        while !end.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(&self.address) else { continue };
            let Ok(mut answers) = stream.try_clone() else { continue };
            stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a time-out");
            thread::scope(|scope| {
                scope.spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
                while !end.load(Ordering::Relaxed) && stream.write_all(bytes).is_ok() {}
                let _closed = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    }

    /// Waits until the log has `text`.
    fn has_written(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.log.text.lock().expect("no reader panics").contains(text) {
            assert!(Instant::now() < until, "no {text:?} in the log");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn number(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("text");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {page}"))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _already_exited = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_client_without_a_token_cannot_fill_a_disk() {
    let server = Measured::start(&[]);
    // The longest that a head may be, of bytes that are longer when they are escaped.
    let path = "/\"\u{80}".repeat(2_000);
    let method = "M".repeat(4_000);
    for (what, request) in [
        (
            "unknown paths",
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {}\r\n\r\n", "\\".repeat(200)),
        ),
        ("long methods", format!("{method} / HTTP/1.1\r\nhost: x\r\n\r\n")),
        ("health checks", "GET /health HTTP/1.1\r\nhost: x\r\n\r\n".into()),
        ("handshakes without a token", "GET /socket/websocket HTTP/1.1\r\nhost: x\r\n\r\n".into()),
        ("forged tokens", "GET /socket/websocket?apikey=a.b.c HTTP/1.1\r\nhost: x\r\n\r\n".into()),
        ("unknown tenants", "GET /socket/websocket?tenant=x HTTP/1.1\r\nhost: x\r\n\r\n".into()),
        (
            "posts without a token",
            "POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        ("operators' pages", "GET /status HTTP/1.1\r\nhost: x\r\n\r\n".into()),
        ("no HTTP", "\u{1b}[2J\r\n\r\n".into()),
    ] {
        let bytes = server.flood(request.as_bytes());
        println!("{what}: {} kB/s", bytes as f64 / 1_000.0 / FLOOD.as_secs_f64());
        assert!(bytes < BYTES_OF_ONE_KIND, "{what}: {bytes} bytes in {FLOOD:?}");
    }
    assert!(server.number("realtime_log_lines_suppressed_total") > 1_000.0);
    server.has_written("Requests answered with 404: … and ");
    server.has_written("Refused bytes that are not an HTTP request: … and ");
    server.has_written("MissingAPIKey: … and ");
}

#[test]
fn a_client_with_a_token_cannot_fill_a_disk() {
    let server = Measured::start(&[]);
    let token = &server.token;
    let post = format!(
        "POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\napikey: {token}\r\n\
         content-length: 15\r\n\r\n{{\"messages\":[]}}"
    );
    let bytes = server.flood(post.as_bytes());
    println!("posts: {} kB/s", bytes as f64 / 1_000.0 / FLOOD.as_secs_f64());
    assert!(bytes < 300 * 1_500, "{bytes} bytes in {FLOOD:?}");
    let handshake = format!(
        "GET /socket/websocket?vsn=2.0.0&apikey={token} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    // Frames with the text `x`, masked with zeros, which are no messages.
    let frames = [handshake.as_bytes(), &[0x81, 0x81, 0, 0, 0, 0, b'x'].repeat(1_000)].concat();
    let bytes = server.flood(&frames);
    println!("malformed messages: {} kB/s", bytes as f64 / 1_000.0 / FLOOD.as_secs_f64());
    assert!(bytes < BYTES_OF_ONE_KIND, "{bytes} bytes in {FLOOD:?}");
    server.has_written("Requests: … and ");
}

#[test]
fn connections_without_a_proxy_header_cannot_fill_a_disk() {
    let server = Measured::start(&[("REALTIME__SERVER__PROXY_PROTOCOL_FROM", "127.0.0.0/8")]);
    let bytes = server.flood(b"PROXY \\\x1b\r\n");
    println!("no PROXY header: {} kB/s", bytes as f64 / 1_000.0 / FLOOD.as_secs_f64());
    assert!(bytes < BYTES_OF_ONE_KIND, "{bytes} bytes in {FLOOD:?}");
    server.has_written("Refused a connection from `server.proxy_protocol_from`: … and ");
}

// One tenant's requests used up the bytes of the log, and the others' lines were lost.
#[test]
fn a_tenant_does_not_use_up_the_log_of_another() {
    let server = Measured::start(&[
        ("REALTIME__TELEMETRY__LOG_LINES_PER_TENANT", "1000000"),
        ("REALTIME__TELEMETRY__LOG_BYTES_PER_SECOND", "16 KiB"),
        ("REALTIME__TENANTS__QUIET__AUTH__JWT_SECRET", QUIET),
    ]);
    let post = |token: &str, event: &str| {
        format!(
            "POST /api/broadcast/room/events/{event} HTTP/1.1\r\nhost: x\r\nx-tenant: {}\r\n\
             content-type: application/json\r\napikey: {token}\r\ncontent-length: 2\r\n\r\n{{}}",
            if event == "flood" { "default" } else { "quiet" },
        )
    };
    let quiet = TokenIssuer::new(QUIET).token(Token::Valid);
    let (end, flood) = (AtomicBool::new(false), post(&server.token, "flood"));
    thread::scope(|scope| {
        scope.spawn(|| server.send_until(&end, flood.as_bytes()));
        server.has_written("Log lines were lost since the start");
        for number in 0..10 {
            let mut stream = TcpStream::connect(&server.address).expect("it listens");
            stream.write_all(post(&quiet, &format!("quiet-{number}")).as_bytes()).expect("it reads");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"HTTP/1.1 202");
        }
        end.store(true, Ordering::Relaxed);
    });
    for number in 0..10 {
        server.has_written(&format!("/events/quiet-{number} "));
    }
}

// Whatever kinds there are, and however many lines of each are allowed.
#[test]
fn the_bytes_of_all_clients_together_are_limited() {
    let rate = 16 * 1024;
    let server = Measured::start(&[
        ("REALTIME__TELEMETRY__LOG_LEVEL", "debug"),
        ("REALTIME__TELEMETRY__LOG_LINES_UNVERIFIED", "1000000"),
        ("REALTIME__TELEMETRY__LOG_BYTES_PER_SECOND", "16 KiB"),
    ]);
    let began = Instant::now();
    let bytes = server.flood(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n");
    let allowed = (8.0 + began.elapsed().as_secs_f64()) * f64::from(rate) + 2_000.0;
    println!("all: {} kB/s, allowed {} kB", bytes as f64 / 1_000.0 / FLOOD.as_secs_f64(), allowed / 1_000.0);
    assert!((bytes as f64) < allowed, "{bytes} bytes");
    server.has_written("Log lines were lost since the start");
}
