//! The connection to Redis that reads stored snapshots.
//!
//! No message is lost with it: snapshots are read after the subscriptions are confirmed, whenever that is. So it is
//! opened again on its own, with growing waits, and reads again what had no response. If the lease of this node does not
//! exist where a new connection leads, the address leads to another server: what is missing there means nothing, and
//! the bus connection is given up as a whole.
//!
//! Redis is asked for sizes first, so that a response has [`BATCH_BYTES`] or a single room in it, of those with more one at
//! a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hub::NodeId;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Role;
use super::connection::{Commands, RedisConnection, accepted, read};
use super::keys::{BASE, Incarnation, Keys, POSITION, UPDATED};
use super::lease::{Lease, incarnations_in};
use crate::bus::{
    BATCH_BYTES, BusError, BusRejection, Inbox, LargeRooms, RETRY, ReadRooms, RoomName, StoredSnapshot,
    StoredSnapshots,
};

/// Failed attempts to connect before the failure is reported.
const ATTEMPTS: u32 = 3;

/// Connections that may be lost over the same room before it cannot be read.
const READS_MAX: u32 = 4;

/// Bytes assumed for a snapshot whose size may not be asked for.
const UNKNOWN_BYTES: usize = BATCH_BYTES / 16;

/// Reads snapshots over a connection that is replaced when it is lost. Clones share it; it is closed when the last one
/// is dropped.
#[derive(Clone)]
pub(super) struct SnapshotReader {
    keys: Keys,
    /// This node: its own snapshots need not be read.
    node: NodeId,
    opened: watch::Receiver<Option<NumberedConnection>>,
    /// The newest connection that is known to be lost.
    lost: Arc<watch::Sender<u64>>,
    /// Why the last attempts to connect have failed.
    failure: Arc<Mutex<Option<String>>>,
}

/// A connection, and how many there were up to it.
#[derive(Clone)]
struct NumberedConnection {
    number: u64,
    connection: RedisConnection,
}

/// The incarnations with a snapshot in one room, or why they cannot be read.
type Listed = Result<Vec<Incarnation>, BusRejection>;

impl SnapshotReader {
    /// Starts the task that opens the connection. It closes `inbox` when the address leads to another server.
    pub(super) fn start(lease: &Lease, inbox: &Arc<Inbox>) -> Self {
        let (opening, opened) = watch::channel(None);
        let (lost, failure) = (Arc::new(watch::Sender::new(0)), Arc::default());
        let (keys, node) = (lease.shared.keys.clone(), lease.incarnation.node);
        let reader = Self { keys, node, opened, lost: Arc::clone(&lost), failure: Arc::clone(&failure) };
        let task = ReaderTask { lease: lease.clone(), opening, lost, failure, failures: AtomicU32::new(0) };
        tokio::spawn(task.run(Arc::clone(inbox)));
        reader
    }

    /// Why nothing can be read, if the last attempts to connect have failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// The snapshots of other live nodes in the first of these rooms.
    pub(super) async fn snapshots(
        &self,
        rooms: &[RoomName],
        large: &LargeRooms,
    ) -> Result<ReadRooms, BusError> {
        let (mut opened, mut newest, mut rooms) = (self.opened.clone(), 0, rooms);
        for _ in 0..READS_MAX {
            let next = opened.wait_for(|it| it.as_ref().is_some_and(|it| it.number > newest)).await;
            let next = next.ok().and_then(|it| it.clone());
            let NumberedConnection { number, connection } = next.ok_or(BusError::Closed)?;
            match self.read(&connection, rooms, large).await {
                Err(BusError::TimedOut | BusError::Closed | BusError::Unreachable(_)) => {}
                read => return read,
            }
            // Perhaps because of what is read.
            rooms = &rooms[..rooms.len().min(1)];
            newest = number;
            mark_lost(&self.lost, number);
        }
        let reason = "the connection is lost each time its presence is read";
        Ok(ReadRooms { rooms: vec![Err(BusRejection::Room(reason.into()))], large: None })
    }

