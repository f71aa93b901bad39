//! Members that join with a replay: they receive earlier messages before those of the room.
//!
//! What the room sends to such a member waits here until the earlier messages have been read, and then follows them. A message
//! may be both read and received, now or later: a database and other nodes deliver what can be read already. So what has the
//! id of a replayed message is not delivered, and where it may arrive later the ids are kept until it no longer can.
//!
//! At most half of what the outbox may hold waits, because the earlier messages precede it there. What does not fit is
//! counted as missed, as when a connection reads too slowly. A room has this only while one of its members is replaying, so
//! that replays cost the fan-out of all other rooms nothing.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::bounds::Bounds;
use crate::bundle::SingleMessage;
use crate::frame::Frame;
use crate::member::Slot;
use crate::memory::{MemoryCharge, MemoryKind};
use crate::outbox::{Offer, Outbox};
use crate::wakers::Wakers;

/// What a member has been replayed.
#[derive(Debug)]
pub struct Replayed {
    /// The ids of the messages, and of others that it has already.
    pub ids: Vec<u128>,
    /// Whether the room may publish one of them again.
    pub repeats: Repeats,
}

impl Replayed {
    /// Nothing: the member has only become one before its join was answered.
    pub fn none() -> Self {
        Self { ids: Vec::new(), repeats: Repeats::Excluded }
    }
}

/// Whether a message that was read may be published after the replay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// It may, within this time: it was read where it arrives before it is published here.
    Possible {
        /// Counted from the end of the replay.
        within: Duration,
    },
    /// It was read from the [history](crate::History) of this hub, which keeps a message while it is published.
    Excluded,
}

/// The replays of a room's members, by their slots.
#[derive(Debug, Default)]
pub(crate) struct Replaying(FxHashMap<usize, Replay>);

#[derive(Debug)]
enum Replay {
    /// The earlier messages are being read.
    Reading(Waiting),
    /// They were sent, and what was sent may be published again.
    Sent(Sent),
}

#[derive(Debug)]
struct Sent {
    /// The ids of the messages, sorted.
    ids: Vec<u128>,
    /// When they can be published for the last time. `None` if only those that are `late` can.
    until: Option<Instant>,
    late: u32,
}

/// What waits for the end of a replay.
#[derive(Debug)]
struct Waiting {
    messages: Vec<WaitingMessage>,
    bytes: usize,
    max: Bounds,
    /// The publications that are still to be encoded for it. Their messages are kept already and may be read.
    late: u32,
    /// For the list. The frames are charged as those in an outbox.
    charge: MemoryCharge,
}

#[derive(Debug)]
struct WaitingMessage {
    id: Option<u128>,
    frame: Frame,
}

impl Replaying {
    /// The member in slot `number` joins with a replay.
    pub(crate) fn begin(&mut self, number: usize, outbox: &Outbox) {
        let Bounds { bytes, frames } = outbox.bounds();
        let charge = outbox.memory().charge(MemoryKind::Sending, 0);
        let max = Bounds { bytes: bytes / 2, frames: frames / 2 };
        let waiting = Waiting { messages: Vec::new(), bytes: 0, max, late: 0, charge };
        self.0.insert(number, Replay::Reading(waiting));
    }

    /// Queues `reply`, and what has waited without the messages that have one of `ids`.
    pub(crate) fn end(
        &mut self,
        number: usize,
        slot: &mut Slot,
        (reply, replayed): (&Frame, Replayed),
        wakers: &mut Wakers,
    ) {
        let Some(Replay::Reading(waiting)) = self.0.remove(&number) else { return };
        let Replayed { mut ids, repeats } = replayed;
        ids.sort_unstable();
        slot.outbox.reply_deferred(reply, wakers);
        for WaitingMessage { id, frame } in waiting.messages {
            if !is_among(&ids, id) && slot.outbox.offer_deferred(&frame, wakers) == Offer::Full {
                slot.missed = slot.missed.saturating_add(1);
            }
        }
        if slot.missed > 0 {
            slot.outbox.continue_when_empty(wakers);
        }
        let until = match repeats {
            Repeats::Possible { within } if !ids.is_empty() => Some(Instant::now() + within),
            Repeats::Possible { .. } | Repeats::Excluded => None,
        };
        self.0.insert(number, Replay::Sent(Sent { ids, until, late: waiting.late }));
        self.forget_if_over(number, slot, None);
    }

