//! The link between this node's rooms and those of the other nodes.
//!
//! One task takes the hub's relay events and publishes them, keeps the subscriptions equal to the rooms that have members
//! here, and delivers to the hub what other nodes publish. It has at most one bus connection. While there is none, the
//! node is standalone: rooms open at once, and messages for other nodes are dropped and counted.
//!
//! Broadcasts that are lost stay lost. Presence is repaired in one way: a node that misses something reads the
//! stored snapshot again, which is stored together with each message. For that, a node that reconnects stores everything anew.
//! Why snapshots belong to a connection and not to a lease is in `docs/bus-protocol.md`.

mod cluster_message;
mod commands;
mod credentials;
mod document_peers;
mod failing_rooms;
mod history;
mod log_interval;
mod peers;
mod poll_timer;
mod room_table;
mod room_turns;
mod sequence;
mod session;
mod status;
mod stored_presence;

use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hub::{Bounds, Delivery, Hub, NodeId, RoomEvent, RoomKey, TenantMemory};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;
use wire::relay::Events;

use super::{Bus, BusError, LargeRooms};
use crate::telemetry::metrics::{BusHops, BusMetrics, Metrics};
use crate::telemetry::reports::Reports;
use crate::telemetry::traces::TraceSpan;
use peers::Peers;
use session::LinkSession;
use status::LinkStatus;

pub use cluster_message::OperatorCommand;
pub use document_peers::DocumentPeers;
pub use history::KeptFrames;
use history::Losses;

/// Operator commands that may wait to be published; there is one at a time.
const OPERATOR_COMMANDS_MAX: usize = 64;

/// Relay events taken at once. Tenants take turns in the hub's relay queue, so what is taken and not sent yet should be
/// little.
const RELAY_EVENTS_MAX: Bounds = Bounds { frames: 64, bytes: 64 * 1024 };

/// What the link uses of the rest of its node.
pub trait LinkHost: Send + Sync + 'static {
    /// The users of each tenant on this node.
    fn users(&self) -> Vec<(Arc<str>, usize)>;

    /// The account of the memory of `tenant`, if there is such a tenant.
    fn memory(&self, tenant: &str) -> Option<Arc<TenantMemory>>;

    /// Sets how many users of `tenant` the other nodes have together.
    fn set_users_elsewhere(&self, tenant: &str, users: usize);

    /// Sets how many users of all tenants the other nodes have together, of those too that this node does not know.
    fn set_all_users_elsewhere(&self, users: usize);

    /// Counts `messages` of other nodes that were delivered to members on this node.
    fn delivered(&self, tenant: &str, messages: usize, delivery: Delivery);

    /// Begins the spans of the receipt of those broadcasts in `room` that another node has published in a span.
    fn begin_receipts(&self, events: &Events<'_>, room: &RoomKey) -> Vec<TraceSpan>;

    /// Executes a command that another node has published.
    fn execute(&self, command: OperatorCommand);

    /// The shared documents of this node, while there are any.
    fn documents(&self) -> Option<Arc<dyn DocumentPeers>>;
}

/// Whether this node is connected to the other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// No bus is configured.
    Standalone,
    /// Messages and presence are shared.
    Connected,
    /// Messages are shared, and presence is not, or not in full: a command that it needs is rejected.
    WithoutPresence,
    /// The bus cannot be reached.
    Disconnected {
        /// When the connection was lost.
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

/// What a node has done of the storing and reading with which a connection begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResyncProgress {
    /// Rooms with presence of this node that are stored.
    pub rooms_stored: usize,
    /// Rooms to store; grows while the rooms of this node are gone through.
    pub rooms_to_store: usize,
    /// Bytes of presence that are stored.
    pub bytes_stored: usize,
    /// Bytes to store.
    pub bytes_to_store: usize,
    /// Rooms whose presence on other nodes is read.
    pub rooms_read: usize,
    /// Rooms to read.
    pub rooms_to_read: usize,
    /// Bytes of presence that are read.
    pub bytes_read: usize,
}

/// The link as the rest of the node uses it. Clones are the same link.
#[derive(Debug, Clone)]
pub struct ClusterLink(Option<Arc<Shared>>);

struct Shared {
    bus: Arc<dyn Bus>,
    losses: Arc<Losses>,
    /// Whether all nodes decode the spans of broadcasts.
    sends_spans: Arc<AtomicBool>,
    connectivity: Mutex<Connectivity>,
    resync: Mutex<Option<ResyncProgress>>,
    failing_rooms: AtomicUsize,
    operator_commands: mpsc::Sender<OperatorCommand>,
    /// Notified when there are credentials to be tried.
    offered_credentials: watch::Sender<()>,
    /// Notified when the bus uses other credentials, with which an attempt to connect may succeed.
    used_credentials: watch::Sender<()>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared").field("connectivity", &self.connectivity).finish_non_exhaustive()
    }
}