    async fn read(
        &self,
        connection: &RedisConnection,
        rooms: &[RoomName],
        large: &LargeRooms,
    ) -> Result<ReadRooms, BusError> {
        let listed = self.list(connection, rooms).await?;
        let sizes = self.sizes(connection, rooms, &listed).await?;
        let mut total = 0;
        let fits = |size: &&usize| {
            total += **size;
            total <= BATCH_BYTES
        };
        let fitting = sizes.iter().take_while(fits).count().max(1).min(rooms.len());
        let bytes = sizes.iter().take(fitting).sum();
        let large = match rooms.first().filter(|_| bytes > BATCH_BYTES) {
            Some(room) => Some(large.begin_read(room, bytes).await),
            None => None,
        };
        let listed = listed.into_iter().take(fitting).collect();
        Ok(ReadRooms { rooms: self.read_rooms(connection, rooms, listed).await?, large })
    }

    /// Which other incarnations have a snapshot, in each room.
    async fn list(&self, connection: &RedisConnection, rooms: &[RoomName]) -> Result<Vec<Listed>, BusError> {
        let mut commands = Commands::default();
        for room in rooms {
            commands.push(cmd("SMEMBERS").arg(self.keys.present(room)));
        }
        let responses = connection.responses(commands).await?.into_iter();
        let listed = responses.map(|response| {
            let mut listed = accepted(response.and_then(incarnations_in))?;
            listed.iter_mut().for_each(|listed| listed.retain(|it| it.node != self.node));
            Ok(listed)
        });
        listed.collect()
    }

    /// About how many bytes the snapshots have, in each room.
    async fn sizes(
        &self,
        connection: &RedisConnection,
        rooms: &[RoomName],
        listed: &[Listed],
    ) -> Result<Vec<usize>, BusError> {
        let mut commands = Commands::default();
        for (room, incarnations) in rooms.iter().zip(listed) {
            for incarnation in incarnations.iter().flatten() {
                commands.push(cmd("MEMORY").arg("USAGE").arg(self.keys.snapshot(room, *incarnation)));
            }
        }
        let mut responses = connection.responses(commands).await?.into_iter();
        let mut size = || match responses.next() {
            Some(Ok(Value::Int(bytes))) => usize::try_from(bytes).unwrap_or(UNKNOWN_BYTES),
            Some(Ok(Value::Nil)) | None => 0,
            // Only sizes are unknown without the permission.
            Some(_) => UNKNOWN_BYTES,
        };
        let sizes = listed.iter().map(|listed| listed.iter().flatten().map(|_| size()).sum());
        Ok(sizes.collect())
    }

    async fn read_rooms(
        &self,
        connection: &RedisConnection,
        rooms: &[RoomName],
        listed: Vec<Listed>,
    ) -> Result<Vec<StoredSnapshots>, BusError> {
        let mut commands = Commands::default();
        for (room, incarnations) in rooms.iter().zip(&listed) {
            for incarnation in incarnations.iter().flatten() {
                commands.push(cmd("EXISTS").arg(self.keys.lease(*incarnation)));
                commands.push(cmd("HGETALL").arg(self.keys.snapshot(room, *incarnation)));
            }
        }
        let mut responses = connection.responses(commands).await?.into_iter();
        let mut results = Vec::with_capacity(listed.len());
        for incarnations in listed {
            let mut result = incarnations.as_ref().map(|_| Vec::new()).map_err(BusRejection::clone);
            for incarnation in incarnations.into_iter().flatten() {
                let (is_alive, hash) = (responses.next(), responses.next());
                match (accepted(snapshot(is_alive, hash))?, &mut result) {
                    (Ok(Stored::Expired), _) | (Ok(_), Err(_)) => {}
                    (Ok(Stored::Live(snapshot)), Ok(snapshots)) => {
                        snapshots.push((incarnation.node, snapshot));
                    }
                    (Err(rejection), result) => *result = Err(rejection),
                }
            }
            results.push(result);
        }
        Ok(results)
    }
}

/// What is stored by one incarnation in one room.
enum Stored {
    /// The incarnation has no lease.
    Expired,
    /// Its snapshot; `None` if it was deleted or evicted, or has been removed since it was listed.
    Live(Option<StoredSnapshot>),
}