    /// The member leaves.
    pub(crate) fn remove(&mut self, number: usize) {
        self.0.remove(&number);
    }

    /// Whether no member is replaying.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what the member was sent if none of it can be published again after `now`.
    pub(crate) fn forget_if_over(&mut self, number: usize, slot: &mut Slot, now: Option<Instant>) {
        if let Some(Replay::Sent(sent)) = self.0.get(&number)
            && sent.is_over(now)
        {
            self.0.remove(&number);
            slot.reception.end_replay();
        }
    }

    /// Messages that are kept from now on are going to be encoded for the member, without the lock.
    pub(crate) fn begin_late(&mut self, number: usize) {
        if let Some(late) = self.late(number) {
            *late += 1;
        }
    }

    /// They were [offered](Self::offer).
    pub(crate) fn end_late(&mut self, number: usize, slot: &mut Slot) {
        if let Some(late) = self.late(number) {
            *late -= 1;
        }
        self.forget_if_over(number, slot, None);
    }

    fn late(&mut self, number: usize) -> Option<&mut u32> {
        self.0.get_mut(&number).map(|replay| match replay {
            Replay::Reading(waiting) => &mut waiting.late,
            Replay::Sent(sent) => &mut sent.late,
        })
    }

    /// Lets a frame wait whether or not it fits, if the member is still replaying. Returns whether it is.
    pub(crate) fn hold(&mut self, number: usize, frame: &Frame) -> bool {
        let Some(Replay::Reading(waiting)) = self.0.get_mut(&number) else { return false };
        waiting.messages.push(WaitingMessage { id: None, frame: frame.clone() });
        true
    }

    /// Delivers a frame to the member, or lets it wait. `single` are the messages in it, if one of them has an id. `None` if
    /// all of them were replayed.
    #[cold]
    pub(crate) fn offer(
        &mut self,
        number: usize,
        slot: &Slot,
        (frame, single): (&Frame, &[SingleMessage]),
        wakers: &mut Wakers,
    ) -> Option<Offer> {
        match self.0.get_mut(&number) {
            Some(Replay::Reading(waiting)) => Some(waiting.offer(slot, frame, single)),
            Some(Replay::Sent(Sent { ids, .. }))
                if single.iter().any(|message| is_among(ids, message.id)) =>
            {
                let all = SingleMessage::split(single, frame, slot.dialect);
                let others = all.filter(|(id, _)| !is_among(ids, *id));
                let frames: Vec<Frame> = others.map(|(_, frame)| frame).collect();
                (!frames.is_empty()).then(|| slot.outbox.offer_message_deferred(&frames, wakers))
            }
            _ => Some(slot.outbox.offer_deferred(frame, wakers)),
        }
    }
}

impl Sent {
    /// Whether none of the messages can be published after `now`; without it, unless that depends on the time.
    fn is_over(&self, now: Option<Instant>) -> bool {
        self.late == 0 && self.until.is_none_or(|until| now.is_some_and(|now| until <= now))
    }
}

impl Waiting {
    /// Keeps the messages of a frame, all of them or none. A single frame always fits.
    fn offer(&mut self, slot: &Slot, frame: &Frame, single: &[SingleMessage]) -> Offer {
        let messages: Vec<WaitingMessage> = if single.is_empty() {
            vec![WaitingMessage { id: None, frame: frame.clone() }]
        } else {
            let all = SingleMessage::split(single, frame, slot.dialect);
            all.map(|(id, frame)| WaitingMessage { id, frame }).collect()
        };
        let bytes = self.bytes + frame.len();
        let is_beyond =
            self.messages.len() + messages.len() > self.max.frames as usize || bytes > self.max.bytes;
        if is_beyond && !self.messages.is_empty() {
            return Offer::Full;
        }
        let memory = slot.outbox.memory();
        let is_charged = self.charge.try_grow(messages.len() * size_of::<WaitingMessage>())
            && messages.iter().all(|message| message.frame.try_charge(memory));
        if !is_charged {
            memory.count_refusal(MemoryKind::Sending);
            return Offer::Full;
        }
        self.bytes = bytes;
        self.messages.extend(messages);
        Offer::Queued
    }
}

/// Whether a message has one of `ids`, which are sorted. Most messages are newer than all of them, and so are their ids.
fn is_among(ids: &[u128], id: Option<u128>) -> bool {
    id.is_some_and(|id| ids.last().is_some_and(|newest| id <= *newest) && ids.binary_search(&id).is_ok())
}
