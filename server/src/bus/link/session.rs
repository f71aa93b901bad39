//! The link while it has a connection.
//!
//! A session begins by storing this node's presence and reading that of the others, and ends with the connection. It
//! waits for whatever comes first and handles it; it never waits for a response before it does something else. Pending
//! requests are bounded, and while the bound is reached relay events stay in the hub's queue.

mod inbound;
mod liveness;
mod loss;
mod outbound;
mod requests;
mod resync;
mod subscriptions;

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::cluster_message::ClusterMessage;
use super::peers::Peers;
use super::poll_timer::PollTimer;
use super::room_table::RoomTable;
use super::status::LinkStatus;
use super::stored_presence::StoredPresence;
use super::{Context, OperatorCommand, RELAY_EVENTS_MAX, relay_events, renewal_interval};
use crate::bus::{Arrival, BATCH_MAX, BusConnection, BusError, Inbox, InboxClosed, OpenedConnection};
use inbound::ARRIVALS_MAX;
use liveness::Liveness;
use loss::LossReports;
use requests::{Completed, Requests};
use resync::Resync;
use subscriptions::ReadQueue;

/// How often changed user counts are published.
const USERS_INTERVAL: Duration = Duration::from_secs(1);

/// One connection's time.
pub(super) struct LinkSession<'c, 'l> {
    context: &'c Context,
    peers: &'c mut Peers,
    status: &'c mut LinkStatus<'l>,
    connection: Box<dyn BusConnection>,
    /// Requests without a response.
    requests: Requests,
    /// Messages of the other nodes.
    inbox: Arc<Inbox>,
    /// Those that were taken out of the inbox and are processed next.
    arrivals: VecDeque<Arrival>,
    timer: PollTimer,
    /// Rooms that are subscribed to.
    rooms: RoomTable,
    /// Rooms whose snapshots are to be read.
    reads: ReadQueue,
    /// Rooms whose local snapshot is to be stored, and the lease that this needs.
    resync: Resync,
    /// What is stored over this connection.
    stored: StoredPresence,
    /// Which nodes are alive, and which of them have no complete snapshots yet.
    liveness: Liveness,
    /// Sequence numbers that are to be published.
    loss: LossReports,
}

impl<'c, 'l> LinkSession<'c, 'l> {
    pub(super) fn new(
        context: &'c Context,
        peers: &'c mut Peers,
        status: &'c mut LinkStatus<'l>,
        (connection, inbox): OpenedConnection,
    ) -> Self {
        let stored_max = context.settings.max_presence_bytes_per_tenant.as_u64();
        Self {
            context,
            peers,
            status,
            connection,
            requests: Requests::default(),
            inbox,
            arrivals: VecDeque::new(),
            timer: PollTimer::new(),
            rooms: RoomTable::default(),
            reads: ReadQueue::default(),
            resync: Resync::default(),
            stored: StoredPresence::new(usize::try_from(stored_max).unwrap_or(usize::MAX)),
            liveness: Liveness::new(),
            loss: LossReports::default(),
        }
    }

