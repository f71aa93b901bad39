//! Tenants from a source beside the configuration: put and removed while the server runs, and looked up on demand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, pending};
use harness::{Request, Response, SourceUnavailable, TenantSource, TenantSpec, Token, TokenIssuer, World};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ROOM: &str = "realtime:room";

/// A source that holds its tenants in memory.
#[derive(Default)]
struct MapSource {
    tenants: Mutex<HashMap<String, TenantSpec>>,
    lookups: AtomicUsize,
}

impl TenantSource for MapSource {
    fn resolve<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<TenantSpec>, SourceUnavailable>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        // After a turn of other tasks, as a source that waits for a database.
        async move {
            tokio::task::yield_now().await;
            Ok(self.tenants.lock().expect("no test panics here").get(id).cloned())
        }
        .boxed()
    }
}

/// A tenant with the secret that the tokens of [`World::tenant_token_issuer`] are signed with.
fn spec(world: &World, id: &str) -> TenantSpec {
    TenantSpec { id: id.to_owned(), settings: world.tenant_settings(id) }
}

/// The response to a handshake for `tenant`, with a token signed for `signed_for`.
async fn handshake(world: &World, tenant: &str, signed_for: &str) -> Response {
    let token = world.tenant_token_issuer(signed_for).token(Token::Valid);
    let target = format!("/socket/websocket?tenant={tenant}");
    world.send(Request::upgrade(&target).header("x-api-key", &token)).await
}

#[tokio::test]
async fn a_tenant_that_is_put_accepts_clients_and_its_removal_disconnects_them() {
    let world = World::with_tenants(&["acme"]).await;
    let node = world.node();
    let source = node.tenants.add_source(Arc::new(MapSource::default()));
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({"broadcast": {"self": true}})).await;
    let generation = || node.tenants.get("acme").expect("configured").policy().generation;
    let before = generation();
    assert_eq!(handshake(&world, "globex", "globex").await.status, 404);

    node.tenants.put(source, spec(&world, "globex"));
    let mut bob = world.connect_for("globex").await;
    bob.join(ROOM, json!({})).await;

    node.tenants.remove(source, "Globex");
    assert_eq!(bob.drain_to_close().await, Some(1012));
    assert_eq!(handshake(&world, "globex", "globex").await.status, 404);
    ann.push("2", ROOM, "broadcast", &json!({"n": 1})).await;
    assert_eq!(ann.next_json().await[4], json!({"n": 1}), "a tenant of the configuration is not affected");
    assert_eq!(generation(), before);
    world.stop().await;
}

#[tokio::test]
async fn a_change_in_a_source_reaches_connected_clients_of_that_tenant() {
    let world = World::start().await;
    let node = world.node();
    let source = node.tenants.add_source(Arc::new(MapSource::default()));
    for id in ["acme", "globex"] {
        node.tenants.put(source, spec(&world, id));
    }
    let (mut ann, mut bob) = (world.connect_for("acme").await, world.connect_for("globex").await);
    ann.join(ROOM, json!({})).await;
    bob.join(ROOM, json!({})).await;
    let mut suspended = spec(&world, "acme");
    suspended.settings.suspended = true;
    node.tenants.put(source, suspended);
    assert!(ann.drain_to_close().await.is_some());
    assert_eq!(handshake(&world, "acme", "acme").await.status, 403);
    bob.expect_quiet().await;
    // A reload of the configuration withdraws nothing that another source has put.
    world.apply(|settings| settings.server.strict_host = true);
    bob.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_tenant_is_looked_up_once_and_then_known() {
    let world = World::start().await;
    let source = Arc::new(MapSource::default());
    let id = world.node().tenants.add_source(Arc::clone(&source) as Arc<dyn TenantSource>);
    source.tenants.lock().expect("no test panics here").insert("lazy".into(), spec(&world, "lazy"));
    world.connect_for("lazy").await.join(ROOM, json!({})).await;
    assert_eq!(handshake(&world, "LAZY", "lazy").await.status, 101);
    assert_eq!(source.lookups.load(Ordering::Relaxed), 1);

    let message = json!({"messages": [{"topic": "room", "event": "e", "payload": {}}]});
    let token = world.tenant_token_issuer("lazy").token(Token::Valid);
    let post = Request::post("/api/broadcast").header("x-tenant", "lazy").bearer(&token).json(&message);
    assert_eq!(world.send(post).await.status, 202);
    assert_eq!(source.lookups.load(Ordering::Relaxed), 1);
    assert_eq!(handshake(&world, "unknown", "unknown").await.status, 404);

    source.tenants.lock().expect("no test panics here").clear();
    world.node().tenants.remove(id, "lazy");
    assert_eq!(handshake(&world, "lazy", "lazy").await.status, 404);
    world.stop().await;
}

/// A source that never answers.
#[derive(Default)]
struct HangingSource {
    lookups: AtomicUsize,
}

impl TenantSource for HangingSource {
    fn resolve<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Option<TenantSpec>, SourceUnavailable>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        pending().boxed()
    }
}

