//! The buffers that the kernel has for all connections together: what clients have not received yet, and what this server
//! has not read yet.
//!
//! They do not belong to this process, but a container is charged for them. A connection gets those of
//! `server.send_buffer_size` and `server.receive_buffer_size`, but never more than a part of what other connections leave of
//! `server.socket_buffer_budget`: the more connections there are, the smaller the buffers of a new one. So the first do not
//! take everything, and thousands of clients that neither read nor are read cost a known amount. The least that a
//! connection gets is not taken from the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use settings::Server;
use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

use super::MemoryLimit;

/// The divisor of the part of the budget that one connection may have of what is left.
const SHARE_DIVISOR: u64 = 1_024;

/// Bytes that each buffer of a connection has at least, as Linux is told them, unless the settings ask for less. On the
/// loopback interface, where a segment has 64 KiB, 3 MB took 9 s with 32 KiB and 4 ms with 64 KiB.
const LEAST_BYTES: u64 = 64 * 1024;

/// Linux doubles what it is told, for its own records.
const DOUBLED: u64 = 2;

/// The divisor of the part of `server.memory_budget` that is the default of `server.socket_buffer_budget`.
const DEFAULT_DIVISOR: u64 = 2;

/// Counts the bytes that connections may have in the kernel.
#[derive(Debug, Default)]
pub struct SocketBuffers(AtomicU64);

/// The bytes of one connection beyond the least; dropping it gives them back.
#[derive(Debug)]
pub struct BufferGrant {
    buffers: Arc<SocketBuffers>,
    bytes: u64,
}

/// Bytes of the two buffers, as Linux is told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    send: u64,
    receive: u64,
}

impl SocketBuffers {
    /// Bytes that are granted to connections, beyond the least of each.
    pub fn granted(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Gives an accepted connection, which has the buffers of the settings, those for which there is room.
    pub fn limit(
        self: &Arc<Self>,
        stream: &TcpStream,
        settings: &Server,
        memory: MemoryLimit,
    ) -> BufferGrant {
        let wanted = Sizes {
            send: settings.send_buffer_size.as_u64(),
            receive: settings.receive_buffer_size.as_u64(),
        };
        let (sizes, grant) = self.grant(wanted, budget(settings, memory));
        if sizes != wanted {
            let socket = SockRef::from(stream);
            let applied = socket
                .set_send_buffer_size(sizes.send as usize)
                .and_then(|()| socket.set_recv_buffer_size(sizes.receive as usize));
            if let Err(error) = applied {
                // It has been closed: nothing else can fail here.
                debug!("Cannot set the buffers of a connection: {error}");
            }
        }
        grant
    }

    fn grant(self: &Arc<Self>, wanted: Sizes, budget: u64) -> (Sizes, BufferGrant) {
        let beyond_least = |size: u64| size.saturating_sub(LEAST_BYTES);
        let all = DOUBLED * (beyond_least(wanted.send) + beyond_least(wanted.receive));
        let left = budget.saturating_sub(self.granted());
        let bytes = all.min(left / SHARE_DIVISOR);
        // Another one may take its part at the same time. That exceeds the budget by nothing worth a lock.
        self.0.fetch_add(bytes, Ordering::Relaxed);
        let part = |size: u64| match bytes {
            bytes if bytes == all => size,
            bytes => size.min(LEAST_BYTES) + beyond_least(size) * bytes / all,
        };
        let sizes = Sizes { send: part(wanted.send), receive: part(wanted.receive) };
        (sizes, BufferGrant { buffers: Arc::clone(self), bytes })
    }
}

/// The bytes that these settings allow for all connections, beyond the least of each.
fn budget(settings: &Server, memory: MemoryLimit) -> u64 {
    let of_memory = memory.bytes() / DEFAULT_DIVISOR;
    settings.socket_buffer_budget.map_or(of_memory, |budget| budget.as_u64())
}

impl Drop for BufferGrant {
    fn drop(&mut self) {
        self.buffers.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Sizes = Sizes { send: 256 << 10, receive: 128 << 10 };

    #[test]
    fn the_more_connections_there_are_the_smaller_are_the_buffers_of_a_new_one() {
        let (buffers, budget) = (Arc::new(SocketBuffers::default()), 900 << 20);
        let granted: Vec<_> = (0..20_000).map(|_| buffers.grant(WANTED, budget)).collect();
        assert_eq!(granted[0].0, WANTED, "there is enough for one");
        assert!(granted.windows(2).all(|pair| pair[1].0.send <= pair[0].0.send));
        let (last, _) = granted[granted.len() - 1];
        assert_eq!((last.send >> 10, last.receive >> 10), (64, 64));
        assert!(buffers.granted() <= budget);
        assert!(granted[500].0.send > 200 << 10, "hundreds have nearly what they want");
    }

    #[test]
    fn what_a_connection_had_is_there_for_the_next() {
        let buffers = Arc::new(SocketBuffers::default());
        let (first, grant) = buffers.grant(WANTED, 100 << 20);
        assert!(first.send < WANTED.send && buffers.granted() > 0);
        drop(grant);
        assert_eq!(buffers.granted(), 0);
        assert_eq!(buffers.grant(WANTED, 100 << 20).0, first);
    }

    #[test]
    fn without_a_budget_each_connection_has_the_least() {
        let buffers = Arc::new(SocketBuffers::default());
        let (sizes, _grant) = buffers.grant(WANTED, 0);
        assert_eq!(sizes, Sizes { send: LEAST_BYTES, receive: LEAST_BYTES });
        assert_eq!(buffers.granted(), 0);
    }
}
