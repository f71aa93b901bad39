//! A certificate for `localhost`, made for one test and trusted by its clients only.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// A certificate and its key, in files of a temporary folder that is removed on drop.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Generates a certificate and writes its files.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new() -> Certificate {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        write("cert.pem", &cert.pem());
        write("key.pem", &signing_key.serialize_pem());
        // HAProxy reads certificate and key from one file.
        write("both.pem", &format!("{}{}", cert.pem(), signing_key.serialize_pem()));
        Certificate { folder, der: cert.der().clone() }
    }

    /// The folder with `cert.pem`, `key.pem`, and `both.pem`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// File of the certificate.
    pub fn cert_file(&self) -> PathBuf {
        self.folder().join("cert.pem")
    }

    /// File of its key.
    pub fn key_file(&self) -> PathBuf {
        self.folder().join("key.pem")
    }

    /// Sets the files in the settings of a server.
    pub fn install(&self, settings: &mut settings::Settings) {
        settings.server.tls.cert_file = Some(self.cert_file());
        settings.server.tls.key_file = Some(self.key_file());
    }

    /// A client that trusts this certificate and no other.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client_with(&[&tokio_rustls::rustls::version::TLS13, &tokio_rustls::rustls::version::TLS12])
    }

    /// As [`Certificate::client`], limited to these versions of TLS.
    ///
    /// # Panics
    /// When the certificate cannot be parsed.
    pub fn client_with(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Certificate {
    /// A server with this certificate that speaks one of these protocols.
    ///
    /// # Panics
    /// When the files cannot be parsed.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_file(self.key_file()).expect("a key");
        let builder = ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![self.der.clone()], key).expect("they belong together");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
