//! Stopping, so that a client notices one reconnect and nothing else.
//!
//! First the server says that it will go (`/readyz`) and serves on, newcomers included, until load balancers
//! have heard it: `server.drain_delay`. Then it closes the door and sends its clients away one after the
//! other (1012), evenly over `server.drain_timeout`, so that those who take them in are not overrun. What is
//! left has `server.shutdown_timeout` to finish. Whoever is in a hurry says so, once or twice: see [`Urgency`].

use std::convert::Infallible;
use std::sync::Weak;
use std::time::{Duration, Instant};

use hub::Outbox;
use settings::format_duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::close_reason::CloseReason;
use crate::node::Node;

/// How often clients are sent away: often enough to be even, seldom enough to be cheap.
const BATCH_EVERY: Duration = Duration::from_millis(50);

/// How often the log says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(3);

/// How much of a drain's patience is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Everything takes the time the settings give it.
    #[default]
    Normal,
    /// No delay, and all goodbyes at once; the clients still have time to answer.
    Soon,
    /// The end, whoever is left.
    Immediate,
}

impl Urgency {
    /// One step more of it.
    #[must_use]
    pub fn more(self) -> Self {
        match self {
            Self::Normal => Self::Soon,
            Self::Soon | Self::Immediate => Self::Immediate,
        }
    }
}

/// What a running server consists of, as far as stopping it goes.
pub(crate) struct Parts<'a> {
    pub(crate) node: &'a Node,
    /// Cancelled, nobody is let in any more, and no HTTP connection is kept for a next request.
    pub(crate) door: &'a CancellationToken,
    /// Cancelled, the tasks end that serve everybody.
    pub(crate) service: &'a CancellationToken,
    /// Everything that runs.
    pub(crate) tasks: &'a TaskTracker,
}

impl Parts<'_> {
    /// Stops the server; when this returns, it has stopped.
    pub(crate) async fn drain(&self, mut urgency: watch::Receiver<Urgency>) {
        tokio::select! {
            () = self.stop(&mut urgency) => {}
            never = report(self.node) => match never {},
        }
    }

    async fn stop(&self, urgency: &mut watch::Receiver<Urgency>) {
        // One snapshot: what counted when the end began counts to the end.
        let (delay, spread, rest) = {
            let server = &self.node.settings().server;
            (server.drain_delay, server.drain_timeout, server.shutdown_timeout)
        };
        self.node.announce_stop();
        if !delay.is_zero() && *urgency.borrow() == Urgency::Normal {
            info!("Stopping: not ready any more, still open for {}", format_duration(delay));
            pause(delay, urgency, Urgency::Soon).await;
        }
        // In this order: whoever gets in after the list is made is told by its own session.
        self.door.cancel();
        self.node.stop_admitting();
        self.disconnect_clients(spread, urgency).await;
        self.service.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => info!("Stopped"),
            () = pause(rest, urgency, Urgency::Immediate) => {
                info!(tasks = self.tasks.len(), "Stopped without waiting for the last connections");
            }
        }
    }

    /// Tells every client to come back (elsewhere), evenly over `spread`.
    async fn disconnect_clients(&self, spread: Duration, urgency: &mut watch::Receiver<Urgency>) {
        let tenants = self.node.tenants.all();
        let everybody: Vec<Weak<Outbox>> =
            tenants.iter().flat_map(|tenant| tenant.sockets.everybody()).collect();
        let (began, mut told) = (Instant::now(), 0);
        info!(clients = everybody.len(), "Stopping: sending the clients away");
        while told < everybody.len() && self.node.connections() > 0 {
            let hurried = *urgency.borrow() >= Urgency::Soon;
            let due = if hurried { everybody.len() } else { due(everybody.len(), began.elapsed(), spread) };
            for outbox in everybody[told..due].iter().filter_map(Weak::upgrade) {
                outbox.disconnect(CloseReason::Restarting.into());
            }
            told = due;
            if told < everybody.len() {
                pause(BATCH_EVERY, urgency, Urgency::Soon).await;
            }
        }
    }
}

/// How many of `all` should have been told after `elapsed`.
fn due(all: usize, elapsed: Duration, spread: Duration) -> usize {
    let share = (elapsed + BATCH_EVERY).as_secs_f64() / spread.as_secs_f64();
    // Infinite without spread: then everybody is due.
    if share < 1.0 { (all as f64 * share).ceil() as usize } else { all }
}

/// Waits for `time`, or until there is `enough` haste.
async fn pause(time: Duration, urgency: &mut watch::Receiver<Urgency>, enough: Urgency) {
    let hurried = async {
        if urgency.wait_for(|urgency| *urgency >= enough).await.is_err() {
            // Nobody is left who could hurry us.
            std::future::pending::<()>().await;
        }
    };
    let _over_or_hurried = tokio::time::timeout(time, hurried).await;
}

/// Says now and then how many clients remain.
async fn report(node: &Node) -> Infallible {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        info!(clients = node.connections(), "Stopping: {} clients remain", node.connections());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_away_evenly_and_all_of_them() {
        let spread = Duration::from_secs(10);
        let after = |seconds: f64| due(1_000, Duration::from_secs_f64(seconds), spread);
        assert_eq!(
            [after(0.0), after(0.95), after(4.95), after(9.95), after(60.0)],
            [5, 100, 500, 1_000, 1_000]
        );
        assert_eq!(due(7, Duration::ZERO, Duration::ZERO), 7);
        assert_eq!(due(1, Duration::ZERO, spread), 1, "nobody is forgotten by rounding");
    }

    #[test]
    fn haste_grows_to_its_end() {
        assert_eq!(Urgency::Normal.more(), Urgency::Soon);
        assert_eq!(Urgency::Soon.more().more(), Urgency::Immediate);
    }
}
