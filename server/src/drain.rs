//! Stopping, so that a client notices one reconnect and nothing else.
//!
//! First the server reports that it is not ready (`/readyz`) and serves on, new clients included, until load balancers
//! have noticed: `server.drain_delay`. Then it closes its listener and disconnects its clients one after the other
//! (1012), evenly over `server.drain_timeout`, so that the servers they reconnect to are not overloaded. What is left
//! has `server.shutdown_timeout` to finish. A higher [`Urgency`] shortens this.

use std::convert::Infallible;
use std::sync::Weak;
use std::time::{Duration, Instant};

use hub::Outbox;
use settings::format_duration;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::close_reason::CloseReason;
use crate::node::{LifecyclePhase, Node, Urgency};

/// How often clients are disconnected: often enough to be even, seldom enough to be cheap.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);

/// How often the log reports the progress.
const REPORT_INTERVAL: Duration = Duration::from_secs(3);

/// Stops `node` up to the end of `tasks`, which are all its tasks but the link to the other nodes.
pub(crate) async fn drain(node: &Node, tasks: &TaskTracker) {
    tokio::select! {
        () = stop(node, tasks) => {}
        never = report(node) => match never {},
    }
}

async fn stop(node: &Node, tasks: &TaskTracker) {
    // One snapshot: a reload during the drain does not change how long it takes.
    let (delay, spread, rest) = {
        let server = &node.settings().server;
        (server.drain_delay, server.drain_timeout, server.shutdown_timeout)
    };
    let lifecycle = &node.lifecycle;
    lifecycle.enter(LifecyclePhase::NotReady);
    if !delay.is_zero() && lifecycle.urgency() == Urgency::Normal {
        info!("Stopping: not ready any more, still open for {}", format_duration(delay));
        pause(node, delay, Urgency::Soon).await;
    }
    // Before the clients are listed: a connection that registers later closes itself, because it sees the phase.
    lifecycle.enter(LifecyclePhase::Draining);
    disconnect_clients(node, spread).await;
    lifecycle.enter(LifecyclePhase::Stopping);
    tasks.close();
    tokio::select! {
        () = tasks.wait() => info!("Stopped"),
        () = pause(node, rest, Urgency::Immediate) => {
            info!(tasks = tasks.len(), "Stopped without waiting for the last connections");
        }
    }
}

/// Disconnects every client (1012), evenly over `spread`.
async fn disconnect_clients(node: &Node, spread: Duration) {
    let tenants = node.tenants.all();
    let clients: Vec<Weak<Outbox>> = tenants.iter().flat_map(|tenant| tenant.sockets.outboxes()).collect();
    let (began, mut disconnected) = (Instant::now(), 0);
    info!(clients = clients.len(), "Stopping: disconnecting the clients");
    while disconnected < clients.len() && node.connections() > 0 {
        let at_once = node.lifecycle.urgency() >= Urgency::Soon;
        let due = if at_once { clients.len() } else { due(clients.len(), began.elapsed(), spread) };
        for outbox in clients[disconnected..due].iter().filter_map(Weak::upgrade) {
            outbox.disconnect(CloseReason::Restarting.into());
        }
        disconnected = due;
        if disconnected < clients.len() {
            pause(node, BATCH_INTERVAL, Urgency::Soon).await;
        }
    }
}

/// How many of `all` clients should have been disconnected after `elapsed`.
fn due(all: usize, elapsed: Duration, spread: Duration) -> usize {
    let share = (elapsed + BATCH_INTERVAL).as_secs_f64() / spread.as_secs_f64();
    // Infinite without spread: then all are due.
    if share < 1.0 { (all as f64 * share).ceil() as usize } else { all }
}

/// Waits for `time`, or until the urgency is at least `enough`.
async fn pause(node: &Node, time: Duration, enough: Urgency) {
    let _over_or_urgent = tokio::time::timeout(time, node.lifecycle.wait_for_urgency(enough)).await;
}

/// Logs now and then how many clients remain.
async fn report(node: &Node) -> Infallible {
    loop {
        tokio::time::sleep(REPORT_INTERVAL).await;
        info!(clients = node.connections(), "Stopping: {} clients remain", node.connections());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_disconnected_evenly_and_all_of_them() {
        let spread = Duration::from_secs(10);
        let after = |seconds: f64| due(1_000, Duration::from_secs_f64(seconds), spread);
        assert_eq!(
            [after(0.0), after(0.95), after(4.95), after(9.95), after(60.0)],
            [5, 100, 500, 1_000, 1_000]
        );
        assert_eq!(due(7, Duration::ZERO, Duration::ZERO), 7);
        assert_eq!(due(1, Duration::ZERO, spread), 1, "rounding leaves out no client");
    }
}
