//! The open connections of a tenant, so that all of them can be told something.

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

    /// All of them, a page at a time, so that the list is locked only briefly and whoever goes through it can
    /// let others work in between. Everybody who is there from beginning to end is met.
    pub fn pages(&self) -> impl Iterator<Item = Vec<Arc<Outbox>>> {
        (0..).step_by(PAGE).map_while(|first| {
            let sockets = self.0.lock();
            (first < sockets.capacity()).then(|| {
                (first..first + PAGE).filter_map(|number| sockets.get(number).map(Arc::clone)).collect()
            })
        })
    }

    /// The outboxes of everybody who is connected now, held so that nobody's queue outlives its connection.
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
        // Only now: it may be the last to hold a long queue of frames, and the others wait for the lock.
        drop(outbox);
    }
}
