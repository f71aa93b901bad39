//! The connection to Redis that reads stored snapshots.
//!
//! No message is lost with it: snapshots are read after the subscriptions are confirmed, whenever that is. So it is
//! opened again on its own, with growing waits, and continues what had no response. If the lease of this node does not
//! exist where a new connection leads, the address leads to another server: what is missing there means nothing, and
//! the bus connection is given up as a whole.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Role;
use super::connection::{BATCH_BYTES, Commands, RedisConnection, accepted, read};
use super::keys::{BASE, Incarnation, Keys, POSITION, UPDATED};
use super::lease::{Lease, incarnations_in};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Inbox, RoomName, StoredSnapshot, StoredSnapshots};

/// Failed attempts to connect before the failure is reported.
const ATTEMPTS: u32 = 3;

/// Snapshots in one request. Fewer when they are large.
const SNAPSHOTS_MAX: usize = 16;

/// Reads snapshots over a connection that is replaced when it is lost. Clones share it; it is closed when the last one
/// is dropped.
#[derive(Clone)]
pub(super) struct SnapshotReader {
    keys: Keys,
    opened: watch::Receiver<Option<NumberedConnection>>,
    /// The newest connection that is known to be lost.
    lost: Arc<watch::Sender<u64>>,
    /// Why the last attempts to connect have failed.
    failure: Arc<Mutex<Option<String>>>,
    /// Snapshots to read in one request. Locked while one is under way: with several, the last would be late.
    request_size: Arc<tokio::sync::Mutex<usize>>,
}

/// A connection, and how many there were up to it.
#[derive(Clone)]
struct NumberedConnection {
    number: u64,
    connection: RedisConnection,
}

impl SnapshotReader {
    /// Starts the task that opens the connection. It closes `inbox` when the address leads to another server.
    pub(super) fn start(lease: &Lease, inbox: &Arc<Inbox>) -> Self {
        let (opening, opened) = watch::channel(None);
        let (lost, failure) = (Arc::new(watch::Sender::new(0)), Arc::default());
        let request_size = Arc::new(tokio::sync::Mutex::new(SNAPSHOTS_MAX));
        let keys = lease.shared.keys.clone();
        let reader =
            Self { keys, opened, lost: Arc::clone(&lost), failure: Arc::clone(&failure), request_size };
        let task = ReaderTask { lease: lease.clone(), opening, lost, failure, failures: AtomicU32::new(0) };
        tokio::spawn(task.run(Arc::clone(inbox)));
        reader
    }

    /// Why nothing can be read, if the last attempts to connect have failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// The snapshots of live nodes in these rooms.
    pub(super) async fn snapshots(&self, rooms: &[RoomName]) -> Result<Vec<StoredSnapshots>, BusError> {
        let mut request_size = self.request_size.lock().await;
        let (mut opened, mut newest) = (self.opened.clone(), 0);
        let mut reading = Reading::new(&self.keys, rooms);
        loop {
            let next = opened.wait_for(|it| it.as_ref().is_some_and(|it| it.number > newest)).await;
            let next = next.ok().and_then(|it| it.clone());
            let NumberedConnection { number, connection } = next.ok_or(BusError::Closed)?;
            match reading.run(&connection, &mut request_size).await {
                Ok(()) => return Ok(reading.results),
                Err(BusError::TimedOut) => reading.timed_out(&mut request_size),
                Err(BusError::Closed | BusError::Unreachable(_)) => {}
                Err(error) => return Err(error),
            }
            newest = number;
            mark_lost(&self.lost, number);
        }
    }
}

/// Snapshots that are being read, over one connection after the other.
struct Reading<'r> {
    keys: &'r Keys,
    rooms: &'r [RoomName],
    results: Vec<StoredSnapshots>,
    /// By index of the room, the incarnations whose snapshots are still to be read; `None` before these are known.
    pending: Option<VecDeque<(usize, Incarnation)>>,
}