/// A command was not published: the bus cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other nodes cannot be reached")]
pub struct PeersUnreachable;

impl ClusterLink {
    /// The link of a node without a bus.
    pub fn standalone() -> Self {
        Self(None)
    }

    /// A link over `bus`, and the task that runs it.
    pub fn over(bus: Arc<dyn Bus>, settings: settings::Bus) -> (Self, LinkTask) {
        let (sender, operator_commands) = mpsc::channel(OPERATOR_COMMANDS_MAX);
        let connectivity = Mutex::new(Connectivity::Disconnected { since: Instant::now() });
        let (losses, sends_spans) = (Arc::<Losses>::default(), Arc::<AtomicBool>::default());
        let shared = Shared {
            bus: Arc::clone(&bus),
            losses: Arc::clone(&losses),
            sends_spans: Arc::clone(&sends_spans),
            connectivity,
            resync: Mutex::new(None),
            failing_rooms: AtomicUsize::new(0),
            operator_commands: sender,
            offered_credentials: watch::Sender::default(),
            used_credentials: watch::Sender::default(),
        };
        let shared = Arc::new(shared);
        let link = Self(Some(Arc::clone(&shared)));
        (link, LinkTask { shared, bus, losses, sends_spans, settings, operator_commands })
    }

    /// Whether messages reach the other nodes.
    pub fn is_connected(&self) -> bool {
        matches!(self.connectivity(), Connectivity::Connected | Connectivity::WithoutPresence)
    }

    /// The present connectivity.
    pub fn connectivity(&self) -> Connectivity {
        self.0.as_ref().map_or(Connectivity::Standalone, |shared| *shared.connectivity.lock())
    }

    /// How far a resync is, while the connection is not established because of it.
    pub fn resync(&self) -> Option<ResyncProgress> {
        self.0.as_ref().and_then(|shared| *shared.resync.lock())
    }

    /// Rooms whose presence is not shared, while that of others is.
    pub fn failing_rooms(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.failing_rooms.load(Ordering::Relaxed))
    }

    /// Whether broadcasts reach the other nodes with the spans they are published in. Not while one of them cannot decode these.
    pub fn sends_spans(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.sends_spans.load(Ordering::Relaxed))
    }

    /// Publishes a command to all other nodes. Nodes that cannot be reached now do not receive it later.
    ///
    /// # Errors
    /// When this node is disconnected. A standalone node has no other nodes, which is no error.
    pub fn broadcast(&self, command: OperatorCommand) -> Result<(), PeersUnreachable> {
        match (&self.0, self.connectivity()) {
            (Some(shared), Connectivity::Connected | Connectivity::WithoutPresence) => {
                shared.operator_commands.try_send(command).map_err(|_full| PeersUnreachable)
            }
            (Some(_), _) => Err(PeersUnreachable),
            (None, _) => Ok(()),
        }
    }

    /// Has the user and the password of these settings tried, before they are used.
    pub fn use_credentials(&self, settings: &settings::Bus) {
        if let Some(shared) = &self.0
            && shared.bus.offer_credentials(settings)
        {
            shared.offered_credentials.send_replace(());
        }
    }

    /// Whether the server of the bus refuses the credentials of the newest settings.
    pub fn refuses_credentials(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.bus.refuses_credentials())
    }

    fn set_resync(&self, progress: Option<ResyncProgress>) {
        if let Some(shared) = &self.0 {
            *shared.resync.lock() = progress;
        }
    }

    fn set_failing_rooms(&self, rooms: usize) {
        if let Some(shared) = &self.0 {
            shared.failing_rooms.store(rooms, Ordering::Relaxed);
        }
    }

    fn set(&self, connectivity: Connectivity) {
        if let Some(shared) = &self.0 {
            *shared.connectivity.lock() = connectivity;
        }
    }
}

/// Runs a link: connects, and reconnects.
pub struct LinkTask {
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
    losses: Arc<Losses>,
    sends_spans: Arc<AtomicBool>,
    settings: settings::Bus,
    operator_commands: mpsc::Receiver<OperatorCommand>,
}

