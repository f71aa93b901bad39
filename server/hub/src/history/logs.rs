//! The kept messages of one tenant, by room, and in the order in which they become old.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{HistoryBounds, HistoryCounts, KeptMessage};
use crate::memory::{MemoryCharge, MemoryKind, TenantMemory};
use crate::topic::RoomKey;

/// Bytes that a message takes beside its frame: its entries in two queues, its counters, and what the allocator rounds up.
const MESSAGE_OVERHEAD: usize = 192;

/// The same for a room.
const ROOM_OVERHEAD: usize = 320;

/// Memory is charged in steps, because a charge for each message would cost more than keeping it.
const CHARGE_STEP: usize = 4 * 1024;

/// Entries of dropped messages that the order may have beside as many as there are messages.
const STALE_MAX: usize = 64;

/// Messages that one sweep drops before others may use the logs.
const SWEPT_MAX: usize = 1_024;

/// The messages that a room keeps, with their numbers.
#[derive(Debug)]
struct RoomLog {
    key: Arc<RoomKey>,
    messages: VecDeque<(u64, KeptMessage)>,
    /// Bytes of the frames.
    bytes: usize,
}

impl RoomLog {
    /// The number and time of the oldest message.
    fn first(&self) -> Option<(u64, u64)> {
        self.messages.front().map(|(number, message)| (*number, message.sent_at))
    }
}

/// The kept messages of one tenant.
#[derive(Debug)]
pub(super) struct RoomLogs {
    memory: Arc<TenantMemory>,
    /// Hashed with a random key, as the rooms of the hub.
    rooms: HashMap<Arc<RoomKey>, RoomLog>,
    /// All messages in the order in which they were kept: their rooms and numbers. Those that a room has dropped itself stay
    /// until there are many.
    order: VecDeque<(Arc<RoomKey>, u64)>,
    /// The number of the next message, in whichever room it is.
    next: u64,
    messages: usize,
    dropped: u64,
    /// What messages and rooms take.
    bytes: usize,
    charge: MemoryCharge,
}

