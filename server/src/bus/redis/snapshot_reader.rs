//! The connection over which copies are read.
//!
//! Nothing is lost with it: copies are read after the subscriptions stand, whenever that is. So it is opened
//! again on its own, with growing waits, and requests that had no answer are sent once more. If the lease of this
//! node is missing where a new connection leads, the address has come to lead to another server: then nothing
//! follows from what is missing there, and the cable as a whole is given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Pipeline, PushInfo, PushKind, Value, cmd};
use tokio::sync::watch;
use tokio::time::sleep;

use super::bus_connection::Registration;
use super::connection::{RedisConnection, allowed, read};
use super::keys::{Incarnation, POSITION};
use super::leases::accounts_of;
use super::{Role, Shared};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Inbox, RoomName, StoredSnapshot, StoredSnapshots};

/// After so many attempts the log says that there is no connection.
const ATTEMPTS: u32 = 3;

/// Copies in one answer. Each may be as large as a room's presence.
const COPIES: usize = 16;

/// Reads copies over a connection that is replaced when it is lost. Clones use the same one; it is closed when
/// the last is dropped.
#[derive(Clone)]
pub(super) struct Reader {
    opened: watch::Receiver<Option<Opened>>,
    /// The newest connection that is known to be lost.
    lost: Arc<watch::Sender<u64>>,
    /// Why there has been none for some attempts.
    trouble: Arc<Mutex<Option<String>>>,
}

/// A connection, and how many there were up to it.
#[derive(Clone)]
struct Opened {
    number: u64,
    wire: RedisConnection,
}

impl Reader {
    /// Begins to open the connection, for a node that has this account and inbox.
    pub(super) fn start(
        shared: &Arc<Shared>,
        account: Incarnation,
        registration: &Registration,
        inbox: &Arc<Inbox>,
    ) -> Self {
        let (opening, opened) = watch::channel(None);
        let (lost, trouble) = (Arc::new(watch::Sender::new(0)), Arc::default());
        let reader = Self { opened, lost: Arc::clone(&lost), trouble: Arc::clone(&trouble) };
        let (shared, registration) = (Arc::clone(shared), registration.clone());
        let maintained =
            Maintained { shared, account, registration, opening, lost, trouble, in_vain: AtomicU32::new(0) };
        tokio::spawn(maintained.run(Arc::clone(inbox)));
        reader
    }

    /// Why nothing can be read, if that has been so for some attempts.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// What the nodes that are alive show in these rooms.
    pub(super) async fn snapshots(&self, rooms: &[RoomName]) -> Result<Vec<StoredSnapshots>, BusError> {
        let (mut opened, mut newest) = (self.opened.clone(), 0);
        loop {
            let next = opened.wait_for(|it| it.as_ref().is_some_and(|it| it.number > newest)).await;
            let next = next.ok().and_then(|it| it.clone());
            let Opened { number, wire } = next.ok_or(BusError::Closed)?;
            match wire.snapshots(rooms).await {
                Err(BusError::TimedOut | BusError::Closed | BusError::Unreachable(_)) => {
                    newest = number;
                    lose(&self.lost, number);
                }
                answered => return answered,
            }
        }
    }
}

/// The connection, as the task that opens it again sees it.
struct Maintained {
    shared: Arc<Shared>,
    account: Incarnation,
    registration: Registration,
    opening: watch::Sender<Option<Opened>>,
    lost: Arc<watch::Sender<u64>>,
    trouble: Arc<Mutex<Option<String>>>,
    /// Connections in a row that could not be opened, or were lost before they had answered a ping.
    in_vain: AtomicU32,
}

impl Maintained {
    /// Keeps it open until the last [`Reader`] is dropped.
    async fn run(self, inbox: Arc<Inbox>) {
        tokio::select! {
            () = self.opening.closed() => {}
            () = self.keep_open() => inbox.close(),
        }
    }

