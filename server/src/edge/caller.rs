//! The other end of a socket.

use std::net::IpAddr;
use std::sync::Arc;

use hub::Payer;

use super::sockets::Socket;

/// The other end of a socket.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its address; the client's address where a load balancer has sent it.
    pub(super) address: IpAddr,
    /// What the address counts as in limits per address; `None` if they do not apply to it.
    pub(super) network: Option<IpAddr>,
    /// The socket, among those that are no WebSockets.
    pub(super) socket: Arc<Socket>,
    /// Whom its time is charged to: a tenant, from when the token of a request is verified until the response.
    pub(super) payer: Arc<Payer>,
}

impl Caller {
    pub(super) fn new(
        address: IpAddr,
        network: Option<IpAddr>,
        socket: Arc<Socket>,
        payer: Arc<Payer>,
    ) -> Self {
        // Where IPv4 comes through an IPv6 socket, it is still IPv4.
        Self { address: address.to_canonical(), network, socket, payer }
    }
}
