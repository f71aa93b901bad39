//! `realtime-server tenants` with a running server: what it does, what it refuses, and what it never prints.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use harness::{Certificate, Request, ServerProcess, Token, TokenIssuer, World};
use serde_json::{Value, json};
use tempfile::TempDir;

const OPERATORS: &str = "the secret of operators, of thirty-two bytes or more";
const SECRET: &str = "the secret of the users of a tenant, of thirty-two bytes";

/// A server in a folder of its own, which has its settings.
struct Managed {
    process: ServerProcess,
    folder: TempDir,
}

/// What a command has printed, and its exit code.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Managed {
    /// A server with these further settings.
    fn start(settings: &str) -> Managed {
        Managed::start_in(tempfile::tempdir().unwrap(), settings)
    }

    fn start_in(folder: TempDir, settings: &str) -> Managed {
        let config = format!(
            "[server]\nhost = \"127.0.0.1\"\nport = 0\n{settings}\n[admin]\njwt_secret = \"{OPERATORS}\"\n[tenants.configured]\n"
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let mut command = program(&folder);
        command.arg("serve").env("JWT_SECRET", "the secret of the default tenant, of 32 bytes");
        let process = ServerProcess::start(command);
        process.listening();
        Managed { process, folder }
    }

    /// Runs `tenants` with these arguments, separated by spaces.
    fn tenants(&self, arguments: &str) -> Ran {
        ran(self.command(arguments), "")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = program(&self.folder);
        command.arg("tenants").args(arguments.split(' '));
        command
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The status of a handshake for the tenant, with a token that `secret` signs.
    async fn handshake(&self, tenant: &str, secret: &str) -> u16 {
        let world = World::at(self.address(), TokenIssuer::new("unused"));
        let token = TokenIssuer::new(secret).token(Token::Valid);
        let target = format!("/socket/websocket?tenant={tenant}");
        world.send(Request::upgrade(&target).header("x-api-key", &token)).await.status
    }

    fn address(&self) -> std::net::SocketAddr {
        let running = fs::read(self.folder.path().join("data/running.json")).unwrap();
        serde_json::from_slice::<Value>(&running).unwrap()["address"].as_str().unwrap().parse().unwrap()
    }
}

impl Ran {
    /// What it has printed, if it has succeeded.
    fn succeeded(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// Its error, if it has failed.
    fn failed(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        self.stderr
    }
}

fn program(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.current_dir(folder.path()).env_clear();
    command
}

fn ran(mut command: Command, stdin: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that fails before it reads closes the pipe.
    let _read_or_not = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test]
async fn a_tenant_is_created_changed_suspended_and_deleted() {
    let managed = Managed::start("");
    managed.write("acme.key", &format!("{SECRET}\n"));
    let created = managed.tenants("create acme --jwt-secret-file acme.key --max-concurrent-users 7");
    assert_eq!(created.succeeded(), "Created the tenant `acme`.\n");
    assert_eq!(managed.handshake("acme", SECRET).await, 101);

    let list = managed.tenants("list").succeeded();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..2], ["ID", "USERS"]);
    assert_eq!(lines[1..].iter().map(|line| line[0]).collect::<Vec<_>>(), ["configured", "default", "acme"]);
    assert_eq!((lines[1].last(), lines[3].last(), lines[3][1]), (Some(&"config"), Some(&"-"), "7"));

    let changed =
        managed.tenants("update acme --max-concurrent-users default --private-only true --name Acme");
    assert_eq!(changed.succeeded(), "Changed the tenant `acme`.\n");
    let shown = managed.tenants("show acme").succeeded();
    for line in ["max_concurrent_users                   200", "name                                   Acme"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
    let json: Value = serde_json::from_str(&managed.tenants("show acme --json").succeeded()).unwrap();
    assert_eq!((&json["data"]["external_id"], &json["data"]["private_only"]), (&json!("acme"), &json!(true)));

    assert_eq!(managed.tenants("suspend acme").succeeded(), "Suspended the tenant `acme`.\n");
    assert_eq!(managed.handshake("acme", SECRET).await, 403);
    assert_eq!(managed.tenants("resume acme").succeeded(), "Resumed the tenant `acme`.\n");
    assert_eq!(managed.handshake("acme", SECRET).await, 101);
    assert_eq!(managed.tenants("delete acme --yes").succeeded(), "Deleted the tenant `acme`.\n");
    assert_eq!(managed.handshake("acme", SECRET).await, 404);
    let by = managed.process.log_until("delete").pop().unwrap();
    assert!(by.contains("realtime-server tenants"), "the log names the operator: {by}");
}

#[tokio::test]
async fn create_never_overwrites_and_the_others_never_create() {
    let managed = Managed::start("");
    managed.write("acme.key", SECRET);
    managed.write("other.key", "another secret of users, of thirty-two bytes or more");
    assert!(managed.tenants("create acme --jwt-secret-file acme.key").succeeded().contains("Created"));
    let again = managed.tenants("create acme --jwt-secret-file other.key").failed();
    assert_eq!(again, "error: there is a tenant `acme` already; `update` changes it\n");
    assert_eq!(managed.handshake("acme", SECRET).await, 101, "with its own secret");
    let update = managed.tenants("update acne --jwt-secret-file other.key").failed();
    assert_eq!(update, "error: there is no tenant `acne`; `create` creates it\n");
    assert!(managed.tenants("suspend acne").failed().contains("there is no tenant `acne`"));
    assert_eq!(managed.tenants("show acne").failed(), "error: there is no tenant `acne`\n");
    assert_eq!(managed.tenants("delete acne --yes").failed(), "error: there is no tenant `acne`\n");
    // One segment of the path, whatever is in it.
    assert_eq!(
        managed.tenants("show ../tenants/acme").failed(),
        "error: there is no tenant `../tenants/acme`\n"
    );
    assert!(managed.tenants("update acme").failed().contains("nothing is to be changed"));
}

#[test]
fn what_the_server_refuses_is_said_in_lines() {
    let managed = Managed::start("");
    managed.write("acme.key", SECRET);
    let invalid = "create A! --max-joins-per-second 0 --db-host db.example --db-port 5432";
    let expected = "error: the server refuses it:\n  \
                    extensions.settings: db_password can't be blank\n  \
                    extensions.settings: db_user can't be blank\n  \
                    extensions.settings: db_name can't be blank\n  \
                    extensions.settings: region can't be blank\n  \
                    external_id: has invalid format\n  \
                    max_joins_per_second: must be greater than or equal to 1\n";
    assert_eq!(managed.tenants(invalid).failed(), expected);
    let configured = managed.tenants("update configured --private-only true").failed();
    assert!(
        configured.starts_with("error: the server refuses it (409): the tenant is in the configuration"),
        "{configured}"
    );

    let mut command = managed.command("list");
    command.env(
        "REALTIME_OPERATOR_TOKEN",
        TokenIssuer::new("not the secret of operators").sign(&json!({"exp": 4_000_000_000_u64})),
    );
    let refused = ran(command, "").failed();
    assert!(refused.contains("(403)") && refused.contains("realtime-server token --operator"), "{refused}");
    let clear = managed.tenants("list --url http://realtime.example.com").failed();
    assert!(clear.contains("would receive it without TLS"), "{clear}");
    let away = managed.tenants("list --url http://127.0.0.1:1").failed();
    assert!(away.starts_with("error: no server at http://127.0.0.1:1; is it running?"), "{away}");
}

#[test]
fn a_store_that_is_away_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let store =
        format!("[store]\nurl = \"postgres://user:word@{closed}/realtime\"\nacquire_timeout = \"300ms\"");
    let managed = Managed::start_in(folder, &store);
    let refused = managed.tenants("list").failed();
    assert!(refused.starts_with("error: the server cannot do it now; try again: "), "{refused}");
    assert!(!refused.contains("user:word"), "{refused}");
}

