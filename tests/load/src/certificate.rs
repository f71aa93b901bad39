//! A self-signed certificate for the server, made for one run, and clients that trust no other.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The name in the certificate.
const SERVER_NAME: &str = "localhost";

/// The client's side of a connection.
pub fn session(config: &Arc<ClientConfig>) -> Result<ClientConnection> {
    Ok(ClientConnection::new(Arc::clone(config), ServerName::try_from(SERVER_NAME)?)?)
}

/// Certificate, key, and the clients' side of it.
#[derive(Debug)]
pub struct Certificate {
    cert: String,
    key: String,
    /// Each connection makes a handshake of its own.
    pub client: Arc<ClientConfig>,
}

impl Certificate {
    /// A new one.
    pub fn generate() -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Ok(Self { cert: cert.pem(), key: signing_key.serialize_pem(), client: Arc::new(client) })
    }

    /// Writes both into this folder. Returns the settings that name them.
    pub fn write_to(&self, folder: &Path) -> Result<[(&'static str, String); 2]> {
        let files = [
            ("REALTIME__SERVER__TLS__CERT_FILE", "cert.pem", &self.cert),
            ("REALTIME__SERVER__TLS__KEY_FILE", "key.pem", &self.key),
        ];
        for (_, name, text) in files {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(files.map(|(variable, name, _)| (variable, folder.join(name).display().to_string())))
    }
}
