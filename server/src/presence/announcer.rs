//! The task that sends rooms the changes of their presence.
//!
//! The hub lists rooms with something to announce and when each is due. One task serves them all, which keeps the diffs
//! of a room in order and its states in agreement with them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use hub::{FrameCache, Room};
use tokio_util::sync::CancellationToken;
use wire::phoenix;
use wire::supabase::{PresenceDiff, TOPIC_PREFIX, presence_diff, presence_payload};

use crate::node::Node;
use crate::telemetry::codes::{Code, Scope};

/// A listed room; ordered by when it is due, then by when it was listed.
struct DueRoom {
    due: Instant,
    number: u64,
    room: Arc<Room>,
}

impl Ord for DueRoom {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for DueRoom {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DueRoom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for DueRoom {}

/// Announces until `stop`.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut waiting = BinaryHeap::<Reverse<DueRoom>>::new();
    let mut number = 0;
    loop {
        let next_due = waiting.peek().map(|Reverse(listed)| listed.due);
        let sleep = async {
            match next_due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            rooms = poll_fn(|cx| node.hub.poll_due(cx.waker())) => {
                for (due, room) in rooms {
                    number += 1;
                    waiting.push(Reverse(DueRoom { due, number, room }));
                }
            }
            () = sleep => {}
        }
        let now = Instant::now();
        while waiting.peek().is_some_and(|Reverse(listed)| listed.due <= now) {
            let Some(Reverse(listed)) = waiting.pop() else { break };
            announce(&node, &listed.room, now);
            // The diff of a large room takes a while; connections get their turn in between.
            tokio::task::yield_now().await;
        }
    }
}

fn announce(node: &Node, room: &Room, now: Instant) {
    let change = room.take_presence(now);
    let mut deliveries = vec![];
    if !change.joins.is_empty() || !change.leaves.is_empty() {
        let diff = presence_diff(&payload(&change.joins), &payload(&change.leaves));
        let diff = PresenceDiff { payload: &diff };
        deliveries.push(
            room.announce(&FrameCache::encode(&diff, room.topic(), |dialect| room.has_dialect(dialect))),
        );
    }
    if !change.requests.is_empty() {
        let topic = [TOPIC_PREFIX, room.topic()].concat();
        let present = payload(&change.present);
        // One after the other: a large state for a hundred new members is not held a hundred times.
        for request in change.requests.iter().filter(|request| room.has_requester(request)) {
            let state = phoenix::push(request.dialect, &request.tag, &topic, "presence_state", &present);
            deliveries.push(room.send_state(request, &state));
        }
    }
    if let Some(tenant) = node.tenants.get(room.tenant()) {
        tenant
            .metrics
            .presence_events
            .increment(deliveries.iter().map(|delivery| delivery.delivered as u64).sum());
        let dropped: u64 =
            deliveries.iter().map(|delivery| (delivery.dropped + delivery.evicted) as u64).sum();
        if dropped > 0 {
            tenant.metrics.outbox_dropped.increment(dropped);
            tenant.reports.record(Code::OutboxFull.at(Scope::Log), Code::OutboxFull.text());
        }
    }
}

fn payload(entries: &[hub::PresenceEntry]) -> String {
    presence_payload(entries.iter().map(|entry| (&*entry.key, &*entry.meta)))
}