impl RoomLogs {
    pub(super) fn new(memory: &Arc<TenantMemory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            rooms: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            messages: 0,
            dropped: 0,
            bytes: 0,
            charge: memory.charge(MemoryKind::History, 0),
        }
    }

    pub(super) fn counts(&self) -> HistoryCounts {
        HistoryCounts { messages: self.messages, dropped: self.dropped }
    }

    /// Keeps the next message of a room.
    pub(super) fn keep(&mut self, room: &Arc<RoomKey>, message: KeptMessage, bounds: &HistoryBounds) {
        let length = message.frame.len();
        if length > bounds.bytes {
            self.dropped += 1;
            while self.drop_first_of(room) {}
            return;
        }
        let bytes = &mut self.bytes;
        let log = self.rooms.entry(Arc::clone(room)).or_insert_with(|| {
            *bytes += room_bytes(room);
            RoomLog { key: Arc::clone(room), messages: VecDeque::new(), bytes: 0 }
        });
        self.order.push_back((Arc::clone(&log.key), self.next));
        log.messages.push_back((self.next, message));
        self.next += 1;
        log.bytes += length;
        let beyond = |log: &RoomLog| log.messages.len() > bounds.messages || log.bytes > bounds.bytes;
        let mut is_beyond = beyond(log);
        self.messages += 1;
        self.bytes += length + MESSAGE_OVERHEAD;
        while is_beyond {
            self.drop_first_of(room);
            is_beyond = self.rooms.get(room).is_some_and(beyond);
        }
        self.fit_into_memory();
        self.trim_order();
    }

    /// The messages of a room that were sent at `oldest` or later, from the newest on.
    pub(super) fn newest_first(
        &self,
        room: &RoomKey,
        oldest: u64,
    ) -> Option<impl Iterator<Item = &KeptMessage>> {
        let messages = self.rooms.get(room)?.messages.iter().rev();
        Some(messages.map(|(_, message)| message).take_while(move |message| message.sent_at >= oldest))
    }

    /// Drops messages that were sent before `oldest`, and those for which there is no memory. Returns whether there may be
    /// more of them.
    pub(super) fn sweep(&mut self, oldest: u64) -> bool {
        let mut dropped = 0;
        while dropped < SWEPT_MAX {
            let Some((room, number)) = self.order.front() else { break };
            match self.rooms.get(room).and_then(RoomLog::first).filter(|(first, _)| first == number) {
                Some((_, sent_at)) if sent_at < oldest => drop(self.drop_oldest()),
                Some(_) if self.has_too_much() => {
                    self.drop_for_memory();
                    self.charge_all();
                }
                Some(_) => break,
                None => drop(self.order.pop_front()),
            }
            dropped += 1;
        }
        self.charge.resize(self.bytes.next_multiple_of(CHARGE_STEP).min(self.charge.bytes()));
        self.trim_order();
        if self.rooms.len() < self.rooms.capacity() / 4 {
            self.rooms.shrink_to_fit();
        }
        dropped == SWEPT_MAX
    }

    /// Whether less is free than is kept, because the tenant has used it for something else since.
    fn has_too_much(&self) -> bool {
        !self.memory.has_room_for(self.bytes)
    }

    /// Drops the oldest messages as long as there is no memory for all.
    fn fit_into_memory(&mut self) {
        while !self.charge_all() {
            self.drop_for_memory();
        }
    }

    fn drop_for_memory(&mut self) {
        if self.drop_oldest() {
            self.dropped += 1;
            self.memory.count_refusal(MemoryKind::History);
        }
    }

    /// Charges what is kept. Returns whether there is memory for it: as much has to be left free.
    fn charge_all(&mut self) -> bool {
        let (wanted, charged) = (self.bytes.next_multiple_of(CHARGE_STEP), self.charge.bytes());
        if wanted <= charged {
            if charged - wanted > CHARGE_STEP {
                self.charge.resize(wanted);
            }
            return true;
        }
        self.memory.has_room_for(wanted + (wanted - charged)) && self.charge.try_resize(wanted)
    }

    /// Drops the oldest message of all rooms. Returns whether there was one.
    fn drop_oldest(&mut self) -> bool {
        while let Some((room, number)) = self.order.pop_front() {
            let first = self.rooms.get(&room).and_then(RoomLog::first);
            if first.is_some_and(|(first, _)| first == number) {
                return self.drop_first_of(&room);
            }
        }
        false
    }

    /// Drops the oldest message of a room, and the room with its last one. Returns whether there was one.
    fn drop_first_of(&mut self, room: &RoomKey) -> bool {
        let Some(log) = self.rooms.get_mut(room) else { return false };
        if let Some((_, message)) = log.messages.pop_front() {
            log.bytes -= message.frame.len();
            self.messages -= 1;
            self.bytes -= message.frame.len() + MESSAGE_OVERHEAD;
        }
        if log.messages.is_empty() {
            self.bytes -= room_bytes(room);
            self.rooms.remove(room);
        } else if log.messages.len() < log.messages.capacity() / 4 {
            log.messages.shrink_to(log.messages.len() * 2);
        }
        true
    }

    /// Removes what is stale from the order when that is more than half of it.
    fn trim_order(&mut self) {
        if self.order.len() > 2 * self.messages + STALE_MAX {
            let rooms = &self.rooms;
            let first = |room: &Arc<RoomKey>| rooms.get(room).and_then(RoomLog::first);
            self.order.retain(|(room, number)| first(room).is_some_and(|(first, _)| first <= *number));
            self.order.shrink_to(2 * self.messages + STALE_MAX);
        }
    }
}

fn room_bytes(room: &RoomKey) -> usize {
    ROOM_OVERHEAD + room.topic.len()
}
