//! A guard for being a member of a room. Dropping it leaves the room.
//!
//! So no path that ends a connection, a topic or a task can forget to leave, and what a member tracked is
//! removed in the same moment.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::bundle::Bundle;
use crate::frame::{Encode, Frame};
use crate::history::Keep;
use crate::hub::Hub;
use crate::member::{Member, Receives};
use crate::presence::EntryRefusal;
use crate::presence_entry::PresenceEntry;
use crate::replaying::Replayed;
use crate::room::{Audience, Delivery, Missed, Room};
use crate::topic::RoomKey;

/// One member of one room.
#[derive(Debug)]
pub struct Membership {
    hub: Arc<Hub>,
    room: Arc<Room>,
    slot: usize,
}

impl Hub {
    /// Makes `member` a member of the room and queues `reply` for it, before any message of the room. With a
    /// relay, the joins of a room that has just opened are pending until they are
    /// [confirmed](Self::confirm_joins): their members receive nothing until then, not even the reply.
    pub fn join(self: &Arc<Self>, key: RoomKey, member: Member, reply: &Frame) -> Membership {
        let (room, slot) = self.enter(key, member, Some(reply));
        Membership { hub: Arc::clone(self), room, slot }
    }

    /// As [`join`](Self::join), for a member that is to be sent earlier messages first: what the room sends to it waits,
    /// within the half of its outbox's bounds, until the replay [ends](Membership::end_replay).
    pub fn join_replaying(self: &Arc<Self>, key: RoomKey, member: Member) -> Membership {
        let (room, slot) = self.enter(key, member, None);
        Membership { hub: Arc::clone(self), room, slot }
    }
}

/// Waits until the joins of a room are confirmed, as long as the membership exists.
#[derive(Debug)]
#[must_use]
pub struct JoinConfirmation(Arc<Room>);

impl Future for JoinConfirmation {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_confirmed(context.waker())
    }
}

impl Membership {
    /// The room, and this member's slot there.
    pub(crate) fn place(&self) -> (&Arc<Room>, usize) {
        (&self.room, self.slot)
    }

    /// The identity of the room.
    pub fn key(&self) -> &Arc<RoomKey> {
        self.room.key()
    }

    /// Whether the reply to its join was queued: until the joins of the room are confirmed, what is sent to this member in
    /// another way would overtake it.
    pub fn is_confirmed(&self) -> bool {
        self.room.is_confirmed()
    }

    /// Waits until the join is confirmed: what is published in the room from then on reaches this member.
    pub fn confirmation(&self) -> JoinConfirmation {
        JoinConfirmation(Arc::clone(&self.room))
    }

    /// Ends the replay with which this member has joined. `reply` is queued, and after it what the room has sent meanwhile,
    /// without the messages that were `replayed`: those are in `reply`. They are not delivered later either.
    pub fn end_replay(&self, reply: &Frame, replayed: Replayed) {
        self.room.end_replay(self.slot, reply, replayed);
    }

    /// Adds `event` to the messages that this member is going to publish to `audience`.
    pub fn gather(&self, event: &impl Encode, audience: Audience, bundle: &mut Bundle) {
        let excluded = usize::from(audience == Audience::Others);
        self.room.gather(event, excluded, bundle, Some(&*self.hub), None);
    }

    /// As [`gather`](Self::gather), for an event that the room keeps from the moment in which the members receive it. All
    /// that is kept of one bundle is kept in one history.
    pub fn gather_kept(&self, event: &impl Encode, audience: Audience, bundle: &mut Bundle, keep: Keep<'_>) {
        let excluded = usize::from(audience == Audience::Others);
        self.room.gather(event, excluded, bundle, Some(&*self.hub), Some(keep));
    }

    /// Publishes the gathered messages, in order with everything else that this member publishes.
    pub fn publish(&self, bundle: Bundle, audience: Audience) -> Delivery {
        let except = (audience == Audience::Others).then_some(self.slot);
        // The room has a member, and so is open.
        self.room.publish(bundle, except, Some(&*self.hub)).unwrap_or_default()
    }

    /// Tracks `entry`, which replaces what this member tracked before, whatever the room shows already.
    ///
    /// # Panics
    /// When the tenant would use more memory than it may: for accounts without a limit.
    pub fn track(&self, entry: PresenceEntry) {
        let tracked = self.track_within(usize::MAX, entry);
        tracked.expect("neither the room nor the account has a limit");
    }

    /// Tracks `entry`, which replaces what this member tracked before, in a room that shows at most `bytes_max`. What
    /// other nodes show counts, and is never refused.
    ///
    /// # Errors
    /// When the room would show more, or the tenant would use more memory than it may. What was tracked before stays.
    pub fn track_within(&self, bytes_max: usize, entry: PresenceEntry) -> Result<(), EntryRefusal> {
        self.room.track(self.slot, entry, bytes_max, &*self.hub)
    }

    /// Whether the entry that this member tracks now has been announced.
    pub fn is_announced(&self) -> bool {
        self.room.is_announced(self.slot)
    }

    /// Removes the entry that this member tracks.
    pub fn untrack(&self) {
        self.room.untrack(self.slot, &*self.hub);
    }

    /// Requests the presence state. `tag` is returned in the [`StateRequest`](crate::StateRequest).
    pub fn request_state(&self, tag: &str) {
        self.room.request_state(self.slot, tag, &*self.hub);
    }

    /// Changes what this member receives from now on.
    pub fn set_receives(&self, receives: Receives) {
        self.room.set_receives(self.slot, receives);
    }

    /// What this member has missed since the last call.
    pub fn take_missed(&self) -> Missed {
        self.room.take_missed(self.slot)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.hub.exit(&self.room, self.slot);
    }
}
