//! An edit of a file reaches connected sockets soon, although they send nothing.

use std::time::{Duration, Instant};

use harness::{Client, Token, TokenIssuer, World};
use serde_json::{Value, json};

use crate::running::{Running, folder};

/// How soon an edit has to reach an idle socket, on a busy machine. Files are compared without an event every half a minute.
const SOON: Duration = Duration::from_secs(10);

const ROOM: &str = "realtime:room";
const SECRET: &str = "the secret of the users, of thirty-two bytes";

/// A server with a tenant called acme and a client of it, who has joined a room.
struct IdleClient {
    server: Running,
    world: World,
    ann: Client,
    since: Instant,
}

impl IdleClient {
    async fn with(acme: &str) -> Self {
        let server = Running::in_folder(folder(&[("config.toml", acme)]), &[("JWT_SECRET", SECRET)]);
        let world = World::at(server.address, TokenIssuer::new(SECRET));
        let mut ann = world.connect_for("acme").await;
        ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
        Self { server, world, ann, since: Instant::now() }
    }

    fn edit(&mut self, acme: &str) {
        self.since = Instant::now();
        self.server.write("config.toml", acme);
    }

    async fn receive(&mut self) -> Value {
        let frame = self.ann.next_json().await;
        assert!(self.since.elapsed() < SOON, "received after {:?}: {frame}", self.since.elapsed());
        frame
    }
}

/// `[tenants.acme]`, with its secrets.
fn acme(keys: &str, limits: &str) -> String {
    let secret = format!("jwt_secret = \"{SECRET}, of acme\"");
    format!("[tenants.acme]\n{keys}\n[tenants.acme.auth]\n{secret}\n[tenants.acme.limits]\n{limits}\n")
}

#[tokio::test]
async fn a_suspended_tenant_is_disconnected() {
    let mut idle_client = IdleClient::with(&acme("", "")).await;
    let mut idle = idle_client.world.connect_for("acme").await;
    idle.settle().await;
    idle_client.edit(&acme("suspended = true", ""));
    let message = idle_client.receive().await;
    assert_eq!(
        (&message[3], &message[4]["message"]),
        (&"system".into(), &"Server requested disconnect".into())
    );
    assert_eq!((idle_client.ann.expect_close().await, idle.expect_close().await), (Some(1012), Some(1012)));
    assert!(idle_client.since.elapsed() < SOON, "closed after {:?}", idle_client.since.elapsed());
}

#[tokio::test]
async fn a_removed_secret_ends_its_channels() {
    let next = TokenIssuer::new("the next secret of acme, of thirty-two bytes");
    let both = format!(
        "[tenants.acme.auth]\njwt_secret = \"{SECRET}, of acme\"\njwt_secrets = [\"{}\"]",
        next.secret()
    );
    let mut idle_client = IdleClient::with(&both).await;
    let token = next.token(Token::Valid);
    let join = json!(["2", "2", "realtime:new", "phx_join", {"config": {}, "access_token": token}]);
    idle_client.ann.send_json(&join).await;
    assert_eq!(idle_client.ann.next_json().await[4]["status"], "ok");
    idle_client.edit(&format!("[tenants.acme.auth]\njwt_secret = \"{}\"", next.secret()));
    let message = "The key that signed this token is no longer accepted";
    assert_eq!(idle_client.receive().await[4]["message"], message);
    assert_eq!(
        idle_client.receive().await,
        json!(["1", "1", ROOM, "phx_error", {"reason": "channel_crash"}])
    );
    idle_client.ann.expect_quiet().await; // the other channel stays
}

#[tokio::test]
async fn a_lowered_limit_applies() {
    let mut idle_client = IdleClient::with(&acme("", "")).await;
    let payload = json!({"text": "x".repeat(3_000)});
    idle_client.ann.push("2", ROOM, "broadcast", &payload).await;
    assert_eq!(idle_client.receive().await[4]["status"], "ok");
    idle_client.edit(&acme("", "max_payload_size_in_kb = 1"));
    // Applies at the next use after a second at most.
    idle_client.server.log_line("Settings have changed");
    idle_client.ann.push("3", ROOM, "broadcast", &payload).await;
    assert_eq!(idle_client.receive().await[4]["response"]["reason"], "payload_size_exceeded");
}

#[tokio::test]
async fn the_log_level_applies() {
    let mut idle_client = IdleClient::with(&acme("", "")).await;
    let refused = |server: &Running| assert_eq!(server.ask("GET", "/status", "a wrong secret").0, 401);
    refused(&idle_client.server);
    idle_client.server.log_line("GET /status 401");
    let error = format!("{}[telemetry]\nlog_level = \"error\"\n", acme("", ""));
    idle_client.edit(&error);
    while idle_client.server.status()["settings"]["generation"] != 2 {
        assert!(idle_client.since.elapsed() < SOON, "not applied");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    refused(&idle_client.server);
    idle_client.edit(&acme("", ""));
    let log = idle_client.server.log_until("Settings have changed");
    assert!(idle_client.since.elapsed() < SOON, "applied after {:?}", idle_client.since.elapsed());
    assert!(!log.iter().any(|line| line.contains("GET /status 401")), "{log:?}");
    idle_client.ann.expect_quiet().await;
}
