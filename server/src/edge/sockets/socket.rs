//! One TCP connection that is counted: whether it waits or has a request, and what it holds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hub::{MemoryCharge, MemoryKind, TenantMemory};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::waiting::Position;
use super::{Held, Purpose, Shortage, SocketTable};
use crate::node::BufferGrant;
use crate::permit::Permit;
use crate::telemetry::codes::{Code, Scope};

/// Bytes of a head for which every connection has a buffer.
const HEAD_BYTES_IN_CONNECTION: usize = 8 * 1024;

/// A connection that is counted; dropping it returns its permits.
pub(in crate::edge) struct Socket {
    sockets: Arc<SocketTable>,
    state: Mutex<State>,
    closing: Arc<Notify>,
    _memory: MemoryCharge,
    /// What the kernel may hold for it.
    buffers: Mutex<Option<BufferGrant>>,
    /// For a head that is larger than the buffer that every connection has.
    head: Mutex<Vec<MemoryCharge>>,
}

/// What a connection has of the server's sockets and of their buffers.
pub(in crate::edge) type SocketPermits = (Permit, Option<BufferGrant>);

enum State {
    /// It was never read, and is among those of its class.
    Unseen(Purpose, Position),
    /// Among those of its class, which hold the permits.
    Waiting(Purpose, Position),
    /// It has a request, and is among those of its class that have one.
    Busy(Purpose, Position),
    /// It has been closed for another one, or is a WebSocket now.
    Gone,
}

/// A request of a connection, which does not wait for the next one until this is dropped.
pub(in crate::edge) struct BusySocket(Arc<Socket>);

impl Socket {
    /// A connection that was never read.
    pub(super) fn unseen(sockets: Arc<SocketTable>, held: Held, memory: MemoryCharge) -> Arc<Self> {
        let closing = Arc::default();
        let purpose = held.purpose;
        let position = sockets.class(purpose).unseen.lock().push(held, &closing);
        let state = Mutex::new(State::Unseen(purpose, position));
        Arc::new(Self {
            sockets,
            state,
            closing,
            _memory: memory,
            buffers: Mutex::default(),
            head: Mutex::default(),
        })
    }

    /// Has the kernel hold no more for the connection than there is room for.
    pub(in crate::edge) fn limit_buffers(&self, stream: &TcpStream) {
        let node = &self.sockets.node;
        let grant = node.socket_buffers.limit(stream, &node.settings().server, node.memory_limit());
        *self.buffers.lock() = Some(grant);
    }

    /// Ready when the connection is to be closed for another one.
    pub(in crate::edge) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// What closes the connection when it is notified.
    pub(in crate::edge) fn closing_notify(&self) -> Arc<Notify> {
        Arc::clone(&self.closing)
    }

    /// The connection was read, and there is no request yet.
    pub(in crate::edge) fn wait_for_request(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Unseen(..))
            && let Some(held) = self.sockets.take(&mut state)
        {
            *state = self.sockets.wait(held, &self.closing);
        }
    }

    /// Counts the connection by the address that a load balancer has sent.
    ///
    /// # Errors
    /// When there is no permit for it, which is counted here.
    pub(in crate::edge) fn count_by(&self, network: IpAddr) -> Result<(), Shortage> {
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
    pub(in crate::edge) fn head_timeout(&self) -> Duration {
        let settings = self.sockets.node.settings();
        match self.purpose() {
            Purpose::Any => settings.server.handshake_timeout,
            Purpose::HealthChecks(_) => {
                settings.server.reserved_timeout.min(settings.server.handshake_timeout)
            }
        }
    }

    /// What it may be used for. One that is gone is of no use.
    pub(in crate::edge) fn purpose(&self) -> Purpose {
        match &*self.state.lock() {
            State::Unseen(purpose, _) | State::Waiting(purpose, _) | State::Busy(purpose, _) => *purpose,
            State::Gone => Purpose::HealthChecks(Shortage::Server),
        }
    }

    /// The connection has a request.
    pub(in crate::edge) fn begin_request(self: &Arc<Self>) -> BusySocket {
        let mut state = self.state.lock();
        if let Some(held) = self.sockets.take(&mut state) {
            let purpose = held.purpose;
            let position = self.sockets.class(purpose).busy.lock().push(held, &self.closing);
            *state = State::Busy(purpose, position);
        }
        drop(state);
        BusySocket(Arc::clone(self))
    }

    /// Charges memory for a head of which so many bytes have been read, and keeps it until the connection ends, as hyper keeps
    /// its buffer. Returns whether there is any; if not, that is reported.
    #[must_use]
    pub(in crate::edge) fn charge_head(&self, bytes: usize) -> bool {
        // A buffer is doubled when it is full, and always has room for a further read.
        let wanted = if bytes > HEAD_BYTES_IN_CONNECTION { bytes.next_power_of_two() * 2 } else { 0 };
        let (sockets, mut head) = (&self.sockets, self.head.lock());
        let more = wanted.saturating_sub(head.iter().map(MemoryCharge::bytes).sum());
        if more == 0 {
            return true;
        }
        let charge = sockets.node.common_memory.try_charge(MemoryKind::Receiving, more);
        let Some(charge) = charge.or_else(|| sockets.charge_head_for_others(more)) else {
            let code = Code::MemoryLimitReached;
            sockets.node.reports.record(code.at(Scope::Http), code.text());
            return false;
        };
        head.push(charge);
        true
    }

    /// Whether a tenant has memory for this connection to become a WebSocket. It takes less then than what is charged for it
    /// now, so it needs no more of what is reserved for connections.
    pub(in crate::edge) fn fits(&self, memory: &TenantMemory) -> bool {
        memory.has_room_for_connection(0)
    }

    /// Counts a request that is refused.
    pub(in crate::edge) fn count_refused(&self, shortage: Shortage) {
        self.sockets.count_refused(shortage);
    }

    /// The permit of the server and what the kernel may hold, for a connection that becomes a WebSocket, which is counted by
    /// its address as such. `None` if it was closed for another one.
    pub(in crate::edge) fn upgrade(&self) -> Option<SocketPermits> {
        let held = self.sockets.take(&mut self.state.lock())?;
        Some((held.of_server, self.buffers.lock().take()))
    }
}

impl SocketTable {
    /// The connection waits for a request, and is closed for another one through `closing`.
    fn wait(&self, held: Held, closing: &Arc<Notify>) -> State {
        let purpose = held.purpose;
        State::Waiting(purpose, self.class(purpose).waiting.lock().push(held, closing))
    }

    /// What the connection in `state` holds; `None` if it was closed for another one.
    fn take(&self, state: &mut State) -> Option<Held> {
        match std::mem::replace(state, State::Gone) {
            State::Unseen(purpose, position) => self.class(purpose).unseen.lock().take(&position),
            State::Waiting(purpose, position) => self.class(purpose).waiting.lock().take(&position),
            State::Busy(purpose, position) => self.class(purpose).busy.lock().take(&position),
            State::Gone => None,
        }
    }
}

impl Drop for BusySocket {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Busy(..)) {
            // `None` if it was closed for another one.
            if let Some(held) = self.0.sockets.take(&mut state) {
                *state = self.0.sockets.wait(held, &self.0.closing);
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(self.sockets.take(self.state.get_mut()));
    }
}

impl std::fmt::Debug for BusySocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BusySocket").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}
