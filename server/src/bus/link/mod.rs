//! The link between this node's rooms and those of the other nodes.
//!
//! One task takes what departs from the hub and publishes it, keeps the subscriptions equal to the rooms that
//! have members here, and gives the hub what arrives. It holds at most one cable. While there is none, the
//! node does its work alone: rooms open at once, and what was meant for the peers is dropped and counted.
//!
//! Broadcasts that were missed stay missed. Presence does not: a node that is back tells everything it shows
//! and reads what the peers show, and any gap in what is heard is asked for again.

mod cluster_message;
mod commands;
mod log_interval;
mod peers;
mod room_table;
mod sequence;
mod session;
mod status;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hub::{Delivery, Hub, NodeId, RoomEvent};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Bus;
use crate::telemetry::metrics::{BusMetrics, Metrics};
use crate::telemetry::reports::Reports;
use peers::Peers;
use session::LinkSession;
use status::LinkStatus;

pub use cluster_message::OperatorCommand;

/// Controls that may wait to be told; operators give them, one at a time.
const CONTROLS_MAX: usize = 64;

/// Departures taken at once.
const DEPARTURES_MAX: usize = 256;

/// What the link needs of the rest of its node.
pub trait Host: Send + Sync + 'static {
    /// The users of each tenant on this node.
    fn users(&self) -> Vec<(Arc<str>, usize)>;

    /// The other nodes have this many users of `tenant` together.
    fn set_users_elsewhere(&self, tenant: &str, users: usize);

    /// `messages` of other nodes have been given to members here.
    fn delivered(&self, tenant: &str, messages: usize, delivery: Delivery);

    /// Another node has asked all the peers for this.
    fn execute(&self, control: OperatorCommand);
}

/// Whether this node hears the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// There are no peers: no bus is configured.
    Standalone,
    /// It does.
    Connected,
    /// It does, but presence is not shared in full: something is refused that it needs.
    WithoutPresence,
    /// The bus cannot be reached.
    Disconnected {
        /// Since when.
        since: Instant,
    },
}

impl Connectivity {
    /// Its name in `/status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Standalone => "alone",
            Self::Connected => "connected",
            Self::WithoutPresence => "without presence",
            Self::Disconnected { .. } => "away",
        }
    }
}

/// The link as the rest of the node sees it. Clones are the same link.
#[derive(Debug, Clone)]
pub struct ClusterLink(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    connectivity: Mutex<Connectivity>,
    controls: mpsc::Sender<OperatorCommand>,
}

/// The other nodes were not told: the bus cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other nodes cannot be reached")]
pub struct PeersUnreachable;

impl ClusterLink {
    /// The link of a node without peers.
    pub fn alone() -> Self {
        Self(None)
    }

    /// A link over `bus`, and the task that keeps it.
    pub fn over(bus: Arc<dyn Bus>, settings: settings::Bus) -> (Self, LinkTask) {
        let (sender, controls) = mpsc::channel(CONTROLS_MAX);
        let connectivity = Mutex::new(Connectivity::Disconnected { since: Instant::now() });
        let link = Self(Some(Arc::new(Shared { connectivity, controls: sender })));
        (link.clone(), LinkTask { link, bus, settings, controls })
    }

    /// How things stand.
    pub fn connectivity(&self) -> Connectivity {
        self.0.as_ref().map_or(Connectivity::Standalone, |shared| *shared.connectivity.lock())
    }

    /// Asks all other nodes to do this. Those that cannot be reached now will not hear of it later.
    ///
    /// # Errors
    /// When this node does not hear the peers itself. Standalone, there is nobody to be told, which is fine.
    pub fn broadcast(&self, command: OperatorCommand) -> Result<(), PeersUnreachable> {
        match (&self.0, self.connectivity()) {
            (Some(shared), Connectivity::Connected | Connectivity::WithoutPresence) => {
                shared.controls.try_send(command).map_err(|_full| PeersUnreachable)
            }
            (Some(_), _) => Err(PeersUnreachable),
            (None, _) => Ok(()),
        }
    }

    fn set(&self, connectivity: Connectivity) {
        if let Some(shared) = &self.0 {
            *shared.connectivity.lock() = connectivity;
        }
    }
}

