//! The servers that a command may talk to: the one of the settings, and the one that a running server has recorded.
//!
//! Both, because the settings on disk may have changed since the running server read them, and because a server that was killed
//! leaves its record behind.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use http::Uri;
use settings::Settings;

use super::http_client::Trust;
use super::running::Running;
use crate::edge::networks::Networks;

/// The usual data directories, searched when the settings cannot be read.
const USUAL_DIRECTORIES: [&str; 2] = ["data", "/var/lib/realtime"];

/// A server, and how to connect to it.
#[derive(Debug)]
pub(super) struct Target {
    /// What all paths are appended to.
    pub(super) base: Uri,
    /// From which it expects a PROXY header.
    pub(super) proxies: Networks,
    /// Who it may be, if it has to be who the settings say.
    pub(super) trust: Trust,
    /// Its internal listener, which speaks neither TLS nor the PROXY protocol.
    internal: Option<SocketAddr>,
    /// Whether operators have only that one (`server.internal.exclusive`).
    exclusive: bool,
}

impl Target {
    /// The server at this address, of any machine.
    pub(super) fn at(base: Uri) -> Self {
        Self { base, proxies: Networks::default(), trust: Trust::System, internal: None, exclusive: false }
    }

    /// The same server where it serves operators: by the main listener, whose certificate is verified, unless they have only the
    /// internal one.
    ///
    /// # Errors
    /// When its address makes no URL.
    pub(super) fn for_operators(self) -> anyhow::Result<Self> {
        if self.exclusive { self.internally() } else { Ok(self) }
    }

    /// The same server by its internal listener, if it has one.
    ///
    /// # Errors
    /// When its address makes no URL.
    pub(super) fn internally(self) -> anyhow::Result<Self> {
        match self.internal {
            Some(address) => Ok(Self { base: base("http", address)?, proxies: Networks::default(), ..self }),
            None => Ok(self),
        }
    }

    /// The address of a path.
    ///
    /// # Errors
    /// When they make no URL.
    pub(super) fn url(&self, path: &str) -> anyhow::Result<Uri> {
        let base = self.base.to_string();
        format!("{}{path}", base.trim_end_matches('/')).parse().context("the settings give no valid URL")
    }
}

/// The servers for these settings, the one of the settings first.
///
/// # Errors
/// When the settings cannot be used and no server runs, or they let the system choose the port.
pub(super) fn find(config: &super::Config) -> anyhow::Result<Vec<Target>> {
    let loaded = config.load();
    let running = match &loaded {
        Ok(settings) => Running::find(&settings.server.data_dir),
        Err(_) => USUAL_DIRECTORIES.iter().find_map(|directory| Running::find(directory.as_ref())),
    };
    let (mut targets, mut certificate) = (Vec::new(), None);
    match (loaded, &running) {
        (Ok(settings), running) => {
            ensure!(
                settings.server.port != 0 || running.is_some(),
                "the settings let the system choose the port (0), and no running server has recorded its address: use --url"
            );
            if settings.server.port != 0 {
                targets.push(by_settings(&settings));
            }
            certificate = settings.server.tls.cert_file;
        }
        (Err(problems), None) => return Err(problems.into()),
        // The server has rejected them as well, and keeps its old ones.
        (Err(problems), Some(_)) => {
            super::print_stderr(format_args!("the settings cannot be used: {problems}"));
        }
    }
    // Compared as a whole: a change of `proxy_protocol_from` may wait for a restart, as a change of the address does.
    targets.extend(running.filter(|running| !targets.contains(running)));
    targets.iter().map(|running| target(running, certificate.clone())).collect()
}

/// What a server with these settings would record.
fn by_settings(settings: &Settings) -> Running {
    // Without one whose port the system has chosen.
    let internal = settings.server.internal_address().filter(|address| address.port() != 0);
    Running::new(settings, settings.server.address(), internal)
}

fn target(running: &Running, certificate: Option<PathBuf>) -> anyhow::Result<Target> {
    let Running { address, tls, proxy_protocol_from, internal, exclusive } = running;
    let base = base(if *tls { "https" } else { "http" }, *address)?;
    let trust = certificate.map_or(Trust::System, Trust::Certificate);
    let proxies = Networks::parse(proxy_protocol_from)?;
    Ok(Target { base, proxies, trust, internal: *internal, exclusive: *exclusive })
}

fn base(scheme: &str, address: SocketAddr) -> anyhow::Result<Uri> {
    format!("{scheme}://{address}").parse().context("the settings give no valid URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_this_machine() {
        let url = |settings: &Settings| {
            let target = target(&by_settings(settings), None).expect("a target");
            target.url("/health").expect("a URL")
        };
        let mut settings = Settings::default();
        assert_eq!(url(&settings), "http://127.0.0.1:8080/health");
        settings.server.host = "::".parse().expect("an address");
        settings.server.port = 81;
        assert_eq!(url(&settings), "http://[::1]:81/health");
        settings.server.host = "10.0.0.7".parse().expect("an address");
        settings.server.tls.cert_file = Some("cert.pem".into());
        assert_eq!(url(&settings), "https://10.0.0.7:81/health");
    }

    #[test]
    fn paths_are_appended_to_the_path_of_the_address() {
        for base in ["https://a.example/realtime/v1", "https://a.example/realtime/v1/"] {
            let url = Target::at(base.parse().expect("a URL")).url("/api/tenants").expect("a URL");
            assert_eq!(url, "https://a.example/realtime/v1/api/tenants");
        }
    }
}
