//! The other end of a socket.

use std::net::IpAddr;

use crate::permit::Permit;

/// The other end of a socket.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its address; the client's address where a load balancer has sent it.
    pub(super) address: IpAddr,
    _socket: Permit,
}

impl Caller {
    pub(super) fn new(address: IpAddr, socket: Permit) -> Self {
        // Where IPv4 comes through an IPv6 socket, it is still IPv4.
        Self { address: address.to_canonical(), _socket: socket }
    }
}
