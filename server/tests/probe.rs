//! `realtime-server probe` with real servers: what it prints, and its exit code for each way to fail.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Certificate, Endpoint, Haproxy, Postgres, Token, World};
use serde_json::Value;

/// What a probe has printed, and its exit code.
#[derive(Debug)]
struct Probed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Probed {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Its error, if it has failed with this code.
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// Runs `probe` with these arguments, separated by spaces.
async fn probe(arguments: &str) -> Probed {
    probe_with(arguments, &[]).await
}

async fn probe_with(arguments: &str, variables: &[(&str, PathBuf)]) -> Probed {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.arg("probe").args(arguments.split(' ')).current_dir(folder.path()).env_clear();
    command.envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    // Beside the server, which is on the runtime of the test.
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Probed { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test]
async fn a_probe_joins_a_room_and_receives_its_broadcast() {
    let server = World::start().await;
    let (url, token) = (format!("http://{}", server.address()), server.token(Token::Valid));
    let probed = probe(&format!("{url} --token {token}")).await;
    assert_eq!((probed.code, &*probed.stderr), (Some(0), ""), "{probed:?}");
    let lines: Vec<_> = probed.stdout.lines().collect();
    assert!(lines[0].starts_with(&format!("{url}/realtime/v1/websocket works: ")), "{lines:?}");
    let steps: Vec<_> = lines[1..].iter().map(|line| line[..12].trim()).collect();
    assert_eq!(steps, ["connect", "handshake", "join", "round trip", "total"]);

    harness::eventually("it leaves nothing behind", async || {
        server.number("phoenix_connections_active").await == 0.0
    })
    .await;

    let secret = server.token_issuer().secret().to_owned();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{secret}\n")).expect("a file");
    let path = file.path().display();
    let probed =
        probe(&format!("ws://{} --jwt-secret-file {path} --topic lobby --json", server.address())).await;
    let report = probed.json();
    assert_eq!((probed.code, &report["works"]), (Some(0), &true.into()), "{probed:?}");
    assert_eq!(report["topic"], "realtime:lobby");
    for time in ["connect_ms", "handshake_ms", "join_ms", "round_trip_ms", "total_ms"] {
        assert!(report[time].as_f64().is_some_and(|time| time > 0.0), "{time}: {report}");
    }
    assert!(report["tls_ms"].is_null() && report["failure"].is_null(), "{report}");
    server.stop().await;
}

#[tokio::test]
async fn over_tls_the_certificate_is_verified() {
    let certificate = Certificate::new();
    let server = World::with(|settings| certificate.install(settings)).await;
    let (port, token) = (server.address().port(), server.token(Token::Valid));
    let by_name = format!("wss://localhost:{port} --token {token} --json");
    let trusted = probe_with(&by_name, &[("SSL_CERT_FILE", certificate.cert_file())]).await;
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    assert!(trusted.json()["tls_ms"].as_f64().is_some_and(|time| time > 0.0), "{trusted:?}");
    let file = certificate.cert_file();
    let by_address = format!("https://127.0.0.1:{port} --token {token}");
    let pinned = probe(&format!("{by_address} --cert-file {}", file.display())).await;
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    let error = probe(&by_address).await.failed(1);
    assert!(
        error.contains("no connection with TLS: ") && error.contains("hint: let SSL_CERT_FILE"),
        "{error}"
    );
    let plain = probe(&format!("http://127.0.0.1:{port} --token {token}")).await.failed(2);
    assert!(plain.contains("400 Bad Request: this port speaks TLS: use https:// or wss://"), "{plain}");
    server.stop().await;
}

#[tokio::test]
async fn what_the_server_refuses_is_exit_code_2_with_its_reason() {
    let server = World::with(|settings| settings.server.strict_host = true).await;
    let (url, token) = (format!("http://{}", server.address()), server.token(Token::Valid));
    let wrong = server.token(Token::Forged);
    let error = probe(&format!("{url} --token {wrong}")).await.failed(2);
    assert!(error.contains("the handshake is answered with 401 Unauthorized"), "{error}");
    assert!(error.contains("hint: the token must be signed with the secret of this server"), "{error}");
    assert!(!error.contains(&wrong), "{error}");
    let error = probe(&format!("{url} --token {token} --tenant unknown")).await.failed(2);
    assert!(error.contains("404 Not Found") && error.contains("--tenant"), "{error}");
    let private = probe(&format!("{url} --token {token} --private --json")).await;
    let failure = &private.json()["failure"];
    assert_eq!(
        (private.code, &failure["step"], &failure["refused"]),
        (Some(2), &"join".into(), &true.into())
    );
    assert!(
        failure["error"].as_str().is_some_and(|error| error.contains("the join is refused: ")),
        "{failure}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_private_room_is_probed_with_the_rights_that_its_role_has_in_the_database() {
    let (postgres, made) = (Postgres::start(), Duration::from_secs(30));
    let url = postgres.url();
    let server = World::with(|settings| {
        settings.tenants.entry("default".into()).or_default().database.url = Some(url.into());
    })
    .await;
    // The first join makes the schema.
    let (address, token) = (server.address(), server.token(Token::Valid));
    assert_eq!(probe(&format!("http://{address} --token {token}")).await.code, Some(0));
    let is_made = "SELECT count(*) > 4 FROM pg_inherits WHERE inhparent = to_regclass('realtime.messages')";
    harness::eventually_within(made, "the schema is made", async || postgres.sql(is_made) == "t").await;
    postgres.sql(
        "CREATE POLICY reads ON realtime.messages FOR SELECT TO authenticated USING (true);
         CREATE POLICY writes ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);",
    );
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), server.token_issuer().secret()).expect("a file");
    let private = format!("http://{address} --jwt-secret-file {} --private --json", secret.path().display());
    let allowed = probe(&private).await;
    assert_eq!((allowed.code, &allowed.json()["works"]), (Some(0), &true.into()), "{allowed:?}");
    let denied = probe(&format!("{private} --role anon")).await;
    let failure = &denied.json()["failure"];
    assert_eq!((denied.code, &failure["step"]), (Some(2), &"join".into()), "{failure}");
    server.stop().await;
}