#[test]
fn every_field_has_an_option() {
    let managed = Managed::start("");
    managed.write("acme.key", SECRET);
    managed.write("password", "the password of a database");
    let set = r#"{"keys":[{"kty":"oct","kid":"k","k":"dGhlIHNlY3JldCBvZiB0aGUgdXNlcnMgb2YgYSB0ZW5hbnQ"}]}"#;
    managed.write("jwks.json", set);
    let fields = "--jwks-file jwks.json --max-concurrent-users 11 --max-channels-per-client 12 --max-events-per-second 13 \
                  --max-joins-per-second 14 --max-bytes-per-second 15 --max-presence-events-per-second 16 \
                  --max-payload-size-in-kb 17 --max-client-presence-events-per-window 18 --client-presence-window-ms 19 \
                  --private-only true --presence-enabled true --suspend true --broadcast-adapter gen_rpc \
                  --feature-flags {\"a\":true} --region eu-central-1 --db-host db.example --db-port 6432 --db-name postgres \
                  --db-user admin --db-password-file password --db-setting poll_interval_ms=50 \
                  --db-setting ssl_enforced=true --db-setting publication=p --json";
    let created: Value =
        serde_json::from_str(&managed.tenants(&format!("create acme {fields}")).succeeded()).unwrap();
    let data = &created["data"];
    for (field, value) in [
        ("max_concurrent_users", json!(11)),
        ("max_channels_per_client", json!(12)),
        ("max_events_per_second", json!(13)),
        ("max_joins_per_second", json!(14)),
        ("max_client_presence_events_per_window", json!(18)),
        ("client_presence_window_ms", json!(19)),
        ("private_only", json!(true)),
        ("presence_enabled", json!(true)),
    ] {
        assert_eq!(data[field], value, "{field}");
    }
    let settings = &data["extensions"][0]["settings"];
    assert_eq!(
        [
            &settings["region"],
            &settings["poll_interval_ms"],
            &settings["ssl_enforced"],
            &settings["publication"]
        ],
        [&json!("eu-central-1"), &json!(50), &json!(true), &json!("p")]
    );
    // The key set is replaced by the secret, and the database is removed.
    let changed =
        managed.tenants("update acme --jwt-secret-file acme.key --no-jwks --no-database --json").succeeded();
    let changed: Value = serde_json::from_str(&changed).unwrap();
    assert_eq!(changed["data"]["extensions"], json!([]));
    let keyless = managed.tenants("update acme --no-jwt-secret").failed();
    assert!(keyless.contains("jwt_secret: either jwt_secret or jwt_jwks must be provided"), "{keyless}");
}

