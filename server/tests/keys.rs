//! Keys and tokens with mistakes: what the log reports to the operator.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use harness::{ServerProcess, TokenIssuer};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "the secret of users, of thirty-two bytes";
const OPERATORS: &str = "the secret of operators, of thirty-two bytes";

fn program(line: &str, folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    program.args(line.split_whitespace()).current_dir(folder).env_clear();
    program.env("HOST", "127.0.0.1").env("PORT", "0");
    program
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn each_key_of_an_unusable_set_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let without_kid = r#"{"keys":[{"kty":"oct","k":"a2V5"},{"kty":"EC","kid":"two","crv":"P-521"}]}"#;
    let for_encryption = r#"{"keys":[{"kty":"RSA","kid":"e","use":"enc"}]}"#;
    for (keys, why) in [
        (
            without_kid,
            "auth.jwt_jwks: key 1 (kid \"\"): `kid` is missing; auth.jwt_jwks: key 2 (kid \"two\"): the curve \
             \"P-521\" is not known here",
        ),
        (for_encryption, "auth.jwt_jwks holds no key for signatures"),
        (r#"{"keys":[]}"#, "auth.jwt_jwks holds no key for signatures"),
    ] {
        let config = format!("[auth]\njwt_jwks = '{keys}'\n");
        fs::write(folder.path().join("config.toml"), config).expect("a file");
        let problem =
            format!("no secret to verify tokens with, and no key of the key sets can be used ({why})");
        let output = program("serve", folder.path()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains(&format!("error: {problem}: set JWT_SECRET")),
            "{}",
            stderr(&output)
        );
        let output = program("config check", folder.path()).output().expect("it runs");
        assert!(
            stderr(&output).contains(&format!("would refuse to start with these settings: {problem}")),
            "{}",
            stderr(&output)
        );
    }
}

/// A server that verifies tokens with [`SECRET`] and [`OPERATORS`].
struct Serve {
    process: ServerProcess,
    address: SocketAddr,
    _folder: TempDir,
}

impl Serve {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = program("serve", folder.path());
        command.env("JWT_SECRET", SECRET).env("API_JWT_SECRET", OPERATORS);
        command.env("REALTIME__TELEMETRY__LOG_FORMAT", "json");
        command.env("REALTIME__SERVER__CONNECT_ERROR_BACKOFF", "0s");
        let process = ServerProcess::start(command);
        let address = process.listening();
        Self { process, address, _folder: folder }
    }

    /// The next line with this error code.
    fn line(&self, error_code: &str) -> Value {
        let line = self.process.log_line(&format!("\"error_code\":\"{error_code}\""));
        serde_json::from_str(&line).expect("JSON")
    }

    /// The status of the response to a request with this path and header.
    fn get(&self, path: &str, header: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("text");
        response.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Stops it, and returns the rest of its log.
    fn stop(mut self) -> String {
        self.process.signal(Signal::INT);
        self.process.exit().1
    }
}

#[test]
fn a_time_in_milliseconds_is_logged_once_and_without_the_token() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_secs();
    let claims = |extra: Value| {
        let mut claims = json!({"role": "hidden-role", "sub": "hidden-sub", "exp": now + 3600});
        claims.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        claims
    };
    let users = TokenIssuer::new(SECRET);
    let milliseconds = users.sign(&claims(json!({"exp": (now + 3600) * 1000})));
    let path = |token: &str| format!("/socket/websocket?apikey={token}");
    let serve = Serve::start();
    // Neither a far expiry nor another issuer's token is reported.
    for token in [
        users.sign(&claims(json!({"exp": i64::MAX}))),
        users.sign(&claims(json!({"exp": 4_000_000_000_u64}))),
        TokenIssuer::new("another issuer").sign(&claims(json!({"exp": now * 1000 + 1}))),
    ] {
        serve.get(&path(&token), "x: y");
    }
    for _ in 0..3 {
        serve.get(&path(&milliseconds), "x: y");
    }
    let line = serve.line("JwtTimeInMilliseconds");
    let text = "JwtTimeInMilliseconds: `exp` of a token is in milliseconds, and is read as seconds: such a token does \
                not expire for thousands of years";
    assert_eq!(
        (&line["message"], &line["level"], &line["project"]),
        (&text.into(), &"WARN".into(), &"default".into())
    );

    let operator = TokenIssuer::new(OPERATORS).sign(&json!({"nbf": now * 1000, "sub": "hidden-sub"}));
    assert_eq!(serve.get("/status", &format!("authorization: Bearer {operator}")), 401);
    let other = serve.line("JwtTimeInMilliseconds");
    assert!(other["message"].as_str().is_some_and(|text| text.contains("`nbf` of a token")), "{other}");
    let rest = serve.stop();
    assert!(!rest.contains("JwtTimeInMilliseconds"), "{rest}");
    for shown in [line.to_string(), other.to_string(), rest] {
        assert!(!shown.contains("hidden") && !shown.contains(&milliseconds), "{shown}");
    }
}
