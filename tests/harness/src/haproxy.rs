//! A real HAProxy on a free port, for tests with a load balancer in front of the server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};

use crate::WAIT_MAX;
use crate::endpoint::Endpoint;

/// Where Debian installs it; only root has this directory in its `PATH`.
const PROGRAM: &str = "/usr/sbin/haproxy";

/// Timeouts longer than any test, and no retries.
const DEFAULTS: &str = "
defaults
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    retries 0
";

/// A running HAProxy, killed on drop.
#[derive(Debug)]
pub struct Haproxy {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Haproxy {
    /// Starts HAProxy. `sections` gets the address to bind and returns the rest of the configuration.
    ///
    /// # Panics
    /// When HAProxy is not installed (`tests/install` does it), or does not start.
    pub async fn start(sections: impl FnOnce(SocketAddr) -> String) -> Haproxy {
        assert!(Path::new(PROGRAM).exists(), "HAProxy is not installed: run tests/install");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("haproxy.cfg");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        std::fs::write(&file, format!("{DEFAULTS}{}", sections(address))).expect("a file");
        let mut command = Command::new(PROGRAM);
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        let child = command.spawn().expect("HAProxy runs");
        let mut haproxy = Haproxy { child, address, _folder: folder };
        timeout(WAIT_MAX, haproxy.listens()).await.expect("HAProxy listens in time");
        haproxy
    }

    /// The endpoint that leads through it.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::at(self.address)
    }

    async fn listens(&mut self) {
        while TcpStream::connect(self.address).await.is_err() {
            let ended = self.child.try_wait().expect("our child");
            assert!(ended.is_none(), "HAProxy has exited: its output is above");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _may_have_exited = self.child.kill();
        let _reaped = self.child.wait();
    }
}