#[tokio::test]
async fn wrong_arguments_and_settings_are_exit_code_2() {
    let error = probe("http://127.0.0.1:1").await.failed(2);
    assert!(
        error.contains("neither --token nor --jwt-secret-file") && error.contains("JWT_SECRET"),
        "{error}"
    );
    for arguments in ["rt.example.com", "http://127.0.0.1:1 --token a --jwt-secret-file b", "--port 1"] {
        probe(arguments).await.failed(2);
    }
}

#[tokio::test]
async fn with_json_errors_before_the_first_step_are_an_object_too() {
    for (arguments, reason) in [
        ("rt.example.com --token a", "write https://HOST"),
        ("http:// --token a", "the address is none"),
        ("http://127.0.0.1:1 --token=", "--token is empty"),
        ("http://127.0.0.1:1 --jwt-secret-file missing", "cannot read the file"),
        ("http://127.0.0.1:1", "neither --token nor --jwt-secret-file"),
        ("--config missing.toml", "missing.toml"),
    ] {
        let probed = probe(&format!("{arguments} --json")).await;
        assert_eq!((probed.code, &*probed.stderr), (Some(2), ""), "{probed:?}");
        let report = probed.json();
        let failure = &report["failure"];
        assert_eq!((&report["works"], &report["url"]), (&false.into(), &Value::Null), "{report}");
        assert_eq!((&failure["step"], &failure["refused"]), (&"prepare".into(), &false.into()), "{report}");
        assert!(failure["error"].as_str().is_some_and(|error| error.contains(reason)), "{report}");
        assert!(report.as_object().is_some_and(|fields| fields.contains_key("total_ms")), "{report}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_work_is_exit_code_1() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let error = probe(&format!("http://{closed} --token x")).await.failed(1);
    assert!(error.contains("cannot connect: Connection refused"), "{error}");
    // Accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound");
    for (scheme, missing) in [("http", "WebSocket handshake"), ("https", "TLS handshake")] {
        let error = probe(&format!("{scheme}://{address} --token x --timeout 200ms")).await.failed(1);
        assert!(error.contains(&format!("no answer to the {missing} within 200ms (--timeout)")), "{error}");
    }
    let server = World::start().await;
    let error = probe(&format!("https://{} --token x", server.address())).await.failed(1);
    assert!(error.contains("hint: the port does not seem to speak TLS: try http://"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_expects_a_proxy_header_is_named_as_such() {
    let server = World::with(|settings| {
        settings.server.proxy_protocol_from = vec!["127.0.0.0/8".into()];
    })
    .await;
    for scheme in ["http", "https"] {
        let error = probe(&format!("{scheme}://{} --token x", server.address())).await.failed(1);
        assert!(error.contains("hint: ") && error.contains("server.proxy_protocol_from"), "{error}");
    }
    server.stop().await;
}

// Where a proxy does not pass the handshake on, `health` succeeds.
#[tokio::test]
async fn a_proxy_without_a_server_behind_it_is_exit_code_1() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let haproxy = Haproxy::start(|address| {
        format!("listen endpoint\n mode http\n bind {address}\n server only {gone}\n")
    })
    .await;
    let endpoint: Endpoint = haproxy.endpoint();
    let error = probe(&format!("http://{} --token x", endpoint.address())).await.failed(1);
    assert!(error.contains("the handshake is answered with 503 Service Unavailable"), "{error}");
}
