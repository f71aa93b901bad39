//! Which rooms are listened to, and what is told and read of them first.
//!
//! A room is among [`RoomTable`](super::RoomTable) from when it is listened to, and then what this node shows in it
//! has been told as a whole over this cable, or begins at nothing: only so can news follow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::Room;

use super::{ClusterMessage, Done, LinkSession, READS};
use crate::bus::link::commands;
use crate::bus::{BATCH_MAX, RoomName};

/// RoomTable that are opened together.
#[derive(Debug, Default)]
pub(super) struct Opening {
    names: Vec<RoomName>,
    /// Those that have to be subscribed to.
    unheard: Vec<RoomName>,
}

/// How often it is looked for members who have waited too long, if they may wait for `wait`.
pub(super) fn patience(wait: Duration) -> Duration {
    (wait / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

impl LinkSession<'_, '_> {
    /// Whether there is something to do that can be done in parts.
    pub(super) fn has_more(&self) -> bool {
        self.has_rooms_to_tell() || self.has_rooms_to_read()
    }

    /// Does some of it.
    pub(super) fn do_some(&mut self) {
        if self.refused.is_retelling() {
            self.retell_some();
        } else if self.has_counts_to_tell() {
            self.tell_some_counts();
        } else {
            self.read_some();
        }
    }

    fn has_rooms_to_tell(&self) -> bool {
        self.refused.is_retelling() || self.has_counts_to_tell()
    }

    fn has_rooms_to_read(&self) -> bool {
        self.reads < READS && !(self.returning.is_empty() && self.rereading.is_empty())
    }

    /// Goes on with the rooms that there were before this cable, or of which something was missed.
    fn read_some(&mut self) {
        if self.returning.is_empty() {
            let next = std::iter::from_fn(|| self.rereading.pop_first());
            let names = next.take(BATCH_MAX).collect();
            return self.read(names);
        }
        let mut rooms: Vec<_> = self.returning.drain(..BATCH_MAX.min(self.returning.len())).collect();
        // What has closed meanwhile would never be left: its end may have been heard of already.
        rooms.retain(|room| !room.is_closed());
        let (node, hub) = (self.context.node, &self.context.hub);
        let spoken = rooms.iter().filter(|room| self.is_registered && room.local_snapshot().position.seq > 0);
        let whole: Vec<_> = spoken.map(|room| commands::local_snapshot(node, hub, room.key())).collect();
        let mut opening = Opening::default();
        for room in rooms {
            self.open(room, &mut opening);
        }
        self.listen(opening);
        self.send_wholes(whole);
        self.tell_end();
    }

    /// Tells the peers that this was everything, once it was and all of it has taken effect: until then, what is
    /// missing among the copies says nothing about this node.
    pub(super) fn tell_end(&mut self) {
        if !self.returning.is_empty() {
            return;
        }
        self.has_told = true;
        if self.owes_told && self.is_told_in_full() {
            self.owes_told = false;
            self.say(&ClusterMessage::ResyncEnd);
        }
    }

    /// Whether the peers have been told the whole of every room there was before this cable, or could have been.
    pub(super) fn is_told_in_full(&self) -> bool {
        self.returning.is_empty() && self.unanswered_wholes == 0 && !self.refused.has_untold()
    }

    /// What is shown in the room is to be read once more.
    pub(super) fn read_again(&mut self, name: RoomName) {
        self.rereading.insert(name);
    }

    /// The room has members, who wait. [`listen`](Self::listen) follows.
    pub(super) fn open(&mut self, room: Arc<Room>, opening: &mut Opening) {
        let deadline = room.opened_at() + self.context.settings.subscribe_timeout;
        let (name, is_new) = self.rooms.open(room, deadline);
        opening.unheard.extend(is_new.then(|| Arc::clone(&name)));
        opening.names.push(name);
    }

    /// Listens to the rooms, reads what is shown there, and lets their members in then.
    pub(super) fn listen(&mut self, Opening { names, unheard }: Opening) {
        if !unheard.is_empty() {
            let subscribed = self.cable.subscribe(&unheard);
            self.expect(subscribed, |()| Done::Subscription);
        }
        // After the subscription: what is not in a copy will be heard.
        self.read(names);
    }

    /// Lets those in who have waited long enough for this link to take notice of their room.
    pub(super) fn admit_waiting(&self) {
        let wait = self.context.settings.subscribe_timeout;
        // By the time this is looked at again it would be too long.
        if let Some(before) = Instant::now().checked_sub(wait.saturating_sub(patience(wait))) {
            self.context.hub.confirm_joins_until(before);
        }
    }

    /// Asks what is shown in rooms that are listened to; later, if much has been asked already.
    fn read(&mut self, mut rooms: Vec<RoomName>) {
        if self.reads >= READS {
            return self.rereading.extend(rooms);
        }
        rooms.retain(|name| {
            let Some(listened) = self.rooms.get(name) else { return false };
            let room = self.context.hub.room(&listened.key);
            listened.ask(room.map(|room| room.remote_nodes()).unwrap_or_default())
        });
        if !rooms.is_empty() {
            let (copies, is_first) = (self.cable.snapshots(&rooms), !self.has_told);
            self.first_reads += usize::from(is_first);
            self.reads += 1;
            self.expect(copies, move |copies| Done::Copies { rooms, copies, is_first });
        }
    }
}
