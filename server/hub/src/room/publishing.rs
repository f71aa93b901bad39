//! The one path by which anything reaches the members of a room.
//!
//! The task that publishes does the fan-out. The event is encoded first, in the dialects that have members,
//! and only then is the room locked: under the lock one pointer is pushed per member. Members that read too
//! slowly are recorded and skipped; the room never waits for a member.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use slab::Slab;

use super::{Members, Outlets, Published, Room, RoomMember};
use crate::bundle::{Bundle, BundleFrames, EncodeKept, SingleMessage};
use crate::frame::{Dialect, Encode, EncodeByGroup, Frame, FrameCache, Group};
use crate::history::Keep;
use crate::member::Slot;
use crate::outbox::Offer;
use crate::wakers::Wakers;

/// The members that receive an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All members, the publisher included.
    Everyone,
    /// All members except the publisher.
    Others,
}

/// The result of a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Outboxes that took a frame.
    pub delivered: usize,
    /// Full outboxes that dropped the frame, with all its messages.
    pub dropped: usize,
    /// Replaceable entries that outboxes dropped to make room for the frame.
    pub evicted: usize,
    /// Messages that do not reach the other nodes: the share of their tenant in the relay's queue is full, or the relay
    /// is paused.
    pub unrelayed: u32,
}

impl Delivery {
    pub(super) fn count(&mut self, offer: Offer) {
        match offer {
            Offer::Queued => self.delivered += 1,
            Offer::Evicted(entries) => {
                self.delivered += 1;
                self.evicted += entries as usize;
            }
            Offer::Full => self.dropped += 1,
        }
    }
}

impl Room {
    /// Encodes `event` for the members, and for the observers behind `outlets`, and adds it to `bundle`.
    /// `excluded` members are not going to receive it; if no others are left, nothing is encoded for members. With `keep`
    /// the room is going to keep it.
    pub(crate) fn gather(
        &self,
        event: &impl Encode,
        excluded: usize,
        bundle: &mut Bundle,
        outlets: Option<&dyn Outlets>,
        keep: Option<Keep<'_>>,
    ) {
        let members: usize = self.member_counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let observed = outlets.is_some_and(|outlets| outlets.wants_frames());
        let wanted = |dialect| match dialect {
            Dialect::RELAY => observed || keep.is_some(),
            _ => members > excluded && self.has_dialect(dialect),
        };
        let mut frames = FrameCache::encode(event, &self.key.topic, wanted);
        let kept = keep.and_then(|keep| {
            // Not for the bundle, which would copy it, unless an observer wants it there.
            let frame = if observed { frames.relay().cloned() } else { frames.take_relay() };
            bundle.keep(keep, frame.clone()?);
            frame
        });
        bundle.add(&frames, keep.map(|keep| keep.id).or_else(|| event.id()), kept);
    }

    /// Offers the gathered messages to all members except the one in slot `except`, and reports them to
    /// `outlets`. `None` if the room has been closed, and nothing was done.
    pub(crate) fn publish(
        &self,
        bundle: Bundle,
        except: Option<usize>,
        outlets: Option<&dyn Outlets>,
    ) -> Option<Delivery> {
        let messages = bundle.messages();
        let receives = |number: usize, slot: &Slot| Some(number) != except && slot.reception.has_broadcasts();
        self.send(bundle.into_frames(), messages, (receives, |_: &Slot| {}), outlets)
    }

    /// Encodes `event` for each delivery group that has members, and for the observers behind `outlets`, and
    /// offers each member the frame of its group.
    pub(crate) fn publish_by_group(
        &self,
        event: &impl EncodeByGroup,
        outlets: &dyn Outlets,
    ) -> Option<Delivery> {
        self.publish_by_group_to(event, (|_: usize, _: &Slot| true, |_: &Slot| {}), Some(outlets))
    }

    /// Encodes `event` for each delivery group that has members, and offers each member but `except` the frame of its group. Returns
    /// also the members whose outbox was full.
    pub(crate) fn publish_here(
        &self,
        event: &impl EncodeByGroup,
        except: Option<RoomMember>,
    ) -> Option<(Delivery, Vec<RoomMember>)> {
        let missed_by = RefCell::new(Vec::new());
        let receives = |_: usize, slot: &Slot| Some(RoomMember(slot.id)) != except;
        let missed = |slot: &Slot| missed_by.borrow_mut().push(RoomMember(slot.id));
        let delivery = self.publish_by_group_to(event, (receives, missed), None)?;
        Some((delivery, missed_by.into_inner()))
    }

    fn publish_by_group_to(
        &self,
        event: &impl EncodeByGroup,
        (receives, missed): (impl Fn(usize, &Slot) -> bool, impl Fn(&Slot)),
        outlets: Option<&dyn Outlets>,
    ) -> Option<Delivery> {
        let is_observed = outlets.is_some_and(|outlets| outlets.wants_frames());
        let relay = is_observed.then_some((Group::DEFAULT, Dialect::RELAY));
        let receivers = self.receivers();
        let frames = FrameCache::encode_by_group(event, &self.key.topic, receivers.into_iter().chain(relay));
        let bundle = BundleFrames { frames, kept: None, single: Vec::new() };
        self.send(bundle, 1, (receives, missed), outlets)
    }

