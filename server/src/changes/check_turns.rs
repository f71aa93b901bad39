//! Turns of those who ask the database what subscriptions are for: a few at once, and of each client one.
//!
//! A client with many channels delays others by the time of one of its checks, not of all that wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use hub::ConnectionId;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Subscriptions that are checked at once. A thousand clients may come at once, and most connections to the database are for others.
const CHECKS_AT_ONCE: usize = 2;

/// The turns of a tenant. Clients are known by their connections, which may have closed.
pub(super) struct CheckTurns<C: Eq + Hash = Option<ConnectionId>> {
    all: Semaphore,
    /// Of clients that wait, or have one.
    clients: Mutex<HashMap<C, ClientTurns>>,
}

struct ClientTurns {
    turns: Arc<Semaphore>,
    /// How many of the client wait.
    waiting: usize,
}

/// One of a client that waits for its turn.
pub(super) struct WaitingForTurn<'a, C: Eq + Hash = Option<ConnectionId>> {
    all: &'a CheckTurns<C>,
    client: C,
    of_client: Arc<Semaphore>,
}

impl Default for ClientTurns {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(1)), waiting: 0 }
    }
}

impl<C: Eq + Hash> Default for CheckTurns<C> {
    fn default() -> Self {
        Self { all: Semaphore::new(CHECKS_AT_ONCE), clients: Mutex::default() }
    }
}

impl<C: Clone + Eq + Hash> CheckTurns<C> {
    /// One more of a client waits.
    pub(super) fn of(&self, client: C) -> WaitingForTurn<'_, C> {
        let mut clients = self.clients.lock();
        let turns = clients.entry(client.clone()).or_default();
        turns.waiting += 1;
        let of_client = Arc::clone(&turns.turns);
        drop(clients);
        WaitingForTurn { all: self, client, of_client }
    }

    /// Waits for a turn among those of all clients, which ends when it is dropped.
    pub(super) async fn next(&self) -> SemaphorePermit<'_> {
        self.all.acquire().await.expect("it is never closed")
    }

    /// Whether no client waits.
    #[cfg(test)]
    pub(super) fn are_unused(&self) -> bool {
        self.clients.lock().is_empty()
    }
}

impl<C: Eq + Hash> WaitingForTurn<'_, C> {
    /// Waits for a turn among those of the client, which ends when it is dropped.
    pub(super) async fn next_of_client(&self) -> SemaphorePermit<'_> {
        self.of_client.acquire().await.expect("it is never closed")
    }
}

impl<C: Eq + Hash> Drop for WaitingForTurn<'_, C> {
    fn drop(&mut self) {
        let mut clients = self.all.clients.lock();
        if let Some(turns) = clients.get_mut(&self.client) {
            turns.waiting -= 1;
            if turns.waiting == 0 {
                clients.remove(&self.client);
            }
        }
    }
}