#[test]
fn secrets_are_read_from_files_or_stdin_and_never_printed() {
    let managed = Managed::start("");
    let created = ran(managed.command("create acme --jwt-secret-file -"), SECRET);
    assert_eq!(created.succeeded(), "Created the tenant `acme`.\n");
    let token = TokenIssuer::new(OPERATORS).sign(&json!({"exp": 4_000_000_000_u64}));
    assert!(ran(managed.command("list --token-file -"), &token).succeeded().contains("acme"));
    managed.write("token", &token);
    assert!(managed.tenants("list --token-file token").succeeded().contains("acme"));
    let twice = ran(managed.command("create b --token-file - --jwt-secret-file -"), SECRET).failed();
    assert!(twice.contains("stdin (-) is one secret"), "{twice}");
    managed.write("set", "{\"keys\": hunter2}");
    for arguments in
        ["create b --jwt-secret-file hunter2", "create b --jwks-file set", "list --token-file hunter2"]
    {
        let error = managed.tenants(arguments).failed();
        assert!(!error.contains("hunter2"), "{error}");
    }
    let argument = managed.tenants("create b --jwt-secret hunter2");
    assert!(argument.code == Some(2) && !argument.stderr.contains("hunter2"), "{argument:?}");
    let log = managed.process.log();
    assert!(!log.contains(SECRET) && !log.contains(&token), "{log}");
}