    /// The delivery groups that have members, with the members' dialects, sorted.
    fn receivers(&self) -> Vec<(Group, Dialect)> {
        let members = self.members.lock();
        let dialects = (0..Dialect::RELAY.index()).map(|index| Dialect::new(index as u8));
        let by_default = dialects.filter(|dialect| self.member_count(*dialect) > members.groups.of(*dialect));
        by_default.map(|dialect| (Group::DEFAULT, dialect)).chain(members.groups.present()).collect()
    }

    /// Keeps the messages that are to be kept, offers each member that `receives` them its frame, calls `note_missed` for those
    /// whose outbox is full, and reports them to `outlets`. `None` if the room has been closed, and nothing was done.
    fn send(
        &self,
        bundle: BundleFrames,
        messages: u32,
        (receives, note_missed): (impl Fn(usize, &Slot) -> bool, impl Fn(&Slot)),
        outlets: Option<&dyn Outlets>,
    ) -> Option<Delivery> {
        let BundleFrames { frames, kept, single } = bundle;
        let encode = kept.as_ref().map(|kept| kept.encode);
        let is_unseen = frames.is_empty() && kept.is_none();
        let was_closed = Cell::new(false);
        let report = |wakers: &mut Wakers| {
            was_closed.set(self.is_closed());
            if was_closed.get() {
                return 0;
            }
            let kept = kept.and_then(|kept| kept.keep(&self.key));
            let published = Published { frame: frames.relay(), messages, kept };
            outlets.map_or(0, |outlets| outlets.published(&self.key, &published, wakers))
        };
        if is_unseen {
            let mut wakers = Wakers::collect();
            let unrelayed = report(&mut wakers);
            wakers.wake();
            return (!was_closed.get()).then(|| Delivery { unrelayed, ..Delivery::default() });
        }
        let missed = |slot: &mut Slot| {
            slot.missed = slot.missed.saturating_add(messages);
            note_missed(slot);
        };
        let fan_out =
            FanOut { frames: &frames, single: &single, is_kept: encode.is_some(), receives, missed };
        let (mut delivery, late) = self.fan_out(report, fan_out);
        if let Some(encode) = encode.filter(|_| !late.is_empty()) {
            self.send_late(&late, &single, encode, &mut delivery);
        }
        (!was_closed.get()).then_some(delivery)
    }

    /// Delivers kept messages to members, given by slot and id, that joined after the messages were encoded, and in whose dialect
    /// they were not. A member with a replay may have read the history before they were kept, so they are not in its
    /// replay; if it reads it after that, [`Replaying`](crate::replaying::Replaying) has the ids until the messages are offered. They
    /// may overtake what others publish at the same time.
    #[cold]
    fn send_late(
        &self,
        late: &[(usize, u32)],
        single: &[SingleMessage],
        encode: EncodeKept,
        delivery: &mut Delivery,
    ) {
        let dialects = (0..Dialect::RELAY.index()).map(|index| Dialect::new(index as u8));
        let missing = dialects.filter(|dialect| self.has_dialect(*dialect));
        let encoded: Vec<(Dialect, (SingleMessage, Frame))> = missing
            .flat_map(|dialect| single.iter().map(move |message| (dialect, message)))
            .filter_map(|(dialect, message)| {
                Some((dialect, message.encoded(&self.key.topic, dialect, encode)?))
            })
            .collect();
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let Members { slots, replaying, .. } = &mut *members;
        for (number, id) in late {
            let slot = slots.get_mut(*number).filter(|slot| slot.id == *id);
            let Some(slot) = slot else { continue };
            let mut replaying = replaying.as_mut().filter(|_| slot.reception.is_replaying());
            let (mut queued, mut dropped) = (0, 0);
            for (_, (message, frame)) in encoded.iter().filter(|(dialect, _)| *dialect == slot.dialect) {
                let message = (frame, std::slice::from_ref(message));
                let offer = match &mut replaying {
                    Some(replaying) => replaying.offer(*number, slot, message, &mut wakers),
                    None => Some(slot.outbox.offer_deferred(frame, &mut wakers)),
                };
                match offer {
                    Some(Offer::Full) => dropped += 1,
                    Some(Offer::Queued | Offer::Evicted(_)) => queued += 1,
                    None => {}
                }
            }
            if let Some(replaying) = replaying {
                replaying.end_late(*number, slot);
            }
            slot.missed = slot.missed.saturating_add(dropped);
            delivery.delivered += usize::from(queued > 0);
            delivery.dropped += usize::from(dropped > 0);
        }
        members.free_replaying();
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
    }

    /// Offers a frame with `messages` messages to the member with this slot and id. While the member is replaying it waits as
    /// those of the room do. `None` if the member has left.
    pub(crate) fn offer_to(&self, (number, id): (usize, u32), frame: &Frame, messages: u32) -> Option<Offer> {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let Members { slots, replaying, .. } = &mut *members;
        let slot = slots.get_mut(number).filter(|slot| slot.id == id)?;
        let offer = match replaying {
            Some(replaying) => replaying.offer(number, slot, (frame, &[]), &mut wakers)?,
            None => slot.outbox.offer_deferred(frame, &mut wakers),
        };
        if offer == Offer::Full {
            slot.missed = slot.missed.saturating_add(messages);
        }
        let party = slot.outbox.memory().party();
        drop(members);
        wakers.wake_for(party);
        Some(offer)
    }

