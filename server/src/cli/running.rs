//! The address of the running server: kept in the data folder while it runs, for its health check.
//!
//! The settings on disk may differ from it: a bad edit changes nothing for the running server, and a new port waits for a
//! restart. Neither makes the server unhealthy.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use settings::Settings;
use settings::file_access::{self, SizeLimit};

/// The file in the data folder.
const FILE: &str = "running.json";

/// The address of a server, and how to connect to it.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Running {
    /// As reached from this machine.
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    /// As in the settings: the networks whose connections begin with a PROXY protocol header.
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

    /// Reads what the server with the data folder `folder` has written there.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&file_access::read(&folder.join(FILE), SizeLimit::SETTINGS).ok()?).ok()
    }

    /// Writes it into `folder`; dropping the result removes it.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(super) fn keep(&self, folder: &Path) -> io::Result<Kept> {
        fs::create_dir_all(folder)?;
        let kept = Kept(folder.join(FILE));
        // Renamed into place, so that no reader finds half of it.
        let new = kept.0.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, &kept.0)?;
        Ok(kept)
    }
}

/// Removes the file when the server ends.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        // If it stays behind, the health check finds that the address does not answer.
        let _gone = fs::remove_file(&self.0);
    }
}
