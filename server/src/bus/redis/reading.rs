//! The connection over which copies are read.
//!
//! Nothing is lost with it: copies are read after the subscriptions stand, whenever that is. So it is opened
//! again on its own, with growing waits, and requests that had no answer are sent once more. If the lease of this
//! node is missing where a new connection leads, the address has come to lead to another server: then nothing
//! follows from what is missing there, and the cable as a whole is given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hub::NodeId;
use redis::{Pipeline, PushInfo, PushKind, cmd};
use tokio::sync::watch;
use tokio::time::sleep;

use super::accounts::accounts_of;
use super::keys::{Account, POSITION};
use super::wire::{Wire, read};
use super::{Role, Shared};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Copy, Inbox, RoomName};

/// Copies in one answer. Each may be as large as a room's presence.
const COPIES: usize = 16;

/// Reads copies over a connection that is replaced when it is lost. Clones use the same one; it is closed when
/// the last is dropped.
#[derive(Clone)]
pub(super) struct Reader {
    opened: watch::Receiver<Option<Opened>>,
    /// The newest connection that is known to be lost.
    lost: Arc<watch::Sender<u64>>,
}

/// A connection, and how many there were up to it.
#[derive(Clone)]
struct Opened {
    number: u64,
    wire: Wire,
}

impl Reader {
    /// Begins to open the connection, for a node that has this account and inbox.
    pub(super) fn start(shared: &Arc<Shared>, account: Account, inbox: &Arc<Inbox>) -> Self {
        let (opening, opened) = watch::channel(None);
        let lost = Arc::new(watch::Sender::new(0));
        let reader = Self { opened, lost: Arc::clone(&lost) };
        let maintained = Maintained { shared: Arc::clone(shared), account, opening, lost };
        tokio::spawn(maintained.run(Arc::clone(inbox)));
        reader
    }

    /// What the nodes that are alive show in these rooms.
    pub(super) async fn copies(&self, rooms: &[RoomName]) -> Result<Vec<Vec<(NodeId, Copy)>>, BusError> {
        let (mut opened, mut newest) = (self.opened.clone(), 0);
        loop {
            let next = opened.wait_for(|it| it.as_ref().is_some_and(|it| it.number > newest)).await;
            let next = next.ok().and_then(|it| it.clone());
            let Opened { number, wire } = next.ok_or(BusError::Lost)?;
            match wire.copies(rooms).await {
                Err(BusError::TimedOut | BusError::Lost | BusError::Unreachable(_)) => {
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
    account: Account,
    opening: watch::Sender<Option<Opened>>,
    lost: Arc<watch::Sender<u64>>,
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
            if let Ok(wire) = self.open(number).await {
                if number > 1 && self.leads_elsewhere(&wire).await {
                    return;
                }
                self.opening.send_replace(Some(Opened { number, wire: wire.clone() }));
                tokio::select! {
                    () = unanswered(&wire) => {}
                    _ = lost.wait_for(|lost| *lost >= number) => {}
                }
                self.opening.send_replace(None);
            }
            // What is read may be what ends it each time: only one that has held for a while begins anew.
            if begun.elapsed() > self.shared.keep_alive + self.shared.timeout {
                backoff.reset();
            }
            sleep(backoff.next()).await;
        }
    }

    async fn open(&self, number: u64) -> Result<Wire, BusError> {
        let lost = Arc::clone(&self.lost);
        let receive = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                lose(&lost, number);
            }
            Ok(())
        };
        let connection = self.shared.open(Role::Reading, receive).await?;
        Ok(Wire { connection, shared: Arc::clone(&self.shared) })
    }

    /// Whether the lease of this node is not there.
    async fn leads_elsewhere(&self, wire: &Wire) -> bool {
        let mut exists = cmd("EXISTS");
        exists.arg(self.shared.keys.lease(self.account));
        exists.query_async::<bool>(&mut wire.connection.clone()).await.is_ok_and(|exists| !exists)
    }
}

fn lose(lost: &watch::Sender<u64>, number: u64) {
    lost.send_modify(|lost| *lost = number.max(*lost));
}

/// Uses the connection every now and then. Ends when there is no answer.
async fn unanswered(wire: &Wire) {
    loop {
        sleep(wire.shared.keep_alive).await;
        if wire.ping().await.is_err() {
            return;
        }
    }
}

impl Wire {
    /// What the nodes that are alive show in these rooms.
    async fn copies(&self, rooms: &[RoomName]) -> Result<Vec<Vec<(NodeId, Copy)>>, BusError> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        for room in rooms {
            pipe.cmd("SMEMBERS").arg(keys.present(room));
        }
        let mut present = Vec::new();
        for (index, accounts) in self.request(pipe).await?.into_iter().enumerate() {
            present.extend(accounts_of(accounts)?.into_iter().map(|account| (index, account)));
        }
        let mut copies = vec![Vec::new(); rooms.len()];
        for chunk in present.chunks(COPIES) {
            let mut pipe = Pipeline::new();
            for &(index, account) in chunk {
                pipe.cmd("EXISTS").arg(keys.lease(account));
                pipe.cmd("HGETALL").arg(keys.shown(account, &rooms[index]));
            }
            let mut answers = self.request(pipe).await?.into_iter();
            for &(index, account) in chunk {
                let (alive, hash) = (answers.next(), answers.next());
                if read::<bool>(alive)? {
                    copies[index].extend(copy(read(hash)?).map(|copy| (account.node, copy)));
                }
            }
        }
        Ok(copies)
    }
}

/// `None` when the hash is gone.
fn copy(mut hash: HashMap<String, Vec<u8>>) -> Option<Copy> {
    let position = Bytes::from(hash.remove(POSITION)?);
    let entry = |(id, entry): (String, Vec<u8>)| Some((id.parse().ok()?, Bytes::from(entry)));
    Some(Copy { position, entries: hash.into_iter().filter_map(entry).collect() })
}
