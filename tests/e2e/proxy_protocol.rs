//! `server.proxy_protocol_from`: load balancers say whom they bring, and nobody else is believed. With a real
//! HAProxy.
//!
//! Whom the server sees is shown by `max_connections_per_address`: with a limit of one, two clients from one
//! address are one too many.

use std::time::Duration;

use harness::{Certificate, Dialect, Endpoint, Haproxy, Request, Token, World};

use crate::size;

/// The balancer is 127.0.0.1, and each client has one connection.
fn balanced(settings: &mut settings::Settings) {
    settings.server.proxy_protocol_from = vec!["127.0.0.1/32".into()];
    settings.server.max_connections_per_address = Some(size(1));
}

/// What a balancer says about a client from here, in both versions.
fn headers(client: [u8; 4]) -> [Vec<u8>; 2] {
    let [a, b, c, d] = client;
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([a, b, c, d, 127, 0, 0, 1, 0x10, 0x92, 0x01, 0xbb]);
    [format!("PROXY TCP4 {a}.{b}.{c}.{d} 127.0.0.1 4242 443\r\n").into_bytes(), binary]
}

/// The status of a handshake, by which the connection is kept while `world` lives.
async fn knock(world: &World) -> u16 {
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    world.send(Request::upgrade(&target)).await.status
}

#[tokio::test]
async fn a_client_is_known_by_what_its_balancer_says() {
    let server = World::with(balanced).await;
    for header in headers([192, 0, 2, 7]) {
        let client = server.behind(server.endpoint().with_preface(header));
        let mut inside = client.conversation();
        inside.check("ann joins realtime:room").await;
        assert_eq!(knock(&client).await, 429, "one connection of this address is inside");
        inside.check("ann is alive").await;
        for other in headers([192, 0, 2, 8]) {
            let other = server.behind(server.endpoint().with_preface(other));
            other.check("bob joins realtime:room\n bob vanishes").await;
            harness::eventually("the place is free", async || knock(&other).await == 101).await;
        }
        inside.check("ann vanishes").await;
        harness::eventually("the place is free", async || knock(&client).await == 101).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_balancer_may_ask_for_itself_but_not_without_a_header() {
    let server = World::with(balanced).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [local, b"PROXY UNKNOWN\r\n".to_vec()] {
        let balancer = server.behind(server.endpoint().with_preface(header));
        assert_eq!(balancer.send(Request::get("/health")).await.status, 200);
    }
    assert!(server.try_send(Request::get("/health")).await.is_err());
    // Hangs up without a word, as a check of the port does: that is no refusal.
    drop(server.dial().await);
    let metrics =
        server.behind(server.endpoint().from("127.0.0.2")).send(Request::get("/metrics")).await.text();
    assert!(metrics.contains("\nrealtime_proxy_protocol_refused_total 1\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn from_elsewhere_nobody_is_believed() {
    let server = World::with(balanced).await;
    let elsewhere = server.endpoint().from("127.0.0.2");
    assert_eq!(server.behind(elsewhere.clone()).send(Request::get("/health")).await.status, 200);
    for forged in headers([192, 0, 2, 7]) {
        let liar = server.behind(elsewhere.clone().with_preface(forged));
        assert_eq!(liar.send(Request::get("/health")).await.status, 400, "it is no HTTP");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_header_that_does_not_come_to_an_end_is_not_waited_for() {
    let server = World::with(|settings| {
        balanced(settings);
        settings.server.handshake_timeout = Duration::from_millis(200);
    })
    .await;
    for half in [&b""[..], b"PROXY TCP4 192.0.2.7", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"] {
        let mut balancer = server.behind(server.endpoint().with_preface(half)).dial().await;
        assert!(balancer.is_dropped().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let certificate = Certificate::new();
    let server = World::with(|settings| {
        balanced(settings);
        certificate.install(settings);
    })
    .await;
    for header in headers([192, 0, 2, 7]) {
        let client = server.behind(server.endpoint().with_preface(header).over_tls(certificate.client()));
        let mut inside = client.conversation();
        inside.check("ann joins realtime:room").await;
        assert_eq!(knock(&client).await, 429);
        inside.check("ann vanishes").await;
        harness::eventually("the place is free", async || knock(&client).await == 101).await;
    }
    server.stop().await;
}

/// Two clients at two addresses talk through `endpoint`, and a third is one too many at the first's address.
async fn clients_keep_their_addresses(server: &World, endpoint: Endpoint) {
    let at = |address: &str| server.behind(endpoint.clone().from(address));
    let (first, second) = (at("127.0.0.2"), at("127.0.0.3"));
    let (mut ann, mut bob) = (first.conversation(), second.conversation());
    ann.check("ann joins realtime:room").await;
    bob.check("bob joins realtime:room").await;
    assert_eq!((knock(&first).await, knock(&second).await), (429, 429));
    assert_eq!(at("127.0.0.4").send(Request::get("/health")).await.status, 200);
    ann.check(r#"ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]"#).await;
    bob.check(r#"bob < [null,null,"realtime:room","broadcast",{"event":"hi"}]"#).await;
}

#[tokio::test]
async fn behind_haproxy_clients_keep_their_addresses() {
    for send in ["send-proxy", "send-proxy-v2"] {
        let server = World::with(balanced).await;
        let haproxy = Haproxy::start(|address| {
            format!(
                "listen endpoint\n mode tcp\n bind {address}\n server only {} {send} check check-send-proxy inter 50ms\n",
                server.address()
            )
        })
        .await;
        clients_keep_their_addresses(&server, haproxy.endpoint()).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn behind_haproxy_that_ends_tls_clients_keep_their_addresses() {
    let certificate = Certificate::new();
    let server = World::with(balanced).await;
    let haproxy = Haproxy::start(|address| {
        format!(
            "listen endpoint\n mode http\n bind {address} ssl crt {}\n option httpchk GET /readyz\n \
             server only {} send-proxy-v2-ssl-cn check check-send-proxy inter 50ms\n",
            certificate.folder().join("both.pem").display(),
            server.address()
        )
    })
    .await;
    clients_keep_their_addresses(&server, haproxy.endpoint().over_tls(certificate.client())).await;
    server.stop().await;
}

#[tokio::test]
async fn behind_haproxy_that_passes_tls_on_clients_keep_their_addresses() {
    let certificate = Certificate::new();
    let server = World::with(|settings| {
        balanced(settings);
        certificate.install(settings);
    })
    .await;
    let haproxy = Haproxy::start(|address| {
        format!(
            "listen endpoint\n mode tcp\n bind {address}\n \
             server only {} send-proxy-v2 check check-send-proxy check-ssl verify none inter 50ms\n",
            server.address()
        )
    })
    .await;
    clients_keep_their_addresses(&server, haproxy.endpoint().over_tls(certificate.client())).await;
    server.stop().await;
}
