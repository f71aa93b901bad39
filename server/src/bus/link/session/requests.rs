//! Requests of a session that have no response yet.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::bus::{BusError, BusFuture, LeaseRenewal, RejectedChange, RoomName, StoredSnapshots};

/// Pending requests, and bytes of messages in them. Enough for a connection that sends one batch while the next waits; more
/// would only make a tenant wait behind messages of others that have had their turn.
const REQUESTS_MAX: usize = 256;
const BYTES_MAX: usize = 1024 * 1024;

/// Pending reads. They are bounded apart: snapshots may be unreadable while messages pass.
const READS_MAX: usize = 256;

/// Pending batches of local snapshots. Few, so that messages and renewals do not wait behind much presence.
const STORES_MAX: usize = 2;

#[derive(Default)]
pub(super) struct Requests {
    pending: FuturesUnordered<BoxFuture<'static, Result<Completed, BusError>>>,
    bytes: usize,
    /// Messages of clients in them.
    pub(super) messages: u64,
    reads: usize,
    /// Reads of rooms that there were before this connection.
    pub(super) first_reads: usize,
    pub(super) stores: usize,
    is_checking: bool,
}

/// A response.
pub(super) enum Completed {
    /// A subscription was added or removed.
    SubscriptionsChanged,
    /// All connections respond.
    Checked,
    /// Commands took effect, except for rejected changes.
    Sent(Sent),
    /// The same, for local snapshots.
    Stored(Sent),
    Read {
        rooms: Vec<RoomName>,
        snapshots: Vec<StoredSnapshots>,
        is_first: bool,
    },
    /// The lease is renewed, unless that is rejected.
    Renewed(LeaseRenewal),
}

/// A batch of commands that was sent.
pub(super) struct Sent {
    pub(super) bytes: usize,
    /// Messages of clients in it.
    pub(super) messages: u64,
    pub(super) rejected: Vec<RejectedChange>,
}

impl Requests {
    pub(super) fn add<T: Send + 'static>(
        &self,
        response: BusFuture<T>,
        completed: impl FnOnce(T) -> Completed + Send + 'static,
    ) {
        self.pending.push(response.map(|response| response.map(completed)).boxed());
    }

    /// Adds a batch of commands. `completed` is [`Completed::Sent`] or [`Completed::Stored`].
    pub(super) fn add_batch(
        &mut self,
        response: BusFuture<Vec<RejectedChange>>,
        (bytes, messages): (usize, u64),
        completed: fn(Sent) -> Completed,
    ) {
        self.bytes += bytes;
        self.messages += messages;
        self.add(response, move |rejected| completed(Sent { bytes, messages, rejected }));
    }

    pub(super) fn add_read(
        &mut self,
        rooms: Vec<RoomName>,
        response: BusFuture<Vec<StoredSnapshots>>,
        is_first: bool,
    ) {
        self.reads += 1;
        self.first_reads += usize::from(is_first);
        self.add(response, move |snapshots| Completed::Read { rooms, snapshots, is_first });
    }

    /// Whether a check may begin, because none is pending.
    pub(super) fn begin_check(&mut self) -> bool {
        !std::mem::replace(&mut self.is_checking, true)
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
            Completed::Stored(Sent { bytes, messages, .. }) => {
                self.bytes -= bytes;
                self.messages -= messages;
                self.stores -= 1;
            }
            Completed::Read { is_first, .. } => {
                self.reads -= 1;
                self.first_reads -= usize::from(*is_first);
            }
            Completed::SubscriptionsChanged | Completed::Renewed(_) => {}
        }
    }

    pub(super) fn may_send(&self) -> bool {
        self.pending.len() - self.reads < REQUESTS_MAX && self.bytes < BYTES_MAX
    }

    pub(super) fn may_read(&self) -> bool {
        self.reads < READS_MAX
    }

    pub(super) fn may_store(&self) -> bool {
        self.stores < STORES_MAX
    }

    pub(super) fn is_waiting_for_more_than_reads(&self) -> bool {
        self.pending.len() > self.reads
    }
}
