//! A receipt for being in a room. Dropping it leaves.
//!
//! So no way of ending a connection, a topic or a task can forget to leave, and what a member tracked
//! is gone from the room the moment it is.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::frame::Encode;
use crate::hub::Hub;
use crate::presence::PresenceEntry;
use crate::room::{Audience, Delivery, Missed, Room};

/// One member of one room.
#[derive(Debug)]
pub struct Membership {
    pub(crate) hub: Arc<Hub>,
    pub(crate) room: Arc<Room>,
    pub(crate) slot: usize,
}

impl Membership {
    /// Adds `event` to what this member is going to send to `audience`.
    pub fn gather(&self, event: &impl Encode, audience: Audience, bundle: &mut Bundle) {
        let outsiders = usize::from(audience == Audience::Others);
        self.room.gather(event, outsiders, bundle, self.hub.departures.as_ref());
    }

    /// Sends what was gathered to the room, in order with everything else this member sends.
    pub fn publish(&self, bundle: Bundle, audience: Audience) -> Delivery {
        let except = (audience == Audience::Others).then_some(self.slot);
        self.room.publish(bundle, except, self.hub.departures.as_ref())
    }

    /// Shows `entry` to the room instead of whatever this member showed before.
    pub fn track(&self, entry: PresenceEntry) {
        self.room.track(self.slot, entry, &self.hub);
    }

    /// Whether the others have been told of what it shows now.
    pub fn is_announced(&self) -> bool {
        self.room.is_announced(self.slot)
    }

    /// Shows nothing any more.
    pub fn untrack(&self) {
        self.room.untrack(self.slot, &self.hub);
    }

    /// Asks for everybody present; `tag` comes back in the [`StateRequest`](crate::StateRequest).
    pub fn request_state(&self, tag: &str) {
        self.room.request_state(self.slot, tag, &self.hub);
    }

    /// What this member has missed since last asked.
    pub fn take_missed(&self) -> Missed {
        self.room.take_missed(self.slot)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.room.leave(self.slot, &self.hub);
        self.hub.left(&self.room);
    }
}
