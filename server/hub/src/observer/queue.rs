//! The events of an observer, those of each tenant in order.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::bounds::Bounds;
use crate::fair_queue::{FairQueue, MESSAGE_BYTES, Quantum};
use crate::marks::Mark;
use crate::room::Room;
use crate::room_event::RoomEvent;
use crate::wakers::Wakers;

/// Obsolete events are removed when there are so many and they are a quarter of the queue.
pub(super) const OBSOLETE_KEPT: usize = 64;

/// A turn is a few small messages, so that another tenant's wait is short, or one bundle.
const QUANTUM: Quantum = Quantum { per_turn: 16 * 1024, per_item: 256 };

#[derive(Debug)]
pub(super) struct Queue {
    /// Selects the observer's marks in each room.
    number: u32,
    events: FairQueue<Arc<str>, RoomEvent>,
    /// The number of obsolete events in `events`.
    obsolete: usize,
    waker: Option<Waker>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds, number: u32) -> Self {
        Self { number, events: FairQueue::new(bounds, QUANTUM), obsolete: 0, waker: None }
    }

    /// Queues an event that is never dropped.
    pub(super) fn insert(&mut self, event: RoomEvent, wakers: &mut Wakers) {
        let tenant = Arc::clone(event.tenant());
        self.events.insert(&tenant, event);
        wakers.extend(self.waker.take());
    }

    /// Queues an event that counts against the bounds.
    ///
    /// # Errors
    /// The event, if it does not fit the share of its tenant.
    pub(super) fn offer(&mut self, event: RoomEvent, wakers: &mut Wakers) -> Result<(), RoomEvent> {
        let (tenant, bytes) = (Arc::clone(event.tenant()), event.bounded_bytes().unwrap_or_default());
        self.events.offer(&tenant, MESSAGE_BYTES + bytes, event)?;
        wakers.extend(self.waker.take());
        Ok(())
    }

    /// Takes the next events, or keeps `waker` if there is none. Those about closed rooms go into `obsolete`. A change of
    /// presence is the last one: how much it is shows when it is read from the room.
    pub(super) fn take(
        &mut self,
        max: Bounds,
        waker: &Waker,
        obsolete: &mut Vec<RoomEvent>,
    ) -> Vec<RoomEvent> {
        let mut taken = Vec::with_capacity(self.events.len().min(max.frames as usize));
        let mut bytes = 0_usize;
        while taken.len() < max.frames as usize && bytes < max.bytes {
            let Some(event) = self.pop() else { break };
            if event.is_obsolete(self.number) {
                obsolete.push(event);
                continue;
            }
            bytes = bytes.saturating_add(event.bounded_bytes().unwrap_or_default());
            let is_read_later = matches!(event, RoomEvent::PresenceChanged(_));
            taken.push(event);
            if is_read_later {
                break;
            }
        }
        if taken.is_empty() {
            self.waker = Some(waker.clone());
        }
        taken
    }

    fn pop(&mut self) -> Option<RoomEvent> {
        let event = self.events.pop()?;
        self.obsolete -= usize::from(event.is_obsolete(self.number));
        match &event {
            RoomEvent::RoomOpened(room) => {
                room.marks.clear(self.number, Mark::OpenedQueued);
                room.marks.set(self.number, Mark::Known);
            }
            RoomEvent::PresenceChanged(room) => room.marks.clear(self.number, Mark::PresenceQueued),
            _ => {}
        }
        Some(event)
    }

    pub(super) fn charge(&mut self, tenant: &Arc<str>, bytes: usize) {
        self.events.charge(tenant, bytes);
    }

    /// Removes the events that count against the bounds.
    pub(super) fn remove_bounded(&mut self) -> Vec<RoomEvent> {
        self.events.remove_unless(|event| event.bounded_bytes().is_none())
    }

    /// So many events have become obsolete. Returns the obsolete ones if they are too many, to be dropped without the
    /// lock.
    pub(super) fn note_obsolete(&mut self, more: usize) -> Vec<RoomEvent> {
        self.obsolete += more;
        if self.obsolete <= OBSOLETE_KEPT.max(self.events.len() / 4) {
            return Vec::new();
        }
        self.obsolete = 0;
        self.events.remove_unless(|event| !event.is_obsolete(self.number))
    }

    pub(super) fn opened_until(&self, until: Instant) -> Vec<Arc<Room>> {
        let opened = self.events.iter().filter_map(|event| match event {
            RoomEvent::RoomOpened(room) => Some(room),
            _ => None,
        });
        opened.filter(|room| room.opened_at() <= until).cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    #[cfg(test)]
    pub(super) fn obsolete(&self) -> usize {
        self.obsolete
    }
}
