//! The open connections of a tenant, so that all of them can be notified or disconnected.

use std::sync::{Arc, Weak};

use hub::Outbox;
use parking_lot::Mutex;
use slab::Slab;

/// How many connections are looked up at once.
const PAGE: usize = 64;

/// Outboxes of all open connections.
#[derive(Debug, Default)]
pub struct Sockets(Arc<Mutex<Slab<Arc<Outbox>>>>);

/// A connection's entry in the list; dropping it removes the entry.
#[derive(Debug)]
pub struct SocketRegistration {
    sockets: Arc<Mutex<Slab<Arc<Outbox>>>>,
    number: usize,
}

impl Sockets {
    /// Adds a connection to the list.
    pub fn register(&self, outbox: Arc<Outbox>) -> SocketRegistration {
        let number = self.0.lock().insert(outbox);
        SocketRegistration { sockets: Arc::clone(&self.0), number }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A page of them, beginning at `first`, and where the next one begins: the list is locked only briefly, and the
    /// caller can yield in between. A connection that is open from beginning to end is in one of the pages.
    pub fn page(&self, first: usize) -> (Vec<Arc<Outbox>>, Option<usize>) {
        let (sockets, next) = (self.0.lock(), first + PAGE);
        let page = (first..next).filter_map(|number| sockets.get(number).map(Arc::clone)).collect();
        (page, (next < sockets.capacity()).then_some(next))
    }

    /// The outboxes of all present connections, weakly, so that no queue outlives its connection.
    pub fn outboxes(&self) -> Vec<Weak<Outbox>> {
        self.0.lock().iter().map(|(_, outbox)| Arc::downgrade(outbox)).collect()
    }
}

impl Drop for SocketRegistration {
    fn drop(&mut self) {
        let mut sockets = self.sockets.lock();
        let outbox = sockets.remove(self.number);
        if sockets.is_empty() {
            *sockets = Slab::new();
        }
        drop(sockets);
        // After the unlock: it may be the last reference to a long queue of frames, which takes a while to free.
        drop(outbox);
    }
}
