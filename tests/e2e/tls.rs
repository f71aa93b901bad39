//! `server.tls`: the same conversations over TLS, and certificates that are exchanged while it runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::rustls::{ClientConfig, version};
use harness::{Certificate, RawFrame, Request, World, eventually, opcode};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use serde_json::json;

/// A server with this certificate, and the same world seen over TLS.
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
async fn http_one_is_agreed_on_and_nothing_newer() {
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
async fn without_tls_nobody_is_served_where_tls_is_spoken_and_is_told_why() {
    let (server, world) = secured(&Certificate::new(), |_| {}).await;
    let answer = server.send(Request::get("/health")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    let metrics = world.send(Request::get("/metrics")).await.text();
    assert!(metrics.contains("\nrealtime_tls_handshakes_failed_total 1\n"), "{metrics}");
    server.stop().await;
}

// A network file system that hangs, as a pipe that nobody writes to.
#[tokio::test]
async fn a_certificate_that_cannot_be_read_to_its_end_holds_up_nobody() {
    let certificate = Certificate::new();
    let (server, world) = secured(&certificate, |_| {}).await;
    fs::remove_file(certificate.cert_file()).expect("removed");
    mknodat(CWD, certificate.cert_file(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    let writer = std::sync::Mutex::new(None);
    // Succeeds once the server has opened the other end; as long as it is open, the read does not end.
    eventually("it is being read", async || {
        let opened = open(certificate.cert_file(), OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        let is_open = opened.is_some();
        *writer.lock().expect("no test panics here") = opened;
        is_open
    })
    .await;
    world.check(CONVERSATION).await;
    server.stop().await;
}

#[tokio::test]
async fn metrics_say_when_the_certificate_expires() {
    let (server, world) = secured(&Certificate::new(), |_| {}).await;
    let name = "\nrealtime_tls_certificate_expiry_timestamp_seconds ";
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    eventually("the certificate has been looked at", async || {
        let page = world.send(Request::get("/metrics")).await.text();
        let value = page.split(name).nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
        value.is_some_and(|value| value.parse::<f64>().expect("a number") > now)
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_ends_in_time() {
    let quick = |settings: &mut settings::Settings| {
        settings.server.handshake_timeout = Duration::from_millis(200);
    };
    let (server, _) = secured(&Certificate::new(), quick).await;
    let mut silent = server.dial().await;
    assert!(silent.is_dropped().await);
    let mut begun = server.dial().await;
    // The head of a handshake record, and nothing of what it announces.
    begun.write(&[0x16, 0x03, 0x01, 0x02, 0x00]).await.expect("the server listens");
    assert!(begun.is_dropped().await);
    server.stop().await;
}

// What comes in one record is decrypted at once, and the socket has nothing more to tell of.
#[tokio::test]
async fn what_was_said_in_one_breath_is_heard_to_the_end() {
    let (server, world) = secured(&Certificate::new(), |_| {}).await;
    let mut ann = world.raw().await;
    let heartbeats: Vec<u8> = (0..150)
        .flat_map(|n| RawFrame::text(&format!(r#"[null,"{n}","phoenix","heartbeat",{{}}]"#)).encode())
        .collect();
    assert!(heartbeats.len() < 16 * 1024, "they fit into one record");
    ann.write(&heartbeats).await.expect("the server reads");
    for n in 0..150 {
        let reply = ann.next().await.expect("an answer");
        let reply = String::from_utf8(reply.payload).expect("text");
        assert!(reply.starts_with(&format!(r#"[null,"{n}","phoenix","phx_reply""#)), "{n}: {reply}");
    }
    server.stop().await;
}

// More than the socket takes at once: the rest has to follow when there is room, to the last byte.
#[tokio::test]
async fn who_reads_late_gets_everything_in_order() {
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
    let letters = "x".repeat(400_000);
    for n in 0..40 {
        let payload = json!({"event": "large", "n": n, "letters": letters});
        ann.push("2", "realtime:room", "broadcast", &payload).await;
    }
    ann.settle().await;
    for n in 0..40 {
        let frame = late.next().await.expect("a broadcast");
        let text = String::from_utf8(frame.payload).expect("text");
        assert!(text.contains(&format!(r#""n":{n}"#)), "{n}: {} bytes", text.len());
        assert!(text.len() > letters.len());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_over_tls() {
    let (server, world) = secured(&Certificate::new(), |settings| {
        settings.server.shutdown_timeout = Duration::from_secs(3);
    })
    .await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let (_, code) = tokio::join!(server.stop(), ann.drain_to_close());
    assert_eq!(code, Some(1012));
}

/// Puts the other certificate's files in the place of ours, as an editor or certbot does.
fn replace(ours: &Certificate, name: &str, text: impl AsRef<[u8]>) {
    let fresh = ours.folder().join("fresh");
    fs::write(&fresh, text).expect("a file");
    fs::rename(fresh, ours.folder().join(name)).expect("renamed");
}

fn copy(from: &Certificate, to: &Certificate) {
    for name in ["cert.pem", "key.pem"] {
        replace(to, name, fs::read(from.folder().join(name)).expect("a file"));
    }
}

async fn is_trusted(world: &World) -> bool {
    world.try_send(Request::get("/health")).await.is_ok_and(|answer| answer.status == 200)
}

#[tokio::test]
async fn a_renewed_certificate_counts_for_the_next_client_and_nobody_is_disconnected() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (server, world) = secured(&first, |_| {}).await;
    let mut inside = world.conversation();
    inside.check("ann, bob join realtime:room").await;
    copy(&second, &first);
    let renewed = trusting(&server, &second);
    eventually("the new certificate is shown", async || is_trusted(&renewed).await).await;
    // A client of its own: who has been here before resumes its session, and looks at no certificate.
    assert!(!is_trusted(&trusting(&server, &first)).await, "and the old one is not");
    inside
        .check(
            r#"
            ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
            bob < [null,null,"realtime:room","broadcast",{"event":"hi"}]
            "#,
        )
        .await;
    server.stop().await;
}

/// Whether the gauge for a bad pair is up.
async fn complains(world: &World) -> bool {
    world.send(Request::get("/metrics")).await.text().contains("\nrealtime_tls_reload_failed 1\n")
}

#[tokio::test]
async fn a_pair_that_is_no_good_changes_nothing_and_is_told() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (server, world) = secured(&first, |_| {}).await;
    let key = fs::read(first.key_file()).expect("a file");
    for bad in [&b"nothing like a key"[..], &fs::read(second.key_file()).expect("a file"), b""] {
        replace(&first, "key.pem", bad);
        eventually("the gauge goes up", async || complains(&world).await).await;
        replace(&first, "key.pem", &key);
        eventually("the gauge goes down", async || !complains(&world).await).await;
    }
    fs::remove_file(first.cert_file()).expect("removed");
    eventually("the gauge goes up", async || complains(&world).await).await;
    assert!(is_trusted(&world).await, "the old one is in use");
    server.stop().await;
}

// As Kubernetes mounts a Secret: cert.pem -> ..data/cert.pem, ..data -> ..1.
#[tokio::test]
async fn certificates_of_a_kubernetes_secret_are_renewed() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let mounted = tempfile::tempdir().expect("a folder");
    let turn = |to: &Path| {
        let (fresh, link) = (mounted.path().join("..data_tmp"), mounted.path().join("..data"));
        symlink(to, &fresh).expect("a link");
        fs::rename(fresh, link).expect("the link is turned");
    };
    turn(first.folder());
    for name in ["cert.pem", "key.pem"] {
        symlink(Path::new("..data").join(name), mounted.path().join(name)).expect("a link");
    }
    let server = World::with(|settings| {
        settings.server.tls.cert_file = Some(mounted.path().join("cert.pem"));
        settings.server.tls.key_file = Some(mounted.path().join("key.pem"));
    })
    .await;
    assert!(is_trusted(&trusting(&server, &first)).await);
    turn(second.folder());
    let renewed = trusting(&server, &second);
    eventually("the new certificate is shown", async || is_trusted(&renewed).await).await;
    server.stop().await;
}
