//! How the server of a run is configured: as it ships, with limits raised, and with what a workload adds.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::certificate::Certificate;
use crate::machine::Placement;

/// Limits that are raised, so that the server does not refuse the benchmark. All else is
/// as the product ships. A second tenant is there in every run; only `abuse` lets it send.
const RAISED: &[(&str, &str)] = &[
    ("REALTIME__LIMITS__MAX_CONCURRENT_USERS", "20000"),
    ("REALTIME__LIMITS__MAX_EVENTS_PER_SECOND", "10000000"),
    ("REALTIME__LIMITS__MAX_JOINS_PER_SECOND", "10000000"),
    ("REALTIME__LIMITS__MAX_PRESENCE_EVENTS_PER_SECOND", "10000000"),
    ("REALTIME__SERVER__MAX_CONNECTIONS", "20000"),
    ("REALTIME__TENANTS__NOISY__LIMITS__MAX_EVENTS_PER_SECOND", "500"),
    ("REALTIME__TENANTS__NOISY__LIMITS__MAX_JOINS_PER_SECOND", "500"),
];

/// The secret of the second tenant: that of the first, because what keeps them apart is not the secret.
const NOISY_SECRET: &str = "REALTIME__TENANTS__NOISY__AUTH__JWT_SECRET";

/// Messages and joins that the second tenant may have in a second, as [`RAISED`] says.
pub const NOISY_RATE: u32 = 500;

/// What a server is given beyond what every server of a benchmark is given.
#[derive(Debug, Default)]
pub struct Setup {
    /// The secret of its tokens, when several servers must accept the same ones.
    pub secret: Option<String>,
    /// Variables.
    pub variables: Vec<(&'static str, String)>,
    /// Its `config.toml`.
    pub config: Option<String>,
    /// Its certificate; without one it serves without TLS.
    pub certificate: Option<Certificate>,
    /// The cores it runs on.
    pub placement: Placement,
}

impl Setup {
    /// The command that starts a server with it.
    pub fn server_command(&self, server: &Path, secret: &str, address: SocketAddr) -> Command {
        let mut command = Command::new(server);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REALTIME__") {
                command.env_remove(name);
            }
        }
        command.arg("serve").envs(RAISED.iter().copied());
        command.env("JWT_SECRET", secret).env(NOISY_SECRET, secret);
        command.env("HOST", "127.0.0.1").env("PORT", address.port().to_string());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Logs go to a file rather than a pipe without a reader: a full pipe would stop the server.
        command.stdout(Stdio::null());
        command
    }
}

/// A random secret.
pub fn random_secret() -> Result<String> {
    let mut random = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