/// What all parts of the task use, over every connection.
struct Context {
    node: NodeId,
    hub: Arc<Hub>,
    host: Arc<dyn LinkHost>,
    metrics: BusMetrics,
    hops: BusHops,
    reports: Reports,
    settings: settings::Bus,
    /// Rooms with more presence than a batch, which are charged to their tenants.
    large: LargeRooms,
    losses: Arc<Losses>,
    sends_spans: Arc<AtomicBool>,
}

impl Context {
    /// The first and the longest wait before a room that fails by itself is tried again.
    fn retry_waits(&self) -> (Duration, Duration) {
        (renewal_interval(&self.settings), self.settings.lease * 2)
    }
}

impl LinkTask {
    /// Runs until `stop`, and then removes this node from the bus. `node` is its id there; `hub` has a relay.
    pub async fn run(
        self,
        node: NodeId,
        hub: Arc<Hub>,
        host: Arc<dyn LinkHost>,
        metrics: &Metrics,
        stop: CancellationToken,
    ) {
        let trials = credentials::try_offered(Arc::clone(&self.shared), metrics.reports(None));
        tokio::select! {
            () = Box::pin(self.keep_connected(node, hub, host, metrics, stop)) => {}
            () = trials => {}
        }
    }

    async fn keep_connected(
        self,
        node: NodeId,
        hub: Arc<Hub>,
        host: Arc<dyn LinkHost>,
        metrics: &Metrics,
        stop: CancellationToken,
    ) {
        let Self { shared, bus, losses, sends_spans, settings, mut operator_commands } = self;
        let mut credentials = shared.used_credentials.subscribe();
        let link = ClusterLink(Some(shared));
        let (hops, reports) = (metrics.hops.clone(), metrics.reports(None));
        let metrics = metrics.bus.clone();
        let accounts = Arc::clone(&host);
        let large = LargeRooms::new(move |room| accounts.memory(room_table::tenant(room)));
        let context =
            Context { node, hub, host, metrics, hops, reports, settings, large, losses, sends_spans };
        let (mut peers, mut status) = (Peers::default(), LinkStatus::new(&context, &link, bus.name()));
        // The first joins wait for the first connection, or they would miss what is published meanwhile.
        let mut grace = context.settings.subscribe_timeout;
        loop {
            credentials.mark_unchanged();
            let connected = tokio::select! {
                () = stop.cancelled() => return,
                () = run_disconnected(std::mem::take(&mut grace), &context.hub) => return,
                connected = bus.connect(context.node) => connected,
            };
            let error = match connected {
                Ok(connection) => {
                    context.hub.resume_relay();
                    let session = LinkSession::new(&context, &mut peers, &mut status, connection);
                    let ended = Box::pin(session.run(&mut operator_commands, &stop));
                    match AssertUnwindSafe(ended).catch_unwind().await {
                        Ok(Ok(())) => return,
                        Ok(Err(error)) => error,
                        Err(_panic) => recover(&context),
                    }
                }
                Err(error) => error,
            };
            peers.disconnected(&context);
            status.disconnected(&error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = run_disconnected(Duration::ZERO, &context.hub) => return,
                Ok(()) = credentials.changed() => {}
                () = tokio::time::sleep(status.next_wait()) => {}
            }
        }
    }
}

/// A bug has ended a session. Its connection is given up; everything is read and stored anew over the next one.
fn recover(context: &Context) -> BusError {
    error!("The link to the other nodes has panicked because of a bug; it connects again");
    // Joins may have been about to be confirmed.
    context.hub.rooms().iter().for_each(|room| context.hub.confirm_joins(room));
    BusError::Unusable("the link has panicked".into())
}

/// After `grace`, confirms joins at once and drops messages for other nodes. Never ends.
async fn run_disconnected(grace: Duration, hub: &Arc<Hub>) {
    tokio::time::sleep(grace).await;
    hub.pause_relay();
    loop {
        for event in relay_events(hub).await {
            match event {
                RoomEvent::RoomOpened(room) => hub.confirm_joins(&room),
                // Taken, so that the room reports the next change.
                RoomEvent::PresenceChanged(room) => drop(room.take_delta()),
                RoomEvent::Published { .. }
                | RoomEvent::RoomClosed { .. }
                | RoomEvent::MemberJoined(_)
                | RoomEvent::MemberLeft(_) => {}
            }
        }
    }
}

async fn relay_events(hub: &Hub) -> Vec<RoomEvent> {
    poll_fn(|cx| hub.poll_relay(RELAY_EVENTS_MAX, cx.waker())).await
}

/// The time between renewals: a third of the lease, so that two of three attempts may fail.
fn renewal_interval(settings: &settings::Bus) -> Duration {
    (settings.lease / 3).max(Duration::from_millis(1))
}
