//! TCP connections that are not WebSockets: how many there may be, of which address, and which is closed for another one.
//!
//! A connection holds a permit of the server and one of its address. While it waits for a request it can be closed: if the
//! server has no permit left, one of the address with the most gives up its permit to the new one. So clients that only
//! open connections close each other's, and those with a request or a WebSocket stay.
//!
//! A connection for which there is no permit, even so, is accepted with one of a few that are reserved for health checks
//! (`server.reserved_sockets`). Its request has to arrive within a shorter time, and is refused if it is not a health
//! check. When these are used up, one is closed in the same way; when the share of an address is, one of that address.

mod waiting;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use hub::{MemoryCharge, MemoryKind, TenantMemory};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::waiting::{Position, Waiting};
use crate::addresses::Addresses;
use crate::node::Node;
use crate::permit::Permit;
use crate::telemetry::codes::{Code, Scope};

/// The part of the reserved connections that one address may have: a quarter.
const RESERVE_SHARES: usize = 4;

/// Bytes of a head for which every connection has a buffer.
const HEAD_BYTES_IN_CONNECTION: usize = 8 * 1024;

/// The connections of the listener that are not WebSockets.
pub(super) struct SocketTable {
    node: Arc<Node>,
    usual: Class,
    reserved: Class,
    /// What each of them takes.
    bytes: usize,
}

/// Connections of one kind.
#[derive(Default)]
struct Class {
    by_address: Addresses,
    waiting: Mutex<Waiting>,
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
    /// The memory for connections is used up, and none waits for a request.
    Memory,
}

impl Shortage {
    /// The code that is reported, and whose text is the response.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Server => Code::ServerConnectionLimitReached,
            Self::Address => Code::AddressSocketLimitReached,
            Self::Memory => Code::ConnectionMemoryLimitReached,
        }
    }
}

/// A connection that is counted; dropping it returns its permits.
pub(super) struct Socket {
    sockets: Arc<SocketTable>,
    state: Mutex<State>,
    closing: Arc<Notify>,
    _memory: MemoryCharge,
    /// For a head that is larger than the buffer that every connection has.
    head: Mutex<Vec<MemoryCharge>>,
}

enum State {
    /// Among those of its class, which hold the permits.
    Waiting(Purpose, Position),
    /// It has a request.
    Busy(Held),
    /// It has been closed for another one, or is a WebSocket now.
    Gone,
}

/// A request of a connection, which does not wait until this is dropped.
pub(super) struct BusySocket(Arc<Socket>);

impl SocketTable {
    /// A table without connections, each of which will take `bytes` of memory.
    pub(super) fn new(node: Arc<Node>, bytes: usize) -> Arc<Self> {
        Arc::new(Self { node, usual: Class::default(), reserved: Class::default(), bytes })
    }

    /// Counts a new connection; `network` is `None` if its address is not known yet, or not limited. It waits for a
    /// request from now on.
    ///
    /// # Errors
    /// When there is no permit for it. That is counted here.
    pub(super) fn admit(self: &Arc<Self>, network: Option<IpAddr>) -> Result<Arc<Socket>, Shortage> {
        let held = self.usual(network).and_then(|held| Ok((held, self.charge_connection()?)));
        let (held, _memory) = held.or_else(|shortage| {
            // There is always memory for health checks, which are few.
            let memory = self.node.common_memory.charge(MemoryKind::Connections, self.bytes);
            Ok((self.reserved(network, shortage)?, memory))
        })?;
        let closing = Arc::default();
        let state = Mutex::new(self.wait(held, &closing));
        let head = Mutex::default();
        Ok(Arc::new(Socket { sockets: Arc::clone(self), state, closing, _memory, head }))
    }

    /// The charge for one more connection, for which others are closed if necessary.
    fn charge_connection(&self) -> Result<MemoryCharge, Shortage> {
        let (memory, bytes) = (&self.node.common_memory, self.bytes);
        let kind = MemoryKind::Connections;
        let charge = memory.has_room_for_connection(bytes).then(|| memory.charge(kind, bytes));
        charge.or_else(|| self.charge_for_others(kind, bytes)).ok_or(Shortage::Memory)
    }

    /// A charge for which connections that wait are closed. Each gives back its memory when its task ends.
    fn charge_for_others(&self, kind: MemoryKind, bytes: usize) -> Option<MemoryCharge> {
        for _ in 0..bytes.div_ceil(self.bytes) {
            if self.usual.waiting.lock().close_one().is_none() {
                self.node.common_memory.count_refusal(kind);
                return None;
            }
            self.node.metrics.node.sockets_closed_early.increment(1);
        }
        Some(self.node.common_memory.charge(kind, bytes))
    }

