//! The one task that tells rooms what has changed in their presence.
//!
//! The hub lists rooms with something to announce and when each is due. That they are all served by one
//! task is what keeps the diffs of a room in order and its states in agreement with them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use hub::{FrameCache, PresenceChange, Room};
use tokio_util::sync::CancellationToken;
use wire::phoenix;
use wire::supabase::{PresenceDiff, TOPIC_PREFIX, presence_diff, presence_payload};

use crate::node::Node;

/// A listed room; ordered by when it is due, then by when it was listed.
struct Listed {
    due: Instant,
    number: u64,
    room: Arc<Room>,
}

impl Ord for Listed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Listed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Listed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Listed {}

/// Announces until `stop`.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut waiting = BinaryHeap::<Reverse<Listed>>::new();
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
                    waiting.push(Reverse(Listed { due, number, room }));
                }
            }
            () = sleep => {}
        }
        let now = Instant::now();
        while waiting.peek().is_some_and(|Reverse(listed)| listed.due <= now) {
            let Some(Reverse(listed)) = waiting.pop() else { break };
            announce(&node, &listed.room, now);
            // A large room takes a while to tell; connections get their turn in between.
            tokio::task::yield_now().await;
        }
    }
}

fn announce(node: &Node, room: &Room, now: Instant) {
    let change = room.take_presence(now);
    let changed = !change.joins.is_empty() || !change.leaves.is_empty();
    let diff = if changed { encode_diff(&change, room) } else { FrameCache::default() };
    let topic = [TOPIC_PREFIX, room.topic()].concat();
    let present = if change.states.is_empty() { String::new() } else { payload(&change.present) };
    let states: Vec<_> = change
        .states
        .iter()
        .map(|request| phoenix::push(request.dialect, &request.tag, &topic, "presence_state", &present))
        .collect();
    let told = room.announce(&change, &diff, &states);
    if let Some(tenant) = node.tenant(room.tenant()) {
        tenant.metrics.presence_events.increment(told.delivered as u64);
        tenant.metrics.outbox_dropped.increment(told.dropped as u64);
    }
}

fn encode_diff(change: &PresenceChange, room: &Room) -> FrameCache {
    let diff = presence_diff(&payload(&change.joins), &payload(&change.leaves));
    FrameCache::encode(&PresenceDiff { payload: &diff }, room.topic(), |_| true)
}

fn payload(entries: &[hub::Entry]) -> String {
    presence_payload(entries.iter().map(|entry| (&*entry.key, &*entry.meta)))
}
