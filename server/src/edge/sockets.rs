//! TCP connections that are not WebSockets: how many there may be, of which address, and which is closed for another one.
//!
//! A connection holds a permit of the server and one of its address. While it waits for a request it can be closed: if the
//! server has no permit left, one of the address with the most gives up its permit to the new one. So clients that only
//! open connections close each other's, and those with a request or a WebSocket stay. Only if the memory for connections is
//! used up and none waits, one with a request is closed, of the address that has the most of these.
//!
//! A new connection does not wait yet: its request may have arrived, and a busy node may need seconds to look. Until then it
//! is closed only for an address that has fewer of these, if none waits.
//! One with a request does not wait before the client has accepted the whole response.
//!
//! A connection for which there is no permit, even so, is accepted with one of a few that are reserved for health checks
//! (`server.reserved_sockets`). Its request has to arrive within a shorter time, and is refused if it is not a health
//! check. When these are used up, one is closed in the same way; when the share of an address is, one of that address.
//!
//! Connections of the internal listener have permits of their own (`server.internal.max_connections`), since they are how
//! operators see what is wrong while clients take all others. They are few, so there is memory for them in any case.

mod socket;
mod waiting;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use hub::{MemoryCharge, MemoryKind};
use parking_lot::Mutex;
use tracing::warn;

use self::waiting::Waiting;
use super::listener_kind::ListenerKind;
use crate::addresses::Addresses;
use crate::node::Node;
use crate::permit::Permit;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::line_limits::LineKind;

pub(super) use self::socket::{BusySocket, Socket, SocketPermits};

/// The part of the reserved connections that one address may have: a quarter.
const RESERVE_SHARES: usize = 4;

/// The connections of a listener that are not WebSockets.
pub(super) struct SocketTable {
    node: Arc<Node>,
    listener: ListenerKind,
    usual: Class,
    reserved: Class,
    /// What each of them takes.
    bytes: usize,
}

/// Connections of one kind.
#[derive(Default)]
struct Class {
    by_address: Addresses,
    /// Those that were never read.
    unseen: Mutex<Waiting>,
    /// Those that wait for a request.
    waiting: Mutex<Waiting>,
    /// Those with a request.
    busy: Mutex<Waiting>,
}

impl Class {
    /// Closes one for another one of `network`: one that waits, or one that was never read of an address with more of these.
    fn close_one_for(&self, network: Option<IpAddr>) -> Option<Held> {
        let closed = self.waiting.lock().close_one();
        closed.or_else(|| self.unseen.lock().close_one_of_more_than(network))
    }

    /// Closes one of `network`.
    fn close_one_of(&self, network: Option<IpAddr>) -> Option<Held> {
        let closed = self.waiting.lock().close_first_of(network);
        closed.or_else(|| self.unseen.lock().close_first_of(network))
    }
}

/// What a connection holds.
struct Held {
    purpose: Purpose,
    /// What the client's address counts as; `None` if that is not known yet, or not limited.
    network: Option<IpAddr>,
    of_server: Permit,
    _of_address: Option<Permit>,
}

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Every request.
    Any,
    /// Health checks only.
    HealthChecks(Shortage),
}

/// Why a connection is refused, or is for health checks only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The server has as many connections as it may have, and none that waits for a request.
    Server,
    /// Its address has `server.max_sockets_per_address`.
    Address,
    /// The memory for connections is used up, and none is closed for it.
    Memory,
    /// The internal listener has `server.internal.max_connections`, and none that waits for a request.
    Internal,
}

impl Shortage {
    /// The code that is reported, and whose text is the response.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Server => Code::ServerConnectionLimitReached,
            Self::Address => Code::AddressSocketLimitReached,
            Self::Memory => Code::ConnectionMemoryLimitReached,
            Self::Internal => Code::InternalConnectionLimitReached,
        }
    }
}

impl SocketTable {
    /// A table without connections, each of which will take `bytes` of memory.
    pub(super) fn new(node: Arc<Node>, listener: ListenerKind, bytes: usize) -> Arc<Self> {
        Arc::new(Self { node, listener, usual: Class::default(), reserved: Class::default(), bytes })
    }

    /// Counts a new connection; `network` is `None` if its address is not known yet, or not limited.
    ///
    /// # Errors
    /// When there is no permit for it. That is counted here.
    pub(super) fn admit(self: &Arc<Self>, network: Option<IpAddr>) -> Result<Arc<Socket>, Shortage> {
        let (held, memory) = match self.listener {
            ListenerKind::Main | ListenerKind::Clients => self.admit_client(network)?,
            ListenerKind::Internal => (self.internal(network)?, self.charge_anyway()),
        };
        Ok(Socket::unseen(Arc::clone(self), held, memory))
    }

    fn admit_client(&self, network: Option<IpAddr>) -> Result<(Held, MemoryCharge), Shortage> {
        let held = self.usual(network).and_then(|held| Ok((held, self.charge_connection(network)?)));
        // There is always memory for health checks, which are few.
        held.or_else(|shortage| Ok((self.reserved(network, shortage)?, self.charge_anyway())))
    }

    /// The charge for a connection for which there is memory in any case.
    fn charge_anyway(&self) -> MemoryCharge {
        self.node.common_memory.charge(MemoryKind::Connections, self.bytes)
    }