    fn usual(&self, network: Option<IpAddr>) -> Result<Held, Shortage> {
        let of_address = match network {
            Some(network) => Some(self.of_address(network)?),
            None => None,
        };
        let of_server = self.node.acquire_socket().or_else(|| {
            let closed = self.usual.waiting.lock().close_one()?;
            self.node.metrics.node.sockets_closed_early.increment(1);
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
        let mut waiting = self.reserved.waiting.lock();
        let acquire = || match network {
            Some(network) => self.reserved.by_address.acquire(network, NonZeroUsize::new(max)).map(Some),
            None => Some(None),
        };
        let of_address = acquire().or_else(|| {
            drop(waiting.close_first_of(network));
            acquire()
        });
        let of_server = of_address.is_some().then(|| {
            let closed = || waiting.close_one().map(|closed| closed.of_server);
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

    /// Counts a connection that is refused.
    pub(super) fn count_refused(&self, shortage: Shortage) {
        let (metrics, code) = (&self.node.metrics.node, shortage.code());
        self.node.reports.record(code.at(Scope::Http), code.text());
        match shortage {
            Shortage::Server | Shortage::Memory => metrics.sockets_refused.increment(1),
            Shortage::Address => metrics.sockets_refused_by_address.increment(1),
        }
    }

    fn class(&self, purpose: Purpose) -> &Class {
        match purpose {
            Purpose::Any => &self.usual,
            Purpose::HealthChecks(_) => &self.reserved,
        }
    }

    fn wait(&self, held: Held, closing: &Arc<Notify>) -> State {
        let purpose = held.purpose;
        State::Waiting(purpose, self.class(purpose).waiting.lock().push(held, closing))
    }

    /// What the connection in `state` holds; `None` if it was closed for another one.
    fn take(&self, state: &mut State) -> Option<Held> {
        match std::mem::replace(state, State::Gone) {
            State::Waiting(purpose, position) => self.class(purpose).waiting.lock().take(&position),
            State::Busy(held) => Some(held),
            State::Gone => None,
        }
    }
}

impl Socket {
    /// Ready when the connection is to be closed for another one.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Counts the connection by the address that a load balancer has sent.
    ///
    /// # Errors
    /// When there is no permit for it, which is counted here.
    pub(super) fn count_by(&self, network: IpAddr) -> Result<(), Shortage> {
        let (sockets, mut state) = (&self.sockets, self.state.lock());
        let Some(held) = sockets.take(&mut state) else { return Err(Shortage::Server) };
        let held = match (held.purpose, sockets.of_address(network)) {
            (Purpose::Any, Ok(of_address)) => {
                Held { network: Some(network), _of_address: Some(of_address), ..held }
            }
            (Purpose::Any, Err(shortage)) | (Purpose::HealthChecks(shortage), _) => {
                drop(held);
                sockets.reserved(Some(network), shortage)?
            }
        };
        *state = sockets.wait(held, &self.closing);
        Ok(())
    }

    /// Time within which the head of a request must arrive, and before that what precedes it.
    pub(super) fn head_timeout(&self) -> Duration {
        let settings = self.sockets.node.settings();
        match self.purpose() {
            Purpose::Any => settings.server.handshake_timeout,
            Purpose::HealthChecks(_) => {
                settings.server.reserved_timeout.min(settings.server.handshake_timeout)
            }
        }
    }

    /// What it may be used for. One that is gone is of no use.
    pub(super) fn purpose(&self) -> Purpose {
        match &*self.state.lock() {
            State::Waiting(purpose, _) => *purpose,
            State::Busy(held) => held.purpose,
            State::Gone => Purpose::HealthChecks(Shortage::Server),
        }
    }

    /// The connection has a request.
    pub(super) fn begin_request(self: &Arc<Self>) -> BusySocket {
        let mut state = self.state.lock();
        if let Some(held) = self.sockets.take(&mut state) {
            *state = State::Busy(held);
        }
        drop(state);
        BusySocket(Arc::clone(self))
    }

    /// Charges memory for a head of which so many bytes have been read, and keeps it until the connection ends, as hyper keeps
    /// its buffer. Returns whether there is any; if not, that is reported.
    #[must_use]
    pub(super) fn charge_head(&self, bytes: usize) -> bool {
        // A buffer is doubled when it is full, and always has room for a further read.
        let wanted = if bytes > HEAD_BYTES_IN_CONNECTION { bytes.next_power_of_two() * 2 } else { 0 };
        let (sockets, mut head) = (&self.sockets, self.head.lock());
        let more = wanted.saturating_sub(head.iter().map(MemoryCharge::bytes).sum());
        if more == 0 {
            return true;
        }
        let charge = sockets.node.common_memory.try_charge(MemoryKind::Receiving, more);
        let Some(charge) = charge.or_else(|| sockets.charge_for_others(MemoryKind::Receiving, more)) else {
            let code = Code::MemoryLimitReached;
            sockets.node.reports.record(code.at(Scope::Http), code.text());
            return false;
        };
        head.push(charge);
        true
    }

    /// Whether a tenant has memory for this connection to become a WebSocket, which takes less than it does now.
    pub(super) fn fits(&self, memory: &TenantMemory) -> bool {
        memory.has_room_for_connection(self.sockets.bytes)
    }

    /// Counts a request that is refused.
    pub(super) fn count_refused(&self, shortage: Shortage) {
        self.sockets.count_refused(shortage);
    }

    /// The permit of the server, for a connection that becomes a WebSocket, which is counted by its address as such.
    /// `None` if it was closed for another one.
    pub(super) fn upgrade(&self) -> Option<Permit> {
        self.sockets.take(&mut self.state.lock()).map(|held| held.of_server)
    }
}

impl Drop for BusySocket {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Busy(held) => *state = self.0.sockets.wait(held, &self.0.closing),
            unchanged => *state = unchanged,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(self.sockets.take(self.state.get_mut()));
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}
