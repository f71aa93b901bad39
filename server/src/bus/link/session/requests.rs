//! Requests of a session that have no response yet.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hub::MemoryCharge;

use crate::bus::link::room_turns::RoomTurn;
use crate::bus::{BATCH_BYTES, BusError, BusFuture, LeaseRenewal, ReadRooms, RejectedCommand};

/// Pending requests, and bytes of messages in them. Enough for a connection that sends one batch while the next waits; more
/// would only make a tenant wait behind messages of others that have had their turn.
const REQUESTS_MAX: usize = 256;
const BYTES_MAX: usize = 1024 * 1024;

/// Pending changes of subscriptions. They are bounded apart: their responses come behind the messages of the other nodes, so
/// with those in the number above, much that is received would hold back what is published.
const SUBSCRIPTIONS_MAX: usize = 512;

/// Pending reads. They are bounded apart: snapshots may be unreadable while messages pass. Few, because each may hold a
/// batch of snapshots, and so that a room that opens does not wait behind many.
const READS_MAX: usize = 4;

/// Pending batches of local snapshots, if the first is not larger than usual. Few, so that messages and renewals do not wait
/// behind much presence, and because each holds its snapshots.
const STORES_MAX: usize = 2;

#[derive(Default)]
pub(super) struct Requests {
    pending: FuturesUnordered<BoxFuture<'static, Result<Completed, BusError>>>,
    bytes: usize,
    /// Messages of clients in them.
    pub(super) messages: u64,
    /// When the last batch with messages was sent.
    pub(super) sent_at: Option<Instant>,
    reads: usize,
    subscriptions: usize,
    pub(super) stores: usize,
    store_bytes: usize,
    is_checking: bool,
    is_renewing: bool,
    is_refreshing: bool,
}

/// A response.
pub(super) enum Completed {
    /// Subscriptions were added, except for those that were rejected, or removed.
    SubscriptionsChanged(Vec<RejectedCommand>),
    /// All connections respond.
    Checked,
    /// Commands took effect, except for rejected changes.
    Sent(Sent),
    /// The same, for local snapshots.
    Stored(Sent),
    /// The lifetime of stored snapshots was extended.
    Refreshed(Vec<RejectedCommand>),
    /// Snapshots in the first of these rooms.
    Read { rooms: Vec<RoomTurn>, read: ReadRooms },
    /// The lease is renewed, unless that is rejected.
    Renewed(LeaseRenewal),
}

/// A batch of commands that was sent.
pub(super) struct Sent {
    pub(super) bytes: usize,
    /// Messages of clients in it.
    pub(super) messages: u64,
    /// Time until the response.
    pub(super) took: Duration,
    pub(super) rejected: Vec<RejectedCommand>,
}

impl Requests {
    pub(super) fn add<T: Send + 'static>(
        &self,
        response: BusFuture<T>,
        completed: impl FnOnce(T) -> Completed + Send + 'static,
    ) {
        self.pending.push(response.map(|response| response.map(completed)).boxed());
    }

    /// Adds a batch of commands, of which large ones are charged.
    pub(super) fn add_batch(
        &mut self,
        response: BusFuture<Vec<RejectedCommand>>,
        (bytes, messages): (usize, u64),
        charges: Vec<MemoryCharge>,
    ) {
        self.bytes += bytes;
        self.messages += messages;
        let sent_at = Instant::now();
        self.sent_at = if messages > 0 { Some(sent_at) } else { self.sent_at };
        self.add(response, move |rejected| {
            drop(charges);
            Completed::Sent(Sent { bytes, messages, took: sent_at.elapsed(), rejected })
        });
    }

    /// Adds a batch of local snapshots. Messages may be sent meanwhile, however many bytes it has.
    pub(super) fn add_store(
        &mut self,
        response: BusFuture<Vec<RejectedCommand>>,
        bytes: usize,
        charges: Vec<MemoryCharge>,
    ) {
        self.stores += 1;
        self.store_bytes += bytes;
        let sent_at = Instant::now();
        self.add(response, move |rejected| {
            drop(charges);
            Completed::Stored(Sent { bytes, messages: 0, took: sent_at.elapsed(), rejected })
        });
    }

    /// Adds a change of subscriptions, which are rejected for the rooms of the response.
    pub(super) fn add_subscriptions(&mut self, response: BusFuture<Vec<RejectedCommand>>) {
        self.subscriptions += 1;
        self.add(response, Completed::SubscriptionsChanged);
    }

    pub(super) fn add_read(&mut self, rooms: Vec<RoomTurn>, response: BusFuture<ReadRooms>) {
        self.reads += 1;
        self.add(response, move |read| Completed::Read { rooms, read });
    }

    /// Whether a check may begin, because none is pending.
    pub(super) fn begin_check(&mut self) -> bool {
        !std::mem::replace(&mut self.is_checking, true)
    }

    /// Whether a renewal may begin, because none is pending: over a slow connection they would queue up.
    pub(super) fn begin_renewal(&mut self) -> bool {
        !std::mem::replace(&mut self.is_renewing, true)
    }

    pub(super) fn add_refresh(&mut self, response: BusFuture<Vec<RejectedCommand>>) {
        self.is_refreshing = true;
        self.add(response, Completed::Refreshed);
    }

    /// Waits for the next response. `None` if no request is pending.
    pub(super) async fn next(&mut self) -> Option<Result<Completed, BusError>> {
        self.pending.next().await
    }

    /// A request is not pending any more.
    pub(super) fn completed(&mut self, completed: &Completed) {
        match completed {
            Completed::Checked => self.is_checking = false,
            Completed::Sent(Sent { bytes, messages, .. }) => {
                self.bytes -= bytes;
                self.messages -= messages;
            }
            Completed::Stored(Sent { bytes, .. }) => {
                self.stores -= 1;
                self.store_bytes -= bytes;
            }
            Completed::Read { .. } => self.reads -= 1,
            Completed::Refreshed(_) => self.is_refreshing = false,
            Completed::Renewed(_) => self.is_renewing = false,
            Completed::SubscriptionsChanged(_) => self.subscriptions -= 1,
        }
    }

    pub(super) fn may_send(&self) -> bool {
        self.pending.len() - self.reads - self.subscriptions < REQUESTS_MAX
            && self.subscriptions < SUBSCRIPTIONS_MAX
            && self.bytes < BYTES_MAX
    }

    pub(super) fn may_read(&self) -> bool {
        self.reads < READS_MAX
    }

    pub(super) fn may_store(&self) -> bool {
        self.stores < STORES_MAX && self.store_bytes < 2 * BATCH_BYTES
    }

    pub(super) fn may_refresh(&self) -> bool {
        !self.is_refreshing
    }

    pub(super) fn is_waiting_for_more_than_reads(&self) -> bool {
        self.pending.len() > self.reads
    }
}