    /// A permit of the internal listener, for which another connection is closed if necessary. If none waits, it is one with a
    /// request, of the address that has the most of these: otherwise one that reads no responses could keep supervisors out, which
    /// then end the server.
    fn internal(&self, network: Option<IpAddr>) -> Result<Held, Shortage> {
        let of_server = self.node.acquire_internal_socket().or_else(|| {
            let busy = || self.usual.busy.lock().close_one_of_more_than(network);
            let closed = self.usual.close_one_for(network).or_else(busy)?;
            self.count_closed(&closed);
            Some(closed.of_server)
        });
        let Some(of_server) = of_server else {
            self.count_refused(Shortage::Internal);
            return Err(Shortage::Internal);
        };
        Ok(Held { purpose: Purpose::Any, network, of_server, _of_address: None })
    }

    /// The charge for one more connection of `network`, for which others are closed if necessary. If none waits, it is one with
    /// a request, of the address that has the most of these: otherwise one address could take all the memory for connections.
    fn charge_connection(&self, network: Option<IpAddr>) -> Result<MemoryCharge, Shortage> {
        let (memory, bytes) = (&self.node.common_memory, self.bytes);
        let has_room = memory.has_room_for_connection(bytes)
            || self.close(|usual| usual.close_one_for(network))
            || self.close(|usual| usual.busy.lock().close_one_of_more_than(network));
        if !has_room {
            memory.count_refusal(MemoryKind::Connections);
            return Err(Shortage::Memory);
        }
        Ok(memory.charge(MemoryKind::Connections, bytes))
    }

    /// A charge for a head, for which connections that wait are closed. Each gives back its memory when its task ends.
    fn charge_head_for_others(&self, bytes: usize) -> Option<MemoryCharge> {
        let needed = bytes.div_ceil(self.bytes);
        // Asked first, so that none is closed in vain.
        if !self.usual.waiting.lock().has(needed) {
            self.node.common_memory.count_refusal(MemoryKind::Receiving);
            return None;
        }
        for _ in 0..needed {
            self.close(|usual| usual.waiting.lock().close_one());
        }
        Some(self.node.common_memory.charge(MemoryKind::Receiving, bytes))
    }

    /// Closes a connection for another one, if `choose` finds one.
    fn close(&self, choose: impl FnOnce(&Class) -> Option<Held>) -> bool {
        let closed = choose(&self.usual);
        closed.iter().for_each(|closed| self.count_closed(closed));
        closed.is_some()
    }

    fn usual(&self, network: Option<IpAddr>) -> Result<Held, Shortage> {
        let of_address = match network {
            Some(network) => Some(self.of_address(network)?),
            None => None,
        };
        let of_server = self.node.acquire_socket().or_else(|| {
            let closed = self.usual.close_one_for(network)?;
            self.count_closed(&closed);
            Some(closed.of_server)
        });
        let of_server = of_server.ok_or(Shortage::Server)?;
        Ok(Held { purpose: Purpose::Any, network, of_server, _of_address: of_address })
    }

    fn of_address(&self, network: IpAddr) -> Result<Permit, Shortage> {
        let max = self.node.max_sockets_per_address();
        self.usual.by_address.acquire(network, Some(max)).ok_or(Shortage::Address)
    }

    fn reserved(&self, network: Option<IpAddr>, shortage: Shortage) -> Result<Held, Shortage> {
        let max = self.node.settings().server.reserved_sockets.get().div_ceil(RESERVE_SHARES);
        let purpose = Purpose::HealthChecks(shortage);
        let acquire = || match network {
            Some(network) => self.reserved.by_address.acquire(network, NonZeroUsize::new(max)).map(Some),
            None => Some(None),
        };
        let of_address = acquire().or_else(|| {
            drop(self.reserved.close_one_of(network));
            acquire()
        });
        let of_server = of_address.is_some().then(|| {
            let closed = || self.reserved.close_one_for(network).map(|closed| closed.of_server);
            self.node.acquire_reserved_socket().or_else(closed)
        });
        match (of_address, of_server.flatten()) {
            (Some(_of_address), Some(of_server)) => Ok(Held { purpose, network, of_server, _of_address }),
            _ => {
                self.count_refused(shortage);
                Err(shortage)
            }
        }
    }

    /// Counts a connection that is closed for another one.
    fn count_closed(&self, closed: &Held) {
        let metrics = &self.node.metrics;
        metrics.node.sockets_closed_early.increment(1);
        if metrics.line_limits.admit(LineKind::ClosedEarly) {
            warn!(client_address = closed.network.map(tracing::field::display), "{}", LineKind::ClosedEarly);
        }
    }

    /// Counts a connection that is refused.
    pub(super) fn count_refused(&self, shortage: Shortage) {
        let (metrics, code) = (&self.node.metrics.node, shortage.code());
        self.node.reports.record(code.at(Scope::Http), code.text());
        match shortage {
            Shortage::Server | Shortage::Memory | Shortage::Internal => metrics.sockets_refused.increment(1),
            Shortage::Address => metrics.sockets_refused_by_address.increment(1),
        }
    }

    fn class(&self, purpose: Purpose) -> &Class {
        match purpose {
            Purpose::Any => &self.usual,
            Purpose::HealthChecks(_) => &self.reserved,
        }
    }
}
