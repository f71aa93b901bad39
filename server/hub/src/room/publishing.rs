//! The one path by which anything reaches the members of a room.
//!
//! The task that publishes does the fan-out. The event is encoded first, in the dialects that have members,
//! and only then is the room locked: under the lock one pointer is pushed per member. Members that read too
//! slowly are recorded and skipped; the room never waits for a member.

use std::sync::atomic::Ordering;

use super::{Members, Outlets, Published, Room};
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
    /// `outlets`.
    pub(crate) fn publish(
        &self,
        bundle: Bundle,
        except: Option<usize>,
        outlets: Option<&dyn Outlets>,
    ) -> Delivery {
        let messages = bundle.messages();
        let receives = |number: usize, slot: &Slot| Some(number) != except && slot.reception.has_broadcasts();
        self.send(bundle.into_frames(), messages, receives, outlets)
    }

    /// Encodes `event` for each delivery group that has members, and for the observers behind `outlets`, and
    /// offers each member the frame of its group.
    pub(crate) fn publish_by_group(&self, event: &impl EncodeByGroup, outlets: &dyn Outlets) -> Delivery {
        let relay = outlets.wants_frames().then_some((Group::DEFAULT, Dialect::RELAY));
        let receivers = self.receivers();
        let frames = FrameCache::encode_by_group(event, &self.key.topic, receivers.into_iter().chain(relay));
        let bundle = BundleFrames { frames, kept: None, single: Vec::new() };
        self.send(bundle, 1, |_, _| true, Some(outlets))
    }

    /// The delivery groups that have members, with the members' dialects, sorted.
    fn receivers(&self) -> Vec<(Group, Dialect)> {
        let members = self.members.lock();
        let dialects = (0..Dialect::RELAY.index()).map(|index| Dialect::new(index as u8));
        let by_default = dialects.filter(|dialect| self.member_count(*dialect) > members.groups.of(*dialect));
        by_default.map(|dialect| (Group::DEFAULT, dialect)).chain(members.groups.present()).collect()
    }

    /// Keeps the messages that are to be kept, offers each member that `receives` them its frame, and reports them to
    /// `outlets`.
    fn send(
        &self,
        bundle: BundleFrames,
        messages: u32,
        receives: impl Fn(usize, &Slot) -> bool,
        outlets: Option<&dyn Outlets>,
    ) -> Delivery {
        let BundleFrames { frames, kept, single } = bundle;
        let encode = kept.as_ref().map(|kept| kept.encode);
        let mut unencoded = Vec::new();
        let is_unseen = frames.is_empty() && kept.is_none();
        let report = |wakers: &mut Wakers| {
            let kept = kept.and_then(|kept| kept.keep(&self.key));
            let published = Published { frame: frames.relay(), messages, kept };
            outlets.map_or(0, |outlets| outlets.published(&self.key, &published, wakers))
        };
        if is_unseen {
            let mut wakers = Wakers::collect();
            let unrelayed = report(&mut wakers);
            wakers.wake();
            return Delivery { unrelayed, ..Delivery::default() };
        }
        let mut delivery = self.fan_out(report, &single, |number, slot| {
            // Without a frame, the first member of this dialect and group joined after the messages were
            // encoded, or the messages cannot be expressed for it.
            let Some(frame) = frames.get(slot.dialect, slot.reception.group()) else {
                if slot.reception.is_replaying() && receives(number, slot) {
                    unencoded.push((number, slot.id));
                }
                return None;
            };
            if !receives(number, slot) {
                return None;
            }
            Some((frame, |slot: &mut Slot| slot.missed = slot.missed.saturating_add(messages)))
        });
        if let Some(encode) = encode.filter(|_| !unencoded.is_empty()) {
            self.send_late(&unencoded, &single, encode, &mut delivery);
        }
        delivery
    }

    /// Delivers kept messages to members, given by slot and id, that joined with a replay after the messages were encoded, and
    /// in whose dialect they were not. Such a member may have read the history before they were kept, so they are not in its
    /// replay. They may overtake what others publish at the same time.
    #[cold]
    fn send_late(
        &self,
        unencoded: &[(usize, u32)],
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
        for (number, id) in unencoded {
            let slot = slots.get_mut(*number).filter(|slot| slot.id == *id);
            let (Some(slot), Some(replaying)) = (slot, replaying.as_mut()) else { continue };
            let (mut queued, mut dropped) = (0, 0);
            for (_, (message, frame)) in encoded.iter().filter(|(dialect, _)| *dialect == slot.dialect) {
                let message = (frame, std::slice::from_ref(message));
                match replaying.offer(*number, slot, message, &mut wakers) {
                    Some(Offer::Full) => dropped += 1,
                    Some(Offer::Queued | Offer::Evicted(_)) => queued += 1,
                    None => {}
                }
            }
            slot.missed = slot.missed.saturating_add(dropped);
            delivery.delivered += usize::from(queued > 0);
            delivery.dropped += usize::from(dropped > 0);
        }
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
    }

    /// Offers a frame with `messages` messages to the member with this slot and id. `None` if it has left.
    pub(crate) fn offer_to(&self, (number, id): (usize, u32), frame: &Frame, messages: u32) -> Option<Offer> {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let slot = members.slots.get_mut(number).filter(|slot| slot.id == id)?;
        let offer = slot.outbox.offer_deferred(frame, &mut wakers);
        if offer == Offer::Full {
            slot.missed = slot.missed.saturating_add(messages);
        }
        let party = slot.outbox.memory().party();
        drop(members);
        wakers.wake_for(party);
        Some(offer)
    }

    /// Walks the members once and offers each the frame that `choose` picks for it; `missed` records a full
    /// outbox. `report` is called under the lock, before the first offer, and returns what is not relayed. Members with
    /// pending joins receive nothing. `single` are the messages in the frames one by one, if one of them has an id.
    pub(super) fn fan_out<'f, M: FnOnce(&mut Slot)>(
        &self,
        report: impl FnOnce(&mut Wakers) -> u32,
        single: &[SingleMessage],
        mut choose: impl FnMut(usize, &Slot) -> Option<(&'f Frame, M)>,
    ) -> Delivery {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let mut delivery = Delivery { unrelayed: report(&mut wakers), ..Delivery::default() };
        let Members { slots, pending_joins, replaying, .. } = &mut *members;
        let confirmed = pending_joins.is_none().then_some(slots);
        for (number, slot) in confirmed.into_iter().flatten() {
            let Some((frame, missed)) = choose(number, slot) else { continue };
            let offer = if slot.reception.is_replaying() {
                let replaying = replaying.as_mut().expect("a member that is replaying is among these");
                let offer = replaying.offer(number, slot, (frame, single), &mut wakers);
                let Some(offer) = offer else { continue };
                offer
            } else {
                slot.outbox.offer_deferred(frame, &mut wakers)
            };
            delivery.count(offer);
            if offer == Offer::Full {
                missed(slot);
            }
        }
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
        delivery
    }
}
