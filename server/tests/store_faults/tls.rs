//! TLS to PostgreSQL: what is required on one side and refused on the other, and certificates that are not those expected.

use std::fs;

use futures_util::future::join_all;
use harness::{Certificate, Postgres};
use serde_json::json;

use crate::node::Node;

/// A node on a database by this name of its host.
fn node(postgres: &Postgres, host: &str, mode: &str, ca: Option<&Certificate>) -> Node {
    let url = postgres.url().replace("127.0.0.1", host);
    let ca = ca.map(|ca| ca.cert_file().display().to_string());
    let mut variables = vec![("DATABASE_URL", &*url), ("REALTIME__STORE__TLS_MODE", mode)];
    variables.extend(ca.as_deref().map(|file| ("REALTIME__STORE__TLS_CA_FILE", file)));
    Node::with(&variables)
}

/// The node says why it cannot use its store, and serves what it knows without it.
async fn is_refused(node: Node, why: &str) {
    let line = node.outage();
    assert!(line.contains("ERROR") && line.contains(why), "no {why:?} in {line}");
    node.until_unusable().await;
    assert_eq!(node.put("acme", json!({})).await.status, 503);
    assert_eq!(node.handshake("acme").await, 503);
}

/// Makes the database accept TLS only, with this certificate.
fn require_tls(postgres: &Postgres, certificate: &Certificate) {
    postgres.write_file("server.crt", &fs::read(certificate.cert_file()).unwrap());
    postgres.write_file("server.key", &fs::read(certificate.key_file()).unwrap());
    postgres.write_file("pg_hba.conf", b"hostssl all all 127.0.0.1/32 trust\n");
    postgres.sql("ALTER SYSTEM SET ssl = on");
    postgres.sql("SELECT pg_reload_conf()");
}

#[tokio::test]
async fn both_sides_have_to_agree() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let postgres = Postgres::alone(&[]);
    let without = "does not support TLS";
    let refused = [
        (node(&postgres, "localhost", "require", None), without),
        (node(&postgres, "localhost", "verify", Some(&certificate)), without),
        // With a CA that means the same.
        (node(&postgres, "localhost", "auto", Some(&certificate)), without),
    ];
    join_all(refused.map(|(node, why)| is_refused(node, why))).await;

    require_tls(&postgres, &certificate);
    let refused = [
        (node(&postgres, "localhost", "off", None), "no encryption"),
        (node(&postgres, "localhost", "verify", Some(&other)), "invalid peer certificate"),
        (node(&postgres, "localhost", "verify", None), "invalid peer certificate"),
        (node(&postgres, "127.0.0.1", "verify", Some(&certificate)), "not valid for name"),
    ];
    join_all(refused.map(|(node, why)| is_refused(node, why))).await;
    for (host, mode, ca) in [
        ("localhost", "verify", Some(&certificate)),
        ("127.0.0.1", "require", None),
        ("127.0.0.1", "auto", None),
    ] {
        let node = node(&postgres, host, mode, ca);
        node.create("acme").await;
        node.until_usable().await;
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                         WHERE application_name = 'supabase_mt_realtime'";
        assert_eq!(postgres.sql(encrypted), "t", "{mode}");
    }
}
