//! Key sets fetched over TLS: which certificates the program trusts, and what it logs about others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use harness::ServerProcess;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// The key of RFC 8037's example.
const KEYS: &str = r#"{"keys":[{"kid":"one","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A provider with a self-signed certificate.
struct Provider {
    url: String,
    /// Holds `cert.pem`.
    folder: TempDir,
}

impl Provider {
    fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("cert.pem"), cert.pem()).expect("a file");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports them")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key matches");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("https://localhost:{}/jwks", listener.local_addr().expect("an address").port());
        let config = Arc::new(config);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that does not trust the certificate closes the connection.
                let _closed = respond(Arc::clone(&config), stream);
            }
        });
        Self { url, folder }
    }
}

/// Reads a request and responds with the keys.
fn respond(config: Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).expect("a good configuration");
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{KEYS}", KEYS.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A server that fetches its keys from a provider.
struct Serve {
    process: ServerProcess,
    address: SocketAddr,
    _folder: TempDir,
}

impl Serve {
    /// Trusts the certificates in this file, if any, instead of the system's.
    fn fetching_from(provider: &Provider, trusted: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
        command.env("REALTIME__AUTH__JWKS_URL", &provider.url);
        command.env("REALTIME__SERVER__CONNECT_ERROR_BACKOFF", "0s");
        if let Some(file) = trusted {
            command.env("SSL_CERT_FILE", provider.folder.path().join(file));
        }
        let process = ServerProcess::start(command);
        let address = process.listening();
        Self { process, address, _folder: folder }
    }

    /// The response to a handshake whose token names the provider's key, with an invalid signature.
    fn handshake(&self) -> String {
        let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
        let token = format!("{}.{}.AAAA", part(r#"{"alg":"EdDSA","kid":"one"}"#), part("{}"));
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let request = format!(
            "GET /socket/websocket?apikey={token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("text");
        response
    }
}

#[test]
fn a_provider_that_the_system_trusts_is_accepted() {
    let provider = Provider::start();
    let serve = Serve::fetching_from(&provider, Some("cert.pem"));
    let response = serve.handshake();
    assert!(response.contains("Failed to validate JWT signature"), "the key is known: {response}");
}

#[test]
fn an_untrusted_provider_is_refused_and_the_log_has_the_reason() {
    let provider = Provider::start();
    let serve = Serve::fetching_from(&provider, None);
    let response = serve.handshake();
    assert!(response.contains("Failed to generate JWT signer for key ID"), "{response}");
    let line = serve.process.log_line("JwksUnavailable");
    assert!(line.contains("certificate") && line.contains(&provider.url), "{line}");
}

// A container image may have no certificates.
#[test]
fn without_certificates_it_starts_and_logs_what_is_missing() {
    let provider = Provider::start();
    let serve = Serve::fetching_from(&provider, Some("missing.pem"));
    let line = serve.process.log_line("JwksUnavailable");
    assert!(line.contains("ertificate"), "{line}");
    assert!(serve.handshake().contains("Failed to generate JWT signer for key ID"));
}