/// Keeps a link: connects, and connects again.
pub struct LinkTask {
    link: ClusterLink,
    bus: Arc<dyn Bus>,
    settings: settings::Bus,
    controls: mpsc::Receiver<OperatorCommand>,
}

/// What all parts of the task use, whatever cable there is.
struct Context {
    node: NodeId,
    hub: Arc<Hub>,
    host: Arc<dyn Host>,
    metrics: BusMetrics,
    reports: Reports,
    settings: settings::Bus,
}

impl LinkTask {
    /// Runs until `stop`, and then says goodbye to the peers. `node` is what they call this one, and `hub` is
    /// one among several. Should a bug end it, the node does without the peers from then on: nobody could join
    /// a new room while nobody keeps the link.
    pub async fn run(
        self,
        node: NodeId,
        hub: Arc<Hub>,
        host: Arc<dyn Host>,
        metrics: &Metrics,
        stop: CancellationToken,
    ) {
        let Self { link, bus, settings, controls } = self;
        let (metrics, reports) = (metrics.bus.clone(), metrics.reports(None));
        let context = Context { node, hub, host, metrics, reports, settings };
        let kept = AssertUnwindSafe(keep(&context, &link, &*bus, controls, &stop));
        if kept.catch_unwind().await.is_ok() {
            return;
        }
        error!(
            "The link to the other nodes has ended because of a bug; this node is alone until it starts anew"
        );
        context.metrics.connected.set(0.0);
        link.set(Connectivity::Disconnected { since: Instant::now() });
        for room in context.hub.rooms() {
            // It may have been taken notice of, and nobody let in yet.
            context.hub.confirm_joins(&room);
            room.remote_nodes().into_iter().for_each(|node| context.hub.remove_node_from(&room, node));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = alone(&context.hub) => {}
        }
    }
}

/// Connects, and connects again, until `stop`.
async fn keep(
    context: &Context,
    link: &ClusterLink,
    bus: &dyn Bus,
    mut controls: mpsc::Receiver<OperatorCommand>,
    stop: &CancellationToken,
) {
    let (mut peers, mut standing) = (Peers::default(), LinkStatus::new(context, link, bus.name()));
    // Whoever comes before the first cable stands waits for it, or what is said meanwhile would be lost.
    let mut grace = context.settings.subscribe_timeout;
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            () = alone_after(std::mem::take(&mut grace), &context.hub) => return,
            connected = bus.connect(context.node) => connected,
        };
        let lost = match connected {
            Ok(connected) => {
                context.hub.resume_relay();
                let session = LinkSession::new(context, &mut peers, &mut standing, connected);
                match Box::pin(session.run(&mut controls, stop)).await {
                    Ok(()) => return,
                    Err(lost) => lost,
                }
            }
            Err(unreachable) => unreachable,
        };
        peers.lose(context);
        standing.lose(&lost);
        tokio::select! {
            () = stop.cancelled() => return,
            () = alone(&context.hub) => return,
            () = tokio::time::sleep(standing.wait()) => {}
        }
    }
}

/// Waits for a while, then does without the peers.
async fn alone_after(grace: Duration, hub: &Arc<Hub>) {
    tokio::time::sleep(grace).await;
    alone(hub).await;
}

/// Does without the peers: lets everybody in, and keeps nothing for later. Never ends.
async fn alone(hub: &Arc<Hub>) {
    hub.pause_relay();
    loop {
        for departure in departures(hub).await {
            match departure {
                RoomEvent::RoomOpened(room) => hub.confirm_joins(&room),
                // Taken, so that the room says when there is more.
                RoomEvent::PresenceChanged(room) => drop(room.take_delta()),
                RoomEvent::Published { .. }
                | RoomEvent::RoomClosed { .. }
                | RoomEvent::MemberJoined(_)
                | RoomEvent::MemberLeft(_) => {}
            }
        }
    }
}

async fn departures(hub: &Hub) -> Vec<RoomEvent> {
    poll_fn(|cx| hub.poll_relay(DEPARTURES_MAX, cx.waker())).await
}

/// A third of the lease: two of three attempts to renew it may fail.
fn renewal(settings: &settings::Bus) -> Duration {
    (settings.lease / 3).max(Duration::from_millis(1))
}
