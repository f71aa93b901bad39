//! `server.tls`: the same conversations over TLS, and certificates that are renewed while the server runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::rustls::{ClientConfig, version};
use harness::{Certificate, RawFrame, Request, World, eventually, opcode};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

/// A server with this certificate, and a world that connects to it over TLS.
async fn secured(certificate: &Certificate, change: impl FnOnce(&mut settings::Settings)) -> (World, World) {
    let server = World::with(|settings| {
        certificate.install(settings);
        change(settings);
    })
    .await;
    let world = trusting(&server, certificate);
    (server, world)
}

fn trusting(server: &World, certificate: &Certificate) -> World {
    server.behind(server.endpoint().over_tls(certificate.client()))
}

const CONVERSATION: &str = r#"
    ann, bob join realtime:room
    ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
    bob < [null,null,"realtime:room","broadcast",{"event":"hi"}]
    bob leaves realtime:room
    ann is quiet
"#;

#[tokio::test]
async fn both_versions_of_tls_carry_conversations_and_requests() {
    let certificate = Certificate::new();
    let (server, _) = secured(&certificate, |_| {}).await;
    for version in [&version::TLS12, &version::TLS13] {
        let world = server.behind(server.endpoint().over_tls(certificate.client_with(&[version])));
        world.check(CONVERSATION).await;
        assert_eq!(world.send(Request::get("/health")).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn http_1_1_is_negotiated_and_nothing_newer() {
    let certificate = Certificate::new();
    let (server, _) = secured(&certificate, |_| {}).await;
    let offering = |protocols: &[&str]| {
        let mut client = ClientConfig::clone(&certificate.client());
        client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        server.behind(server.endpoint().over_tls(Arc::new(client)))
    };
    let both = offering(&["h2", "http/1.1"]);
    assert_eq!(both.send(Request::get("/health")).await.status, 200);
    assert!(offering(&["h2"]).try_send(Request::get("/health")).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn http_without_tls_gets_a_response_that_names_https() {
    let (server, world) = secured(&Certificate::new(), |_| {}).await;
    let response = server.send(Request::get("/health")).await;
    assert_eq!(response.status, 400);
    assert!(response.text().contains("https://"), "{}", response.text());
    let metrics = world.send(Request::get("/metrics")).await.text();
    assert!(metrics.contains("\nrealtime_tls_handshakes_failed_total 1\n"), "{metrics}");
    server.stop().await;
}

// Reading a named pipe without data would not end.
#[tokio::test]
async fn a_pipe_in_place_of_a_certificate_delays_no_client() {
    let certificate = Certificate::new();
    let (server, world) = secured(&certificate, |_| {}).await;
    fs::remove_file(certificate.cert_file()).expect("removed");
    mknodat(CWD, certificate.cert_file(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    eventually("it is refused", async || world.number("realtime_tls_reload_failed").await == 1.0).await;
    world.check(CONVERSATION).await;
    server.stop().await;
}

#[tokio::test]
async fn metrics_show_when_the_certificate_expires() {
    let (server, world) = secured(&Certificate::new(), |_| {}).await;
    let name = "\nrealtime_tls_certificate_expiry_timestamp_seconds ";
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    eventually("the certificate has been read", async || {
        let page = world.send(Request::get("/metrics")).await.text();
        let value = page.split(name).nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
        value.is_some_and(|value| value.parse::<f64>().expect("a number") > now)
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn an_incomplete_handshake_is_closed_after_its_timeout() {
    let quick = |settings: &mut settings::Settings| {
        settings.server.handshake_timeout = Duration::from_millis(200);
    };
    let (server, _) = secured(&Certificate::new(), quick).await;
    let mut silent = server.dial().await;
    assert!(silent.is_dropped().await);
    let mut incomplete = server.dial().await;
    // The header of a handshake record without the rest of the record.
    incomplete.write(&[0x16, 0x03, 0x01, 0x02, 0x00]).await.expect("the server listens");
    assert!(incomplete.is_dropped().await);
    server.stop().await;
}

// One record is decrypted at once, and the socket is not readable again after it.
#[tokio::test]
async fn all_messages_in_one_record_are_processed() {
    let (server, world) = secured(&Certificate::new(), |_| {}).await;
    let mut ann = world.raw().await;
    let heartbeats: Vec<u8> = (0..150)
        .flat_map(|n| RawFrame::text(&format!(r#"[null,"{n}","phoenix","heartbeat",{{}}]"#)).encode())
        .collect();
    assert!(heartbeats.len() < 16 * 1024, "they fit into one record");
    ann.write(&heartbeats).await.expect("the server reads");
    for n in 0..150 {
        let reply = ann.next().await.expect("an response");
        let reply = String::from_utf8(reply.payload).expect("text");
        assert!(reply.starts_with(&format!(r#"[null,"{n}","phoenix","phx_reply""#)), "{n}: {reply}");
    }
    server.stop().await;
}

// More than the socket buffer takes at once: the rest follows when there is space, to the last byte.
#[tokio::test]
async fn a_client_that_reads_late_receives_everything_in_order() {
    let (server, world) = secured(&Certificate::new(), |settings| {
        settings.outbox.max_bytes = settings::ByteSize::mib(64);
        settings.limits.max_payload_size_in_kb = std::num::NonZeroU32::new(3_000).expect("not zero");
    })
    .await;
    let mut late = world.raw().await;
    late.send(&RawFrame::text(r#"["1","1","realtime:room","phx_join",{"config":{}}]"#)).await;
    assert_eq!(late.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let padding = "x".repeat(400_000);
    for n in 0..40 {
        let payload = json!({"event": "large", "n": n, "padding": padding});
        ann.push("2", "realtime:room", "broadcast", &payload).await;
    }
    ann.settle().await;
    for n in 0..40 {
        let frame = late.next().await.expect("a broadcast");
        let text = String::from_utf8(frame.payload).expect("text");
        assert!(text.contains(&format!(r#""n":{n}"#)), "{n}: {} bytes", text.len());
        assert!(text.len() > padding.len());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_sends_a_close_frame_over_tls() {
    let (server, world) = secured(&Certificate::new(), |settings| {
        settings.server.shutdown_timeout = Duration::from_secs(3);
    })
    .await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let (_, code) = tokio::join!(server.stop(), ann.drain_to_close());
    assert_eq!(code, Some(1012));
}

/// Replaces a file of the certificate in use by renaming a new one, as editors and certbot do.
fn replace(current: &Certificate, name: &str, text: impl AsRef<[u8]>) {
    let fresh = current.folder().join("fresh");
    fs::write(&fresh, text).expect("a file");
    fs::rename(fresh, current.folder().join(name)).expect("renamed");
}

fn copy(from: &Certificate, to: &Certificate) {
    for name in ["cert.pem", "key.pem"] {
        replace(to, name, fs::read(from.folder().join(name)).expect("a file"));
    }
}

async fn is_trusted(world: &World) -> bool {
    world.try_send(Request::get("/health")).await.is_ok_and(|response| response.status == 200)
}

#[tokio::test]
async fn a_renewed_certificate_applies_to_new_connections_and_closes_none() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (server, world) = secured(&first, |_| {}).await;
    let mut connected = world.conversation();
    connected.check("ann, bob join realtime:room").await;
    copy(&second, &first);
    let renewed = trusting(&server, &second);
    eventually("the new certificate is in use", async || is_trusted(&renewed).await).await;
    // A new client, because one that has connected before resumes its session and verifies no certificate.
    assert!(!is_trusted(&trusting(&server, &first)).await, "the old one is not");
    connected
        .check(
            r#"
            ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
            bob < [null,null,"realtime:room","broadcast",{"event":"hi"}]
            "#,
        )
        .await;
    server.stop().await;
}

/// Whether the gauge reports that the files cannot be used.
async fn reload_failed(world: &World) -> bool {
    world.send(Request::get("/metrics")).await.text().contains("\nrealtime_tls_reload_failed 1\n")
}

#[tokio::test]
async fn files_that_cannot_be_used_change_nothing_and_are_reported() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (server, world) = secured(&first, |_| {}).await;
    let key = fs::read(first.key_file()).expect("a file");
    for bad in [&b"nothing like a key"[..], &fs::read(second.key_file()).expect("a file"), b""] {
        replace(&first, "key.pem", bad);
        eventually("the gauge goes up", async || reload_failed(&world).await).await;
        replace(&first, "key.pem", &key);
        eventually("the gauge goes down", async || !reload_failed(&world).await).await;
    }
    fs::remove_file(first.cert_file()).expect("removed");
    eventually("the gauge goes up", async || reload_failed(&world).await).await;
    assert!(is_trusted(&world).await, "the old one is in use");
    server.stop().await;
}

// As Kubernetes mounts a Secret: cert.pem -> ..data/cert.pem, ..data -> ..1.
#[tokio::test]
async fn certificates_of_a_kubernetes_secret_are_renewed() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let mounted = tempfile::tempdir().expect("a folder");
    let point_to = |to: &Path| {
        let (fresh, link) = (mounted.path().join("..data_tmp"), mounted.path().join("..data"));
        symlink(to, &fresh).expect("a link");
        fs::rename(fresh, link).expect("the link is replaced");
    };
    point_to(first.folder());
    for name in ["cert.pem", "key.pem"] {
        symlink(Path::new("..data").join(name), mounted.path().join(name)).expect("a link");
    }
    let server = World::with(|settings| {
        settings.server.tls.cert_file = Some(mounted.path().join("cert.pem"));
        settings.server.tls.key_file = Some(mounted.path().join("key.pem"));
    })
    .await;
    assert!(is_trusted(&trusting(&server, &first)).await);
    point_to(second.folder());
    let renewed = trusting(&server, &second);
    eventually("the new certificate is in use", async || is_trusted(&renewed).await).await;
    server.stop().await;
}
