//! How a hub is put together.

use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use crate::bounds::Bounds;
use crate::marks::OBSERVERS_MAX;
use crate::observer::{Interests, Observer};
use crate::relay::Relay;

/// A hub before it has rooms: its observers are chosen here, for good.
#[derive(Debug)]
pub struct HubBuilder {
    coalesce: Duration,
    observers: Vec<Arc<Observer>>,
    relay: Option<Relay>,
}

impl HubBuilder {
    /// A hub without observers. Presence changes of one room within `coalesce` are announced together.
    pub fn new(coalesce: Duration) -> Self {
        Self { coalesce, observers: Vec::new(), relay: None }
    }

    /// Adds an observer, which is notified of what it is interested in within `bounds`.
    ///
    /// # Panics
    /// If there are too many observers. They are constants of the program, so this fails at its start.
    pub fn observe(&mut self, interests: Interests, bounds: Bounds) -> Arc<Observer> {
        assert!(self.observers.len() < OBSERVERS_MAX, "a hub has at most {OBSERVERS_MAX} observers");
        let observer = Arc::new(Observer::new(interests, bounds, self.observers.len() as u32));
        self.observers.push(Arc::clone(&observer));
        observer
    }

    /// Shares the rooms with other nodes. At most `bounds` of messages wait to be published to them.
    #[must_use]
    pub fn relayed(mut self, bounds: Bounds) -> Self {
        self.relay = Some(Relay::new(self.observe(Relay::INTERESTS, bounds)));
        self
    }

    /// The hub, without rooms.
    pub fn build(self) -> Arc<Hub> {
        Arc::new(Hub::with(self.coalesce, self.observers.into(), self.relay))
    }
}