#[test]
fn the_token_is_that_of_the_option_then_of_the_variable_then_of_the_settings() {
    let managed = Managed::start("");
    let valid = TokenIssuer::new(OPERATORS).sign(&json!({"exp": 4_000_000_000_u64}));
    managed.write("valid", &valid);
    let with_variable = |arguments: &str, token: &str| {
        let mut command = managed.command(arguments);
        command.env("REALTIME_OPERATOR_TOKEN", token);
        ran(command, "")
    };
    assert!(with_variable("list", "invalid").failed().contains("403"), "the variable before the settings");
    assert!(with_variable("list --token-file valid", "invalid").succeeded().contains("ID"));
    assert!(with_variable("list", "").succeeded().contains("ID"), "an empty variable is none");
    managed.write("config.toml", "");
    let none = managed.tenants(&format!("list --url http://{}", managed.address())).failed();
    assert!(none.contains("neither --token-file nor REALTIME_OPERATOR_TOKEN"), "{none}");
    assert!(none.contains("API_JWT_SECRET"), "{none}");
    let url = format!("list --url http://{}", managed.address());
    assert!(with_variable(&url, &valid).succeeded().contains("ID"), "no settings are needed then");
}

#[test]
fn deletion_is_confirmed_at_a_terminal() {
    let managed = Managed::start("");
    managed.write("acme.key", SECRET);
    managed.tenants("create acme --jwt-secret-file acme.key").succeeded();
    let unasked = ran(managed.command("delete acme"), "y\n").failed();
    assert!(unasked.contains("add --yes"), "{unasked}");
    // `script` runs it at a terminal, with the same exit code.
    let at_terminal = |answer: &str| {
        let mut command = Command::new("script");
        let line = format!("{} tenants delete acme", env!("CARGO_BIN_EXE_realtime-server"));
        command
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(managed.folder.path());
        ran(command, answer)
    };
    let kept = at_terminal("n\n");
    assert!(kept.code == Some(1) && kept.stdout.contains("Nothing was deleted"), "{kept:?}");
    assert!(managed.tenants("show acme").succeeded().contains("acme"));
    let deleted = at_terminal("y\n");
    assert!(deleted.code == Some(0) && deleted.stdout.contains("Deleted the tenant `acme`"), "{deleted:?}");
}

#[test]
fn a_server_with_tls_is_verified() {
    let certificate = Certificate::new();
    let tls = format!(
        "tls.cert_file = \"{}\"\ntls.key_file = \"{}\"",
        certificate.cert_file().display(),
        certificate.key_file().display()
    );
    let managed = Managed::start(&tls);
    // By its own certificate, although that is for a name and no authority has signed it.
    assert!(managed.tenants("list").succeeded().contains("configured"));
    let port = managed.address().port();
    let by_name = |trusted: &Certificate| {
        let mut command = managed.command(&format!("list --url https://localhost:{port}"));
        command.env("SSL_CERT_FILE", trusted.cert_file());
        ran(command, "")
    };
    assert!(by_name(&certificate).succeeded().contains("configured"));
    let other = Certificate::new();
    assert!(by_name(&other).failed().contains("certificate"));
    // Another server's certificate in the settings is as little trusted.
    fs::copy(other.cert_file(), certificate.cert_file()).unwrap();
    assert!(managed.tenants("list").failed().contains("no connection with TLS"));
}

#[test]
fn a_server_that_expects_a_proxy_header_gets_one() {
    let managed = Managed::start("proxy_protocol_from = [\"127.0.0.0/8\"]");
    assert!(managed.tenants("list").succeeded().contains("configured"));
}

// The internal port has no certificate, so that nothing shows that it is the server which gets the token.
#[test]
fn the_main_port_is_asked_beside_an_internal_one() {
    let managed = Managed::start("internal.port = 0");
    let file = managed.folder.path().join("data/running.json");
    let mut running: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(running["internal"].is_string(), "{running}");
    // Nothing listens there.
    running["internal"] = "127.0.0.1:1".into();
    fs::write(&file, running.to_string()).unwrap();
    assert!(managed.tenants("list").succeeded().contains("configured"));
}

#[test]
fn the_internal_port_is_asked_where_operators_have_no_other() {
    let managed = Managed::start("internal = { port = 0, exclusive = true }");
    managed.write("acme.key", SECRET);
    let created = managed.tenants("create acme --jwt-secret-file acme.key");
    assert_eq!(created.succeeded(), "Created the tenant `acme`.\n");
    assert!(managed.tenants("list").succeeded().contains("acme"));
    let main = managed.tenants(&format!("list --url http://{}", managed.address())).failed();
    assert!(main.contains("404"), "{main}");
}
