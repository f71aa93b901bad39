//! The address of the running server: kept in the data folder while it runs, for its health check.
//!
//! The settings on disk may differ from it: a bad edit changes nothing for the running server, and a new port waits for a
//! restart. Neither makes the server unhealthy.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
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
    /// The internal listener, as reached from this machine.
    #[serde(default)]
    pub(super) internal: Option<SocketAddr>,
    /// Whether operators have only the internal listener.
    #[serde(default)]
    pub(super) exclusive: bool,
}

impl Running {
    /// A server with these settings that listens on `address`, and for operators on `internal`.
    pub(super) fn new(settings: &Settings, address: SocketAddr, internal: Option<SocketAddr>) -> Self {
        let local = |address: SocketAddr| SocketAddr::new(super::reachable(address.ip()), address.port());
        Self {
            address: local(address),
            internal: internal.map(local),
            exclusive: settings.server.internal.exclusive,
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
        file_access::create_folder(folder)?;
        let (file, contents) = (folder.join(FILE), serde_json::to_vec(self)?);
        // Renamed into place, so that no reader finds half of it.
        let new = file.with_extension("new");
        let mut opened = file_access::open(&new, OpenOptions::new().write(true).create(true).truncate(true))?;
        let kept = Kept(file.clone());
        file_access::within_deadline(&file.clone(), move || {
            opened.write_all(&contents)?;
            fs::rename(&new, &file)
        })?;
        Ok(kept)
    }
}

/// Removes the file when the server ends.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        // If it stays behind, the health check finds that the address does not answer.
        let file = self.0.clone();
        let _gone = file_access::within_deadline(&self.0, || fs::remove_file(file));
    }
}
