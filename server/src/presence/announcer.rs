//! The task that sends rooms the changes of their presence.
//!
//! The hub lists rooms with something to announce, and chooses the next one: tenants take turns. One task serves them
//! all, which keeps the diffs of a room in order and its states in agreement with them. It yields often, because what it
//! encodes may be large, and connections wait for this thread.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use hub::{FrameCache, Hub, NextDue, Room};
use tokio_util::sync::CancellationToken;
use wire::phoenix;
use wire::supabase::{PresenceDiff, TOPIC_PREFIX, presence_diff, presence_payload};

use crate::node::Node;
use crate::telemetry::codes::{Code, Scope};

/// How long the task goes on before it yields.
const TURN: Duration = Duration::from_millis(1);

/// Announces until `stop`.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut turn = Instant::now();
    loop {
        let room = tokio::select! {
            () = stop.cancelled() => return,
            room = next_due(&node.hub) => room,
        };
        let begun = Instant::now();
        announce(&node, &room, begun);
        let ended = Instant::now();
        node.hub.charge_announcement(&room.key().tenant, ended - begun);
        if ended - turn >= TURN {
            tokio::task::yield_now().await;
            turn = Instant::now();
        }
    }
}

/// Waits for the next room.
async fn next_due(hub: &Hub) -> Arc<Room> {
    let mut sleep = pin!(tokio::time::sleep(Duration::MAX));
    poll_fn(|cx| {
        loop {
            match hub.next_due(Instant::now(), cx.waker()) {
                NextDue::Room(room) => return Poll::Ready(room),
                NextDue::At(due) => {
                    sleep.as_mut().reset(due.into());
                    ready!(sleep.as_mut().poll(cx));
                }
                NextDue::Idle => return Poll::Pending,
            }
        }
    })
    .await
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