    /// Relays events and messages until `stop`.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn run(
        mut self,
        operator_commands: &mut mpsc::Receiver<OperatorCommand>,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let timer = self.timer.clone();
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            error = timer.time(self.work(operator_commands)) => Err(error),
        };
        let ended = match ended {
            // The other nodes notice the end in any case, if only when the lease expires.
            Ok(()) => timeout(self.context.settings.timeout, self.leave()).await.unwrap_or(Ok(())),
            lost => lost,
        };
        // Nodes that have missed these messages count them.
        self.context.metrics.unconfirmed.increment(self.requests.messages);
        if self.requests.messages > 0 {
            let waited = self.requests.sent_at.map(|sent_at| sent_at.elapsed());
            self.context.hops.note_lost(waited.unwrap_or_default());
            self.context.losses.note();
        }
        self.rooms.confirm_all(&self.context.hub);
        ended
    }

    async fn work(&mut self, operator_commands: &mut mpsc::Receiver<OperatorCommand>) -> BusError {
        let settings = &self.context.settings;
        let confirmations = subscriptions::confirmation_interval(settings.subscribe_timeout);
        let [mut renewal, mut users, mut confirmations, mut keep_alive] =
            [renewal_interval(settings), USERS_INTERVAL, confirmations, settings.keep_alive].map(interval);
        for interval in [&mut renewal, &mut users, &mut confirmations, &mut keep_alive] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let inbox = Arc::clone(&self.inbox);
        loop {
            self.timer.yield_if_over().await;
            let may_send = self.requests.may_send();
            let deadline = self.rooms.deadline();
            tokio::select! {
                Some(completed) = self.requests.next() => match completed {
                    Ok(completed) => self.complete(completed),
                    Err(lost) => return lost,
                },
                events = relay_events(&self.context.hub), if may_send => self.publish_events(events),
                taken = inbox.take(ARRIVALS_MAX), if self.arrivals.is_empty() => match taken {
                    Ok(arrivals) => self.arrivals = arrivals.into(),
                    Err(InboxClosed) => return BusError::Closed,
                },
                () = ready(()), if !self.arrivals.is_empty() => self.receive_some(),
                () = ready(()), if may_send && self.has_more() => self.do_some(),
                Some(command) = operator_commands.recv() => {
                    self.publish_to_nodes(&ClusterMessage::Operator(command));
                }
                _ = renewal.tick() => self.renew(),
                _ = keep_alive.tick() => self.check(),
                _ = users.tick() => self.publish_changes(),
                _ = confirmations.tick() => self.confirm_queued(),
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                    self.end_subscriptions(Instant::now());
                }
            }
        }
    }

    /// Whether there is work that is done in parts.
    fn has_more(&self) -> bool {
        self.may_read() || self.may_store() || self.may_refresh() || self.may_publish_sequences()
    }

    /// Does some of it.
    fn do_some(&mut self) {
        // Reads first: they begin with the subscriptions of all rooms, and joins wait for some of them.
        if self.may_read() {
            self.read_some();
        } else if self.may_store() {
            self.store_some();
        } else if self.may_refresh() {
            self.refresh_some();
        } else {
            self.publish_some_sequences();
        }
    }

    /// Renews the lease. One renewal at a time, as with checks.
    fn renew(&mut self) {
        if !self.requests.begin_renewal() {
            return;
        }
        if self.loss.take_overflow() {
            self.request_sequences(renewal_interval(&self.context.settings));
        }
        let users = self.peers.all_users(self.context);
        self.publish_to_nodes(&users);
        let renewed = self.connection.renew();
        self.requests.add(renewed, Completed::Renewed);
    }

    /// Checks the connections. One check at a time: the next is not needed before a response, and the queue of a connection
    /// is bounded.
    fn check(&mut self) {
        if self.requests.begin_check() {
            let checked = self.connection.check();
            self.requests.add(checked, |()| Completed::Checked);
        }
    }

    /// Publishes what has changed, once a second.
    fn publish_changes(&mut self) {
        self.context.metrics.subscriptions.set(self.rooms.len() as f64);
        if let Some(users) = self.peers.users_changed(self.context) {
            self.publish_to_nodes(&users);
        }
        self.schedule_sequences();
    }

    fn end_subscriptions(&mut self, now: Instant) {
        self.rooms.confirm_overdue(&self.context.hub, now);
        let ended = self.rooms.take_ended(BATCH_MAX, now);
        ended.iter().for_each(|name| self.peers.received.unsubscribed(name));
        if !ended.is_empty() {
            let unsubscribed = self.connection.unsubscribe(&ended);
            self.requests.add_subscriptions(unsubscribed.map_ok(|()| Vec::new()).boxed());
        }
    }

    /// Handles a response.
    fn complete(&mut self, completed: Completed) {
        self.requests.completed(&completed);
        match completed {
            Completed::Checked => {}
            Completed::SubscriptionsChanged(rejected) => self.note_unsubscribable(rejected),
            Completed::Sent(sent) => self.note_sent(sent),
            Completed::Stored(sent) => {
                self.note_sent(sent);
                self.note_stored();
            }
            Completed::Refreshed(rejected) => self.note_refreshed(rejected),
            Completed::Read { rooms, read } => self.note_read(rooms, read),
            Completed::Renewed(renewal) => self.note_renewal(renewal),
        }
        let is_read = self.reads.first.is_empty() || self.resync.is_renewal_rejected;
        if self.resync.is_renewed && self.reads.is_caught_up && !self.resync.has_pending() && is_read {
            self.status.connected();
            self.compare_sequences();
        } else {
            self.status.set_progress(self.resync.progress);
        }
    }

    /// Publishes what has happened up to the end, and leaves the bus. Does not wait for reads: there may be no connection
    /// for them.
    async fn leave(&mut self) -> Result<(), BusError> {
        while let Some(last) = relay_events(&self.context.hub).now_or_never() {
            self.publish_events(last);
        }
        self.publish_to_nodes(&ClusterMessage::Leaving);
        let (mut left, mut has_left) = (self.connection.leave(), false);
        while !has_left || self.requests.is_waiting_for_more_than_reads() {
            tokio::select! {
                response = &mut left, if !has_left => {
                    response?;
                    has_left = true;
                }
                Some(completed) = self.requests.next() => {
                    let completed = completed?;
                    self.requests.completed(&completed);
                    if let Completed::Sent(sent) | Completed::Stored(sent) = completed {
                        self.note_sent(sent);
                    }
                }
            }
        }
        Ok(())
    }
}
