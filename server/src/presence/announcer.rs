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

use hub::{Hub, NextDue, Room};
use tokio_util::sync::CancellationToken;

use super::announcement::announce;
use crate::node::Node;

/// How long the task goes on before it yields.
const YIELD_INTERVAL: Duration = Duration::from_micros(500);

/// Announces until `stop`.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut yielded = Instant::now();
    loop {
        let room = tokio::select! {
            () = stop.cancelled() => return,
            room = next_due(&node.hub) => room,
        };
        let begun = Instant::now();
        announce(&node, &room, begun);
        let ended = Instant::now();
        node.hub.charge_announcement(&room.key().tenant, ended - begun);
        if ended - yielded >= YIELD_INTERVAL {
            tokio::task::yield_now().await;
            yielded = Instant::now();
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