    /// Opens one connection after the other, until one leads elsewhere.
    async fn keep_open(&self) {
        let (mut backoff, mut lost) = (Backoff::new(), self.lost.subscribe());
        for number in 1.. {
            let begun = Instant::now();
            let why = match self.open(number).await {
                Ok(wire) if number > 1 && self.leads_elsewhere(&wire).await => return,
                Ok(wire) => {
                    self.opening.send_replace(Some(Opened { number, wire: wire.clone() }));
                    tokio::select! {
                        () = self.use_now_and_then(&wire) => {}
                        _ = lost.wait_for(|lost| *lost >= number) => {}
                    }
                    self.opening.send_replace(None);
                    BusError::Closed
                }
                Err(why) => why,
            };
            // What is read may be what ends it each time: only one that has held for a while begins anew.
            if begun.elapsed() > self.shared.keep_alive {
                backoff.reset();
            }
            if self.in_vain.fetch_add(1, Ordering::Relaxed) >= ATTEMPTS {
                *self.trouble.lock() = Some(format!("the connection that reads presence: {why}"));
            }
            sleep(backoff.next()).await;
        }
    }

    async fn open(&self, number: u64) -> Result<RedisConnection, BusError> {
        let lost = Arc::clone(&self.lost);
        let receive = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                lose(&lost, number);
            }
            Ok(())
        };
        let connection = self.shared.open(Role::ReadState, receive).await?;
        Ok(RedisConnection { connection, shared: Arc::clone(&self.shared) })
    }

    /// Uses the connection every now and then. Ends when there is no answer.
    async fn use_now_and_then(&self, wire: &RedisConnection) {
        loop {
            sleep(self.shared.keep_alive).await;
            if wire.ping().await.is_err() {
                return;
            }
            self.in_vain.store(0, Ordering::Relaxed);
            *self.trouble.lock() = None;
        }
    }

    /// Whether this node has taken a lease, and it is not there.
    async fn leads_elsewhere(&self, wire: &RedisConnection) -> bool {
        if self.registration.refused().is_some() {
            return false;
        }
        let mut exists = cmd("EXISTS");
        exists.arg(self.shared.keys.lease(self.account));
        exists.query_async::<bool>(&mut wire.connection.clone()).await.is_ok_and(|exists| !exists)
    }
}

fn lose(lost: &watch::Sender<u64>, number: u64) {
    lost.send_modify(|lost| *lost = number.max(*lost));
}

impl RedisConnection {
    /// What the nodes that are alive show in these rooms.
    async fn snapshots(&self, rooms: &[RoomName]) -> Result<Vec<StoredSnapshots>, BusError> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        for room in rooms {
            pipe.cmd("SMEMBERS").arg(keys.present(room));
        }
        let (mut present, mut copies) = (Vec::new(), vec![Ok(Vec::new()); rooms.len()]);
        for (index, answer) in self.answers(pipe).await?.into_iter().enumerate() {
            match allowed(answer.and_then(accounts_of))? {
                Ok(accounts) => present.extend(accounts.into_iter().map(|account| (index, account))),
                Err(why) => copies[index] = Err(why),
            }
        }
        for chunk in present.chunks(COPIES) {
            let mut pipe = Pipeline::new();
            for &(index, account) in chunk {
                pipe.cmd("EXISTS").arg(keys.lease(account));
                pipe.cmd("HGETALL").arg(keys.shown(account, &rooms[index]));
            }
            let mut answers = self.answers(pipe).await?.into_iter();
            for &(index, account) in chunk {
                match (allowed(one_copy(&mut answers))?, &mut copies[index]) {
                    (Ok(copy), Ok(copies)) => copies.extend(copy.map(|copy| (account.node, copy))),
                    (Err(why), copies) => *copies = Err(why),
                    (Ok(_), Err(_)) => {}
                }
            }
        }
        Ok(copies)
    }
}

/// The next copy, if its node is alive and it is there.
fn one_copy(
    answers: &mut impl Iterator<Item = Result<Value, BusError>>,
) -> Result<Option<StoredSnapshot>, BusError> {
    let (alive, hash) = (answers.next(), answers.next());
    if read(alive.transpose()?)? { Ok(copy(read(hash.transpose()?)?)) } else { Ok(None) }
}

/// `None` when the hash is gone.
fn copy(mut hash: HashMap<String, Vec<u8>>) -> Option<StoredSnapshot> {
    let position = Bytes::from(hash.remove(POSITION)?);
    let entry = |(id, entry): (String, Vec<u8>)| Some((id.parse().ok()?, Bytes::from(entry)));
    Some(StoredSnapshot { position, entries: hash.into_iter().filter_map(entry).collect() })
}
