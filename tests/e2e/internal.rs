//! `[server.internal]`: a port for operators and the programs that watch the server, where load balancers, they and clients
//! are in the same networks.

use std::time::Duration;

use harness::{Certificate, Dialect, LifecyclePhase, RawSocket, Request, Token, TokenIssuer, Urgency, World};
use realtime_server::routes::Access;
use serde_json::json;
use settings::Settings;

use crate::size;

const OPERATORS_SECRET: &str = "the operators' secret, of thirty-two bytes";

fn internal(settings: &mut Settings) {
    settings.server.internal.port = Some(0);
    settings.admin.jwt_secret = Some(OPERATORS_SECRET.into());
}

fn by_operator(request: Request) -> Request {
    request.bearer(&TokenIssuer::new(OPERATORS_SECRET).sign(&json!({"exp": 4_000_000_000_u64})))
}

// The kubelet, Prometheus and the checks of a load balancer come from the networks of its clients, and send no header.
#[tokio::test]
async fn where_the_main_port_needs_a_proxy_header_the_internal_one_needs_none() {
    let certificate = Certificate::new();
    let server = World::with(|settings| {
        internal(settings);
        settings.server.proxy_protocol_from = vec!["127.0.0.0/8".into()];
        certificate.install(settings);
    })
    .await;
    let without_header = server.behind(server.endpoint().over_tls(certificate.client()));
    assert!(without_header.try_send(Request::get("/readyz")).await.is_err());
    let internal = server.internal();
    for path in ["/", "/health", "/healthcheck", "/ready", "/readyz", "/metrics"] {
        assert_eq!(internal.send(Request::get(path)).await.status, 200, "{path}");
    }
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 4242 443\r\n";
    let forged = internal.behind(internal.endpoint().with_preface(*header));
    assert_eq!(forged.send(Request::get("/health")).await.status, 400, "a header is not HTTP here");
    let client = server.behind(server.endpoint().with_preface(*header).over_tls(certificate.client()));
    client.check("ann joins realtime:room").await;
    server.stop().await;
}

#[tokio::test]
async fn it_has_every_route_of_operators_with_the_same_tokens_and_none_of_clients() {
    let server = World::with(internal).await;
    let (internal, mut refused) = (server.internal(), Vec::new());
    for route in server.routes().routes() {
        let path = route.paths().next().expect("a path").replace(['{', '}'], "");
        let method = route.methods().first().expect("a method").as_str();
        let response = internal.send(Request::new(method, &path)).await;
        let expected = match route.access() {
            Access::Operator => 401,
            Access::Management => 403,
            Access::Metrics => 200,
            Access::Public if route.is_health_check() => 200,
            Access::Public | Access::Tenant | Access::WebSocket => 404,
        };
        assert_eq!(response.status, expected, "{method} {path}");
        assert_eq!(route.is_internal(), expected != 404, "{method} {path}");
        if expected == 404 {
            assert!(response.text().contains("this is the internal port"), "{}", response.text());
            refused.push(path);
        }
    }
    assert!(["/socket/websocket", "/api/broadcast"].iter().all(|path| refused.contains(&(*path).into())));
    let target = server.target("/socket/websocket", Dialect::V2, Token::Valid);
    assert_eq!(internal.send(Request::upgrade(&target)).await.status, 404);
    for port in [&internal, &server] {
        assert_eq!(port.send(by_operator(Request::get("/status"))).await.status, 200);
    }
    assert_eq!(internal.send(Request::get("/nowhere")).await.json(), json!("Not Found"));
    server.stop().await;
}