fn snapshot(
    is_alive: Option<Result<Value, BusError>>,
    hash: Option<Result<Value, BusError>>,
) -> Result<Stored, BusError> {
    if !read(is_alive.transpose()?)? {
        return Ok(Stored::Expired);
    }
    // Of another type: its node finds that too, and replaces it.
    let hash = match hash.transpose() {
        Err(BusError::Rejected(BusRejection::WrongType)) => None,
        hash => hash?,
    };
    let mut hash: HashMap<String, Vec<u8>> = read(hash)?;
    let is_incomplete = hash.contains_key(UPDATED) && !hash.contains_key(BASE);
    let Some(position) = hash.remove(POSITION).filter(|_| !is_incomplete) else {
        return Ok(Stored::Live(None));
    };
    let entry = |(id, entry): (String, Vec<u8>)| Some((id.parse().ok()?, Bytes::from(entry)));
    let entries = hash.into_iter().filter_map(entry).collect();
    Ok(Stored::Live(Some(StoredSnapshot { position: position.into(), entries })))
}

/// Keeps the connection open.
struct ReaderTask {
    lease: Lease,
    opening: watch::Sender<Option<NumberedConnection>>,
    lost: Arc<watch::Sender<u64>>,
    failure: Arc<Mutex<Option<String>>>,
    /// Connections in a row that could not be opened, or were lost before they had responded to a ping.
    failures: AtomicU32,
}

impl ReaderTask {
    /// Runs until the last [`SnapshotReader`] is dropped.
    async fn run(self, inbox: Arc<Inbox>) {
        tokio::select! {
            () = self.opening.closed() => {}
            () = self.keep_open() => inbox.close(),
        }
    }

    /// Opens one connection after the other, until one leads to another server.
    async fn keep_open(&self) {
        let (mut backoff, mut lost) = (RETRY, self.lost.subscribe());
        let mut server = self.lease.shared.server.subscribe();
        for number in 1.. {
            server.mark_unchanged();
            let begun = Instant::now();
            let error = match self.open(number).await {
                Ok(connection) if number > 1 && self.leads_elsewhere(&connection).await => return,
                Ok(connection) => {
                    let opened = NumberedConnection { number, connection: connection.clone() };
                    self.opening.send_replace(Some(opened));
                    tokio::select! {
                        () = self.ping(&connection) => {}
                        _ = lost.wait_for(|lost| *lost >= number) => {}
                    }
                    self.opening.send_replace(None);
                    BusError::Closed
                }
                Err(error) => error,
            };
            // What is read may be what ends each connection: only one that has lasted resets the waits.
            if begun.elapsed() > self.lease.shared.keep_alive {
                backoff.reset();
            }
            if self.failures.fetch_add(1, Ordering::Relaxed) >= ATTEMPTS {
                *self.failure.lock() = Some(format!("the connection that reads presence: {error}"));
            }
            tokio::select! {
                // With other credentials it may be opened.
                Ok(()) = server.changed() => backoff.reset(),
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn open(&self, number: u64) -> Result<RedisConnection, BusError> {
        let lost = Arc::clone(&self.lost);
        let receive = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                mark_lost(&lost, number);
            }
            Ok(())
        };
        let shared = &self.lease.shared;
        Ok(RedisConnection::start(shared.open(Role::Read, receive).await?, shared.timeout))
    }

    /// Uses the connection each `bus.keep_alive`. Ends when there is no response.
    async fn ping(&self, connection: &RedisConnection) {
        loop {
            sleep(self.lease.shared.keep_alive).await;
            if connection.ping().await.is_err() {
                return;
            }
            self.failures.store(0, Ordering::Relaxed);
            *self.failure.lock() = None;
        }
    }

    /// Whether this node has taken a lease, and it does not exist here.
    async fn leads_elsewhere(&self, connection: &RedisConnection) -> bool {
        if self.lease.rejected().is_some() {
            return false;
        }
        let lease = self.lease.shared.keys.lease(self.lease.incarnation);
        connection.value::<bool>(cmd("EXISTS").arg(lease)).await.is_ok_and(|exists| !exists)
    }
}

fn mark_lost(lost: &watch::Sender<u64>, number: u64) {
    lost.send_modify(|lost| *lost = number.max(*lost));
}
