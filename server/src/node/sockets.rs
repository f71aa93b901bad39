//! How many connections a node accepts: a permit for each, within what the settings and the open files allow.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use super::Node;
use crate::addresses;
use crate::permit::Permit;

/// Sockets beyond the WebSocket limit, for health checks, HTTP and refusals.
pub const SPARE_SOCKETS: usize = 1_024;

impl Node {
    /// A permit for one more TCP connection, if there is one.
    pub fn acquire_socket(&self) -> Option<Permit> {
        self.sockets.acquire(self.max_sockets())
    }

    /// A permit for one more TCP connection of those reserved for health checks, if there is one.
    pub fn acquire_reserved_socket(&self) -> Option<Permit> {
        self.reserved_sockets.acquire(self.settings().server.reserved_sockets.get())
    }

    /// A permit for one more TCP connection of the internal listener, if there is one.
    pub fn acquire_internal_socket(&self) -> Option<Permit> {
        self.internal_sockets.acquire(self.settings().server.internal.max_connections.get())
    }

    /// What `client` counts as in limits per address; `None` if they do not apply to it.
    pub fn client_network(&self, client: IpAddr) -> Option<IpAddr> {
        let settings = self.settings();
        let is_limited = !settings.server.is_unlimited(client.to_canonical());
        is_limited.then(|| addresses::prefix(client, settings.server.ipv6_prefix_length))
    }

    /// Maximum of TCP connections that are not WebSockets from one address (`server.max_sockets_per_address`).
    pub fn max_sockets_per_address(&self) -> NonZeroUsize {
        let max = self.settings().server.max_sockets_per_address;
        let of_others = self.max_sockets().saturating_sub(self.connections());
        max.or(NonZeroUsize::new(of_others / 4)).unwrap_or(NonZeroUsize::MIN)
    }

    fn max_sockets(&self) -> usize {
        let wanted = self.settings().server.max_connections.get().saturating_add(SPARE_SOCKETS);
        wanted.min(self.socket_files())
    }

    /// Maximum of WebSockets. If there are too few descriptors for them, a quarter of the sockets is left to HTTP.
    pub(super) fn max_connections(&self) -> usize {
        let files = self.socket_files();
        self.settings().server.max_connections.get().min(files - SPARE_SOCKETS.min(files / 4))
    }

    /// Descriptors for sockets other than the reserved ones and those of the internal listener.
    fn socket_files(&self) -> usize {
        self.open_files.sockets(self.settings().server.extra_sockets())
    }

    /// Whether there is room for one more WebSocket.
    pub fn has_room_for_connection(&self) -> bool {
        self.connections.in_use() < self.max_connections()
    }

    /// A permit for one more WebSocket, if there is one.
    pub fn acquire_connection(&self) -> Option<Permit> {
        self.connections.acquire(self.max_connections())
    }

    /// How many WebSockets a tenant may have while one that it is about to get is counted
    /// (`server.max_connections_percent_per_tenant`).
    pub fn max_connections_of_tenant(&self) -> usize {
        let others_and_its = self.connections().saturating_sub(1);
        let free = self.max_connections().saturating_sub(others_and_its);
        hub::share(free, self.settings().server.max_connections_percent_per_tenant)
    }

    /// Open TCP connections.
    pub fn open_sockets(&self) -> usize {
        self.sockets.in_use() + self.reserved_sockets.in_use() + self.internal_sockets.in_use()
    }

    /// Open TCP connections to the internal listener.
    pub fn internal_sockets(&self) -> usize {
        self.internal_sockets.in_use()
    }

    /// Open WebSockets.
    pub fn connections(&self) -> usize {
        self.connections.in_use()
    }
}