#[tokio::test]
async fn operators_may_have_it_alone() {
    let server = World::with(|settings| {
        internal(settings);
        settings.server.internal.exclusive = true;
    })
    .await;
    let internal = server.internal();
    for path in ["/metrics", "/metrics/eu-west-2", "/status", "/api/tenants"] {
        let request = || by_operator(Request::get(path));
        assert_eq!(internal.send(request()).await.status, 200, "{path}");
        let missing = server.behind(server.endpoint()).send(request()).await;
        assert_eq!((missing.status, missing.json()), (404, json!("Not Found")), "{path}");
    }
    let status = internal.send(by_operator(Request::get("/status"))).await.json()["internal"].clone();
    assert_eq!(status["address"], internal.address().to_string());
    assert_eq!((&status["exclusive"], &status["connections"]), (&json!(true), &json!(1)));
    assert_eq!(server.send(Request::get("/readyz")).await.status, 200, "a load balancer asks there");
    server.check("ann joins realtime:room").await;
    server.stop().await;
}

#[tokio::test]
async fn it_answers_until_the_last_client_has_gone() {
    let server = World::with(|settings| {
        internal(settings);
        settings.server.drain_delay = Duration::ZERO;
        settings.server.drain_timeout = Duration::from_secs(3_600);
        settings.server.shutdown_timeout = Duration::from_secs(3_600);
        settings.server.close_timeout = Duration::from_secs(3_600);
    })
    .await;
    let (internal, node) = (server.internal(), server.node());
    let mut first = server.connect().await;
    // Never answers the close frame.
    let silent = server.raw().await;
    let phase = async || {
        let readiness = internal.send(Request::get("/readyz")).await;
        let status = internal.send(by_operator(Request::get("/status"))).await.json();
        (readiness.status, status["phase"].as_str().expect("a phase").to_owned())
    };
    assert_eq!(phase().await, (200, "serving".into()));
    let drain = server.drain();
    assert_eq!(first.drain_to_close().await, Some(1012));
    assert!(server.try_send(Request::get("/readyz")).await.is_err(), "the main port is closed");
    assert_eq!(phase().await, (503, "draining".into()));
    drain.raise_urgency(Urgency::Soon);
    node.lifecycle.token(LifecyclePhase::Stopping).cancelled().await;
    assert_eq!(phase().await, (503, "stopping".into()));
    drain.raise_urgency(Urgency::Immediate);
    drain.ended().await;
    assert!(internal.try_send(Request::get("/readyz")).await.is_err(), "it is closed at the end");
    drop(silent);
}

/// A connection whose request is not complete, so that it does not wait for one.
async fn busy(world: &World) -> RawSocket {
    let token = TokenIssuer::new(OPERATORS_SECRET).sign(&json!({"exp": 4_000_000_000_u64}));
    let head = "PUT /api/tenants/acme HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n";
    let mut connection = world.dial().await;
    let request = format!("{head}authorization: Bearer {token}\r\n\r\n");
    connection.write(request.as_bytes()).await.expect("the server listens");
    assert_eq!(connection.response().await.status, 100, "the body is waited for");
    connection
}

#[tokio::test]
async fn its_connections_are_bounded_and_apart_from_those_of_clients() {
    let server = World::with(|settings| {
        internal(settings);
        settings.server.internal.max_connections = size(2);
    })
    .await;
    let internal = server.internal();
    let is_ready = async || {
        internal.try_send(Request::get("/readyz")).await.is_ok_and(|response| response.status == 200)
    };
    let (mut waiting, first) = (internal.dial().await, busy(&internal).await);
    harness::eventually("it takes the place of another one", is_ready).await;
    assert!(waiting.is_dropped().await, "of the one that waits");
    let second = busy(&internal).await;
    assert_eq!(internal.send(Request::get("/readyz")).await.status, 503, "none waits");
    assert_eq!(server.send(Request::get("/readyz")).await.status, 200, "the main port has its own");
    let supervisor = internal.behind(internal.endpoint().from("127.0.0.99"));
    assert_eq!(supervisor.send(Request::get("/readyz")).await.status, 200, "an address with more makes room");
    let metrics = server.send(Request::get("/metrics")).await.text();
    let refusal = |line: &str| {
        line.starts_with("realtime_codes_total") && line.contains("InternalConnectionLimitReached")
    };
    assert!(metrics.lines().any(refusal), "{metrics}");
    drop((first, second));
    harness::eventually("there is room again", is_ready).await;
    server.stop().await;
}