/// The status line of the response to a handshake for `tenant`, however late it comes.
async fn late_status_line(world: &World, tenant: &str) -> String {
    let token = world.tenant_token_issuer(tenant).token(Token::Valid);
    let mut stream = TcpStream::connect(world.address()).await.expect("the server listens");
    let head = format!(
        "GET /socket/websocket?tenant={tenant} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {token}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let mut status = [0; "HTTP/1.1 404".len()];
    stream.read_exact(&mut status).await.expect("a response");
    String::from_utf8_lossy(&status).into_owned()
}

#[tokio::test]
async fn a_source_that_hangs_delays_only_handshakes_that_need_it_and_is_asked_once() {
    let world = World::with_tenants(&["acme"]).await;
    let source = Arc::new(HangingSource::default());
    world.node().tenants.add_source(Arc::clone(&source) as Arc<dyn TenantSource>);
    let unknown = join_all((0..8).map(|_| late_status_line(&world, "unknown")));
    let known = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tokio::time::timeout(Duration::from_secs(3), handshake(&world, "acme", "acme")).await
    };
    let (unknown, known) = tokio::join!(unknown, known);
    assert_eq!(known.expect("a registered tenant does not wait for the source").status, 101);
    assert_eq!(unknown, ["HTTP/1.1 503"; 8]);
    assert_eq!(source.lookups.load(Ordering::Relaxed), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_operator_can_disconnect_a_tenant_that_this_node_has_not_looked_up_yet() {
    let operators = TokenIssuer::new("the operators' secret, of thirty-two bytes");
    let world = World::with(|settings| settings.admin.jwt_secret = Some(operators.secret().into())).await;
    let source = Arc::new(MapSource::default());
    world.node().tenants.add_source(Arc::clone(&source) as Arc<dyn TenantSource>);
    source.tenants.lock().expect("no test panics here").insert("lazy".into(), spec(&world, "lazy"));
    let token = operators.sign(&json!({"exp": 4_000_000_000_u64}));
    let disconnect = async |tenant: &str| {
        let target = format!("/admin/tenants/{tenant}/disconnect");
        world.send(Request::post(&target).bearer(&token)).await
    };
    let response = disconnect("lazy").await;
    assert_eq!((response.status, response.json()), (200, json!({"disconnected": 0})));
    assert_eq!(disconnect("unknown").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn the_configuration_takes_precedence_over_other_sources() {
    let world = World::with_tenants(&["acme"]).await;
    let node = world.node();
    let source = node.tenants.add_source(Arc::new(MapSource::default()));
    // The same tenant, with another secret.
    let other = TenantSpec { id: "acme".to_owned(), settings: world.tenant_settings("other") };
    node.tenants.put(source, other);
    assert_eq!(handshake(&world, "acme", "acme").await.status, 101);
    assert_eq!(handshake(&world, "acme", "other").await.status, 401);

    let configured = world.tenant_settings("acme");
    world.apply(|settings| drop(settings.tenants.remove("acme")));
    assert_eq!(handshake(&world, "acme", "acme").await.status, 401);
    assert_eq!(handshake(&world, "acme", "other").await.status, 101);

    world.apply(|settings| drop(settings.tenants.insert("acme".into(), configured)));
    assert_eq!(handshake(&world, "acme", "acme").await.status, 101);
    node.tenants.remove(source, "acme");
    assert_eq!(handshake(&world, "acme", "acme").await.status, 101);
    world.stop().await;
}
