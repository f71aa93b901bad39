//! The open connections of a tenant, so that all of them can be told something.

use std::sync::{Arc, Weak};

use hub::{Goodbye, Outbox};
use parking_lot::Mutex;
use slab::Slab;

/// Outboxes of all open connections.
#[derive(Debug, Default)]
pub struct Sockets(Arc<Mutex<Slab<Arc<Outbox>>>>);

/// A connection's entry; dropping it takes the connection off the list.
#[derive(Debug)]
pub struct Ticket {
    sockets: Arc<Mutex<Slab<Arc<Outbox>>>>,
    number: usize,
}

impl Sockets {
    /// Adds a connection.
    pub fn enter(&self, outbox: Arc<Outbox>) -> Ticket {
        let number = self.0.lock().insert(outbox);
        Ticket { sockets: Arc::clone(&self.0), number }
    }

    /// The outboxes of everybody who is connected now, held so that nobody's queue outlives its connection.
    pub fn everybody(&self) -> Vec<Weak<Outbox>> {
        self.0.lock().iter().map(|(_, outbox)| Arc::downgrade(outbox)).collect()
    }

    /// Asks every connection to close.
    pub fn say_goodbye(&self, goodbye: &Goodbye) {
        // Copied out first: a goodbye wakes its connection, and nothing is woken under a lock.
        let outboxes: Vec<_> = self.0.lock().iter().map(|(_, outbox)| Arc::clone(outbox)).collect();
        for outbox in outboxes {
            outbox.say_goodbye(goodbye.clone());
        }
    }
}

impl Drop for Ticket {
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
