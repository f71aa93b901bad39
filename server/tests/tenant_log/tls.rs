//! TLS: what is required on one side and refused on the other, and certificates that are not those expected.

use std::fs;

use harness::{Certificate, Postgres};
use realtime_server::crypto;
use realtime_server::tenants::database::log::{LogError, LogOptions, LogTls};

use crate::reader::{cluster, next_body, open, options, refusal};

/// Makes the database accept TLS only, with this certificate.
fn require_tls(postgres: &Postgres, certificate: &Certificate) {
    postgres.write_file("server.crt", &fs::read(certificate.cert_file()).unwrap());
    postgres.write_file("server.key", &fs::read(certificate.key_file()).unwrap());
    postgres.write_file("pg_hba.conf", b"hostssl all all 127.0.0.1/32 trust\n");
    postgres.sql("ALTER SYSTEM SET ssl = on");
    postgres.sql("SELECT pg_reload_conf()");
}

fn with(postgres: &Postgres, host: &str, tls: LogTls) -> LogOptions {
    LogOptions { host: host.into(), tls, ..options(postgres) }
}

fn verify(certificate: &Certificate) -> LogTls {
    LogTls::Verify { ca_file: Some(certificate.cert_file()) }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let postgres = cluster(&[]);
    let error = refusal(&with(&postgres, "localhost", LogTls::Require)).await;
    assert!(matches!(error, LogError::TlsRefused), "{error}");
    open(&with(&postgres, "localhost", LogTls::Prefer)).await;
}

#[tokio::test]
async fn a_server_with_tls_only_is_reached_by_tls() {
    crypto::install();
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let postgres = cluster(&[]);
    require_tls(&postgres, &certificate);
    let error = refusal(&with(&postgres, "localhost", LogTls::Off)).await;
    assert!(matches!(&error, LogError::Authentication(text) if text.contains("no encryption")), "{error}");
    for (host, tls) in [
        ("localhost", verify(&other)),
        ("localhost", LogTls::Verify { ca_file: None }),
        ("127.0.0.1", verify(&certificate)),
        ("localhost", LogTls::Verify { ca_file: Some(certificate.key_file()) }),
    ] {
        let error = refusal(&with(&postgres, host, tls.clone())).await;
        assert!(matches!(error, LogError::Tls(_)), "{host} {tls:?}: {error}");
    }
    for (host, tls) in
        [("localhost", verify(&certificate)), ("127.0.0.1", LogTls::Require), ("127.0.0.1", LogTls::Prefer)]
    {
        let mut session = open(&with(&postgres, host, tls)).await;
        postgres.sql("INSERT INTO messages VALUES ('encrypted')");
        assert_eq!(next_body(&mut session).await, "encrypted");
        drop(session);
        harness::eventually("the lock is free", async || {
            postgres.sql("SELECT count(*) FROM pg_stat_replication") == "0"
        })
        .await;
    }
}