impl<'r> Reading<'r> {
    fn new(keys: &'r Keys, rooms: &'r [RoomName]) -> Self {
        Self { keys, rooms, results: vec![Ok(Vec::new()); rooms.len()], pending: None }
    }

    async fn run(&mut self, connection: &RedisConnection, request_size: &mut usize) -> Result<(), BusError> {
        if self.pending.is_none() {
            self.pending = Some(self.list(connection).await?);
        }
        while let Some(pending) = self.pending.as_mut().filter(|pending| !pending.is_empty()) {
            let chunk: Vec<_> = pending.iter().take(*request_size).copied().collect();
            let bytes = self.read_chunk(connection, &chunk).await?;
            if let Some(pending) = &mut self.pending {
                pending.drain(..chunk.len());
            }
            let fitting = chunk.len() * BATCH_BYTES / bytes.max(1);
            *request_size = fitting.clamp(1, SNAPSHOTS_MAX.min(*request_size * 2));
        }
        Ok(())
    }

    /// Reads which incarnations have a snapshot of which room.
    async fn list(
        &mut self,
        connection: &RedisConnection,
    ) -> Result<VecDeque<(usize, Incarnation)>, BusError> {
        let mut commands = Commands::default();
        for room in self.rooms {
            commands.push(cmd("SMEMBERS").arg(self.keys.present(room)));
        }
        let mut listed = VecDeque::new();
        for (index, response) in connection.responses(commands).await?.into_iter().enumerate() {
            match accepted(response.and_then(incarnations_in))? {
                Ok(incarnations) => listed.extend(incarnations.into_iter().map(|it| (index, it))),
                Err(reason) => self.results[index] = Err(reason),
            }
        }
        Ok(listed)
    }

    /// Reads some snapshots. Returns how many bytes they had.
    async fn read_chunk(
        &mut self,
        connection: &RedisConnection,
        chunk: &[(usize, Incarnation)],
    ) -> Result<usize, BusError> {
        let mut commands = Commands::default();
        for &(index, incarnation) in chunk {
            commands.push(cmd("EXISTS").arg(self.keys.lease(incarnation)));
            commands.push(cmd("HGETALL").arg(self.keys.snapshot(&self.rooms[index], incarnation)));
        }
        let mut responses = connection.responses(commands).await?.into_iter();
        let mut bytes = 0;
        for &(index, incarnation) in chunk {
            let (is_alive, hash) = (responses.next(), responses.next());
            match (accepted(snapshot(is_alive, hash, &mut bytes))?, &mut self.results[index]) {
                (Ok(Stored::Expired), _) | (Ok(_), Err(_)) => {}
                (Ok(Stored::Live(snapshot)), Ok(snapshots)) => snapshots.push((incarnation.node, snapshot)),
                (Err(reason), result) => *result = Err(reason),
            }
        }
        Ok(bytes)
    }

    /// A request has timed out: perhaps there was too much in it. A snapshot that is too large by itself is an error of its
    /// room.
    fn timed_out(&mut self, request_size: &mut usize) {
        let Some(pending) = self.pending.as_mut().filter(|pending| !pending.is_empty()) else { return };
        if *request_size > 1 {
            *request_size = 1;
        } else if let Some((index, _)) = pending.pop_front() {
            self.results[index] = Err("a room's presence cannot be read within `bus.timeout`".into());
        }
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
    bytes: &mut usize,
) -> Result<Stored, BusError> {
    if !read(is_alive.transpose()?)? {
        return Ok(Stored::Expired);
    }
    let mut hash: HashMap<String, Vec<u8>> = read(hash.transpose()?)?;
    *bytes += hash.iter().map(|(id, entry)| id.len() + entry.len()).sum::<usize>();
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
        let (mut backoff, mut lost) = (Backoff::new(), self.lost.subscribe());
        for number in 1.. {
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
            sleep(backoff.next()).await;
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
