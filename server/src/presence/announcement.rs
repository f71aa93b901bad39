//! What one room announces at one time: the diffs, and the state for the members that have requested it.
//!
//! Everything is encoded once for all its receivers and shared by their outboxes. The join_ref of a `presence_state` is the
//! receiver's own, so that a large one is a message in two frames: what is the receiver's own, and what is shared.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use hub::{Delivery, DiffEntries, Encode as _, FrameCache, PresenceEntry, Room, StatePart, StateRequest};
use wire::phoenix;
use wire::supabase::{PresenceDiff, TOPIC_PREFIX, presence_diff, presence_payload};

use crate::node::Node;
use crate::telemetry::codes::{Code, Scope};

/// A smaller state is copied for each receiver: two frames would take more time and, with their handles, about as much
/// memory.
const SHARED_BYTES_MIN: usize = 4 * 1024;

/// Sends what is to be announced in `room` at `now`.
pub(super) fn announce(node: &Node, room: &Arc<Room>, now: Instant) {
    let outbox_bytes = usize::try_from(node.settings().outbox.max_bytes.as_u64()).unwrap_or(usize::MAX);
    let mut change = node.hub.take_presence(room, now, outbox_bytes / 4 * 3);
    let mut deliveries: Vec<_> = change.diffs.iter().map(|diff| send_diff(room, diff)).collect();
    for part in &mut change.parts {
        send_part(room, part, &mut deliveries);
    }
    if let Some(tenant) = node.tenants.get(room.tenant()) {
        let delivered = deliveries.iter().map(|delivery| delivery.delivered as u64).sum();
        tenant.metrics.presence_events.increment(delivered);
        let dropped: u64 =
            deliveries.iter().map(|delivery| (delivery.dropped + delivery.evicted) as u64).sum();
        if dropped > 0 {
            tenant.metrics.outbox_dropped.increment(dropped);
            tenant.reports.record(Code::OutboxFull.at(Scope::Log), Code::OutboxFull.text());
        }
    }
}

fn send_diff(room: &Room, diff: &DiffEntries) -> Delivery {
    let payload = presence_diff(&payload(&diff.joins), &payload(&diff.leaves));
    let diff = PresenceDiff { payload: &payload };
    room.announce(&FrameCache::encode(&diff, room.topic(), |dialect| room.has_dialect(dialect)))
}

/// Sends a part of the state to its receivers: the first as `presence_state`, a further one as a diff that only adds.
fn send_part(room: &Room, part: &mut StatePart, deliveries: &mut Vec<Delivery>) {
    let topic = [TOPIC_PREFIX, room.topic()].concat();
    let state = OnceCell::new();
    for receiver in std::mem::take(&mut part.receivers) {
        let StateRequest { dialect, tag, .. } = &receiver;
        let frames = if !part.begins_state() {
            vec![part.frame(*dialect, |entries| {
                let payload = presence_diff(&payload(entries), "{}");
                let diff = PresenceDiff { payload: &payload };
                diff.encode(room.topic(), *dialect).expect("every client's dialect has presence")
            })]
        } else if part.bytes() < SHARED_BYTES_MIN {
            let state = state.get_or_init(|| payload(&part.entries));
            vec![phoenix::push(*dialect, tag, &topic, "presence_state", state)]
        } else {
            let shared = part.frame(*dialect, |entries| {
                phoenix::push_ending(*dialect, state.get_or_init(|| payload(entries)))
            });
            vec![phoenix::push_beginning(*dialect, tag, &topic, "presence_state"), shared]
        };
        deliveries.push(room.send_part(part, &receiver, &frames));
    }
}

fn payload(entries: &[PresenceEntry]) -> String {
    presence_payload(entries.iter().map(|entry| (&*entry.key, &*entry.meta)))
}
