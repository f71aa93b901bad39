//! `[server.internal]`: a listener of its own for operators, and for the programs that watch the server.
//!
//! Load balancers, the kubelet and Prometheus often connect from the same networks as clients. On the main listener these are
//! either networks of `server.proxy_protocol_from`, from which each connection must begin with a header, or they are not; and
//! health checks and scrapes send no header.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Server;

/// A second listener, for operators and the programs that watch the server: without TLS, and without PROXY protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InternalListener {
    /// Address to bind. Unset: `server.host`.
    #[schemars(extend("x-reload" = "restart"))]
    pub host: Option<IpAddr>,

    /// TCP port to bind for health checks, `/metrics`, `/status`, `/admin/…` and `/api/tenants`, with the tokens that they need
    /// on the main port, where they stay (`exclusive`). It speaks neither TLS nor the PROXY protocol, answers what clients request with 404,
    /// and is open until the very end of a stop. Clients should not reach it. 0 takes a free one. Unset: there is none.
    #[schemars(extend("x-reload" = "restart"))]
    pub port: Option<u16>,

    /// Whether `/metrics`, `/status`, `/admin/…` and `/api/tenants` are found at this port alone. Health checks stay on the main
    /// port too. For a load balancer that cannot filter paths, such as a Network Load Balancer.
    #[schemars(extend("x-reload" = "restart"))]
    pub exclusive: bool,

    /// Maximum of TCP connections to this port, beyond those that `server.max_connections` allows. For a further one, one that
    /// waits for a request is closed, of the address with the most; if none waits, it is answered with 503.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: NonZeroUsize,
}

impl Default for InternalListener {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            exclusive: false,
            max_connections: NonZeroUsize::new(64).expect("not zero"),
        }
    }
}

impl Server {
    /// The address of the main listener.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// The address of the internal listener, if there is one.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.port.map(|port| SocketAddr::new(self.internal.host.unwrap_or(self.host), port))
    }

    /// TCP connections beyond those that clients have: reserved for health checks, and to the internal listener.
    pub fn extra_sockets(&self) -> usize {
        let internal = self.internal.port.map_or(0, |_| self.internal.max_connections.get());
        self.reserved_sockets.get().saturating_add(internal)
    }

    /// Whether both listeners would bind the same port of one address.
    pub(crate) fn listeners_collide(&self) -> bool {
        let main = self.address();
        self.internal_address().is_some_and(|internal| {
            let shares_address = main.ip() == internal.ip()
                || [main, internal].iter().any(|address| address.ip().is_unspecified());
            main.port() != 0 && main.port() == internal.port() && shares_address
        })
    }
}