    /// Queues a frame for the member with this slot and id, if it has not left. While the member is replaying it waits.
    pub(crate) fn reply_to(&self, (number, id): (usize, u32), frame: &Frame) {
        let mut members = self.members.lock();
        let Members { slots, replaying, .. } = &mut *members;
        let Some(slot) = slots.get_mut(number).filter(|slot| slot.id == id) else { return };
        if replaying.as_mut().is_some_and(|replaying| replaying.hold(number, frame)) {
            return;
        }
        let outbox = Arc::clone(&slot.outbox);
        drop(members);
        outbox.reply(frame);
    }

    /// Whether there are members in whose dialect nothing was encoded.
    fn lacks_frame(&self, frames: &FrameCache) -> bool {
        let counts = self.member_counts.iter().zip(frames.iter());
        counts.into_iter().any(|(count, frame)| frame.is_none() && count.load(Ordering::Relaxed) > 0)
    }

    /// Walks the members once and offers each its frame. `report` is called under the lock, before the first offer, and
    /// returns what is not relayed. Members with pending joins receive nothing. Returns also the members to which the messages
    /// are to be [sent late](Self::send_late).
    pub(super) fn fan_out(
        &self,
        report: impl FnOnce(&mut Wakers) -> u32,
        fan_out: FanOut<'_, impl Fn(usize, &Slot) -> bool, impl Fn(&mut Slot)>,
    ) -> (Delivery, Vec<(usize, u32)>) {
        let (mut wakers, mut late) = (Wakers::collect(), Vec::new());
        let mut members = self.members.lock();
        let mut delivery = Delivery { unrelayed: report(&mut wakers), ..Delivery::default() };
        if members.pending_joins.is_none() {
            if members.replaying.is_none() && !(fan_out.is_kept && self.lacks_frame(fan_out.frames)) {
                fan_out.run(&mut members.slots, &mut delivery, &mut wakers);
            } else {
                late = fan_out.run_with_replays(&mut members, &mut delivery, &mut wakers);
            }
        }
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
        (delivery, late)
    }
}

/// What is offered to the members of a room that it `receives`.
pub(super) struct FanOut<'f, R, M> {
    pub(super) frames: &'f FrameCache,
    /// The messages in the frames one by one, if one of them has an id.
    pub(super) single: &'f [SingleMessage],
    /// Whether messages are kept, so that they can be encoded later.
    pub(super) is_kept: bool,
    pub(super) receives: R,
    /// Records that an outbox was full.
    pub(super) missed: M,
}

impl<R: Fn(usize, &Slot) -> bool, M: Fn(&mut Slot)> FanOut<'_, R, M> {
    /// Without a frame, the first member of this dialect and group joined after the messages were encoded, or the messages
    /// cannot be expressed for it.
    fn frame_for(&self, slot: &Slot) -> Option<&Frame> {
        self.frames.get(slot.dialect, slot.reception.group())
    }

    /// In a room in which no member is replaying, or misses messages that are kept.
    fn run(&self, slots: &mut Slab<Slot>, delivery: &mut Delivery, wakers: &mut Wakers) {
        for (number, slot) in slots {
            let frame = self.frame_for(slot).filter(|_| (self.receives)(number, slot));
            let Some(frame) = frame else { continue };
            let offer = slot.outbox.offer_deferred(frame, wakers);
            delivery.count(offer);
            if offer == Offer::Full {
                (self.missed)(slot);
            }
        }
    }

    /// In another room. Returns slot and id of the members to which the messages are to be sent late.
    #[cold]
    fn run_with_replays(
        &self,
        members: &mut Members,
        delivery: &mut Delivery,
        wakers: &mut Wakers,
    ) -> Vec<(usize, u32)> {
        let (mut late, now) = (Vec::new(), Some(Instant::now()));
        let Members { slots, replaying, .. } = &mut *members;
        for (number, slot) in slots {
            let mut replaying = replaying.as_mut().filter(|_| slot.reception.is_replaying());
            if let Some(replaying) = &mut replaying {
                replaying.forget_if_over(number, slot, now);
            }
            if !(self.receives)(number, slot) {
                continue;
            }
            let Some(frame) = self.frame_for(slot) else {
                if self.is_kept {
                    replaying.into_iter().for_each(|replaying| replaying.begin_late(number));
                    late.push((number, slot.id));
                }
                continue;
            };
            let offer = match replaying {
                Some(replaying) => replaying.offer(number, slot, (frame, self.single), wakers),
                None => Some(slot.outbox.offer_deferred(frame, wakers)),
            };
            let Some(offer) = offer else { continue };
            delivery.count(offer);
            if offer == Offer::Full {
                (self.missed)(slot);
            }
        }
        members.free_replaying();
        late
    }
}
