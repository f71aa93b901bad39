//! Where the running server is to be found: kept in the data folder while it runs, for its health check.
//!
//! The settings on disk may say something else by then: a bad edit changes nothing for the running server, and
//! a new port waits for a restart. Neither makes it ill.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use settings::Settings;

/// Of a data folder.
const FILE: &str = "running.json";

/// Where a server is, and how to speak to it.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Running {
    /// Seen from this machine.
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// As in the settings: who has to begin with a PROXY protocol header.
    pub(super) proxy_protocol_from: Vec<String>,
}

impl Running {
    /// A server with these settings that listens on `address`.
    pub(super) fn new(settings: &Settings, address: SocketAddr) -> Self {
        Self {
            address: SocketAddr::new(super::reachable(address.ip()), address.port()),
            tls: settings.server.tls.cert_file.is_some(),
            proxy_protocol_from: settings.server.proxy_protocol_from.clone(),
        }
    }

    /// What the server that keeps its data in `folder` has left there.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// Leaves it in `folder` for as long as the result lives.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(super) fn keep(&self, folder: &Path) -> io::Result<Kept> {
        fs::create_dir_all(folder)?;
        let kept = Kept(folder.join(FILE));
        // Whoever reads meanwhile finds the old one or the new one, and never half of it.
        let new = kept.0.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, &kept.0)?;
        Ok(kept)
    }
}

/// Goes with the server.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        // What is left behind misleads nobody for long: nobody answers there.
        let _gone = fs::remove_file(&self.0);
    }
}
