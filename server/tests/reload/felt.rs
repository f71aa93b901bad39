//! An edit of a file is felt within a second, by sockets that do nothing but wait.

use std::time::{Duration, Instant};

use harness::{Client, Token, TokenIssuer, World};
use serde_json::{Value, json};

use crate::running::{Running, folder};

/// How soon a parked socket has to feel an edit.
const SOON: Duration = Duration::from_secs(1);

const ROOM: &str = "realtime:room";
const SECRET: &str = "the secret of the users, of thirty-two bytes";

/// A server with a tenant called acme and a client of it, who has joined a room.
struct Parked {
    server: Running,
    world: World,
    ann: Client,
    since: Instant,
}

impl Parked {
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

    async fn hears(&mut self) -> Value {
        let heard = self.ann.next_json().await;
        assert!(self.since.elapsed() < SOON, "felt after {:?}: {heard}", self.since.elapsed());
        heard
    }
}

/// `[tenants.acme]`, with its secrets.
fn acme(says: &str, limits: &str) -> String {
    let secret = format!("jwt_secret = \"{SECRET}, of acme\"");
    format!("[tenants.acme]\n{says}\n[tenants.acme.auth]\n{secret}\n[tenants.acme.limits]\n{limits}\n")
}

#[tokio::test]
async fn a_suspended_tenant() {
    let mut parked = Parked::with(&acme("", "")).await;
    let mut idle = parked.world.connect_for("acme").await;
    idle.settle().await;
    parked.edit(&acme("suspended = true", ""));
    let told = parked.hears().await;
    assert_eq!((&told[3], &told[4]["message"]), (&"system".into(), &"Server requested disconnect".into()));
    assert_eq!((parked.ann.expect_close().await, idle.expect_close().await), (Some(1012), Some(1012)));
    assert!(parked.since.elapsed() < SOON, "closed after {:?}", parked.since.elapsed());
}

#[tokio::test]
async fn a_removed_secret() {
    let next = TokenIssuer::new("the next secret of acme, of thirty-two bytes");
    let both = format!(
        "[tenants.acme.auth]\njwt_secret = \"{SECRET}, of acme\"\njwt_secrets = [\"{}\"]",
        next.secret()
    );
    let mut parked = Parked::with(&both).await;
    let token = next.token(Token::Valid);
    let join = json!(["2", "2", "realtime:new", "phx_join", {"config": {}, "access_token": token}]);
    parked.ann.send_json(&join).await;
    assert_eq!(parked.ann.next_json().await[4]["status"], "ok");
    parked.edit(&format!("[tenants.acme.auth]\njwt_secret = \"{}\"", next.secret()));
    let message = "The key that signed this token is no longer accepted";
    assert_eq!(parked.hears().await[4]["message"], message);
    assert_eq!(parked.hears().await, json!(["1", "1", ROOM, "phx_error", {"reason": "channel_crash"}]));
    parked.ann.expect_quiet().await; // the other channel stays
}

#[tokio::test]
async fn a_lowered_limit() {
    let mut parked = Parked::with(&acme("", "")).await;
    let payload = json!({"text": "x".repeat(3_000)});
    parked.ann.push("2", ROOM, "broadcast", &payload).await;
    assert_eq!(parked.hears().await[4]["status"], "ok");
    parked.edit(&acme("", "max_payload_size_in_kb = 1"));
    // At its next use after a second at most; it may well be sooner.
    parked.server.hears("Settings have changed");
    parked.ann.push("3", ROOM, "broadcast", &payload).await;
    assert_eq!(parked.hears().await[4]["response"]["reason"], "payload_size_exceeded");
}

#[tokio::test]
async fn the_log_level() {
    let mut parked = Parked::with(&acme("", "")).await;
    let refused = |server: &Running| assert_eq!(server.ask("GET", "/status", "a wrong secret").0, 401);
    refused(&parked.server);
    parked.server.hears("GET /status 401");
    let error = format!("{}[telemetry]\nlog_level = \"error\"\n", acme("", ""));
    parked.edit(&error);
    while parked.server.status()["settings"]["generation"] != 2 {
        assert!(parked.since.elapsed() < SOON, "not felt");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    refused(&parked.server);
    parked.edit(&acme("", ""));
    let heard = parked.server.hears_until("Settings have changed");
    assert!(parked.since.elapsed() < SOON, "felt after {:?}", parked.since.elapsed());
    assert!(!heard.iter().any(|line| line.contains("GET /status 401")), "{heard:?}");
    parked.ann.expect_quiet().await;
}
