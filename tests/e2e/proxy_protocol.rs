//! `server.proxy_protocol_from`: the address that a load balancer sends is that of the client, and a header from another
//! peer is not accepted. With a real HAProxy.
//!
//! Which address the server sees is shown by `max_connections_per_address`: with a limit of one, a second client from the
//! same address is refused.

use std::time::Duration;

use harness::{Certificate, Dialect, Endpoint, Haproxy, Request, Token, World};

use crate::size;

/// The balancer is 127.0.0.1, and each address may have one connection.
fn balanced(settings: &mut settings::Settings) {
    settings.server.proxy_protocol_from = vec!["127.0.0.1/32".into()];
    settings.server.max_connections_per_address = Some(size(1));
}

/// The header for a client at this address, in both versions.
fn headers(client: [u8; 4]) -> [Vec<u8>; 2] {
    let [a, b, c, d] = client;
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([a, b, c, d, 127, 0, 0, 1, 0x10, 0x92, 0x01, 0xbb]);
    [format!("PROXY TCP4 {a}.{b}.{c}.{d} 127.0.0.1 4242 443\r\n").into_bytes(), binary]
}

/// The status of a handshake. Its connection stays open while `world` exists.
async fn handshake(world: &World) -> u16 {
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    world.send(Request::upgrade(&target)).await.status
}

#[tokio::test]
async fn the_address_of_a_client_is_the_one_in_the_header() {
    let server = World::with(balanced).await;
    for header in headers([192, 0, 2, 7]) {
        let client = server.behind(server.endpoint().with_preface(header));
        let mut connected = client.conversation();
        connected.check("ann joins realtime:room").await;
        assert_eq!(handshake(&client).await, 429, "this address has its one connection");
        connected.check("ann is alive").await;
        for other in headers([192, 0, 2, 8]) {
            let other = server.behind(server.endpoint().with_preface(other));
            other.check("bob joins realtime:room\n bob vanishes").await;
            harness::eventually("the permit is free", async || handshake(&other).await == 101).await;
        }
        connected.check("ann vanishes").await;
        harness::eventually("the permit is free", async || handshake(&client).await == 101).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_balancer_may_send_its_own_requests_but_not_without_a_header() {
    let server = World::with(balanced).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [local, b"PROXY UNKNOWN\r\n".to_vec()] {
        let balancer = server.behind(server.endpoint().with_preface(header));
        assert_eq!(balancer.send(Request::get("/health")).await.status, 200);
    }
    assert!(server.try_send(Request::get("/health")).await.is_err());
    // Closed without a byte, as health checks of the port do: that is not a refusal.
    drop(server.dial().await);
    let metrics =
        server.behind(server.endpoint().from("127.0.0.2")).send(Request::get("/metrics")).await.text();
    assert!(metrics.contains("\nrealtime_proxy_protocol_refused_total 1\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn a_header_from_another_network_is_not_accepted() {
    let server = World::with(balanced).await;
    let other_network = server.endpoint().from("127.0.0.2");
    assert_eq!(server.behind(other_network.clone()).send(Request::get("/health")).await.status, 200);
    for forged in headers([192, 0, 2, 7]) {
        let client = server.behind(other_network.clone().with_preface(forged));
        assert_eq!(client.send(Request::get("/health")).await.status, 400, "it is not HTTP");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_incomplete_header_is_not_waited_for() {
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
        let mut connected = client.conversation();
        connected.check("ann joins realtime:room").await;
        assert_eq!(handshake(&client).await, 429);
        connected.check("ann vanishes").await;
        harness::eventually("the permit is free", async || handshake(&client).await == 101).await;
    }
    server.stop().await;
}

/// Two clients at two addresses exchange a message through `endpoint`, and a second one at either address is refused.
async fn clients_keep_their_addresses(server: &World, endpoint: Endpoint) {
    let at = |address: &str| server.behind(endpoint.clone().from(address));
    let (first, second) = (at("127.0.0.2"), at("127.0.0.3"));
    let (mut ann, mut bob) = (first.conversation(), second.conversation());
    ann.check("ann joins realtime:room").await;
    bob.check("bob joins realtime:room").await;
    assert_eq!((handshake(&first).await, handshake(&second).await), (429, 429));
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
async fn behind_haproxy_that_terminates_tls_clients_keep_their_addresses() {
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
async fn behind_haproxy_that_forwards_tls_clients_keep_their_addresses() {
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
