//! A bus inside one process: several nodes that share a broker.
//!
//! It says in a few lines what the other implementation must do over a network. A test can cut a cable, or
//! all of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Bounds, NodeId};
use parking_lot::Mutex;

use super::{
    Bus, BusConnection, BusError, BusFuture, Channel, Command, Inbox, LeaseRenewal, OpenedConnection,
    ReceivedMessage, RejectedChange, RoomName, SnapshotChange, StoredSnapshot, StoredSnapshots,
};

/// What the nodes of one process share. Clones are the same broker.
#[derive(Debug, Clone)]
pub struct Broker {
    shared: Arc<Mutex<Shared>>,
    lease: Duration,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether no cable can be had.
    away: bool,
    next: u64,
    /// By the number of the cable.
    accounts: BTreeMap<u64, Incarnation>,
}

/// A cable, and what was shown over it. Outlives the cable until the lease has run out.
#[derive(Debug)]
struct Incarnation {
    node: NodeId,
    expires: Instant,
    /// None when the cable is lost.
    inbox: Option<Arc<Inbox>>,
    subscribed: HashSet<RoomName>,
    shown: HashMap<RoomName, StoredSnapshot>,
}

impl Broker {
    /// A broker without nodes. `bounds` is for each node's inbox.
    pub fn new(lease: Duration, bounds: Bounds) -> Self {
        Self { shared: Arc::default(), lease, bounds }
    }

    /// Cuts the cables of `node`; it may connect again.
    pub fn cut(&self, node: NodeId) {
        for account in self.shared.lock().accounts.values_mut().filter(|account| account.node == node) {
            account.lose();
        }
    }

    /// Cuts all cables, and gives out none until [`mend`](Self::mend).
    pub fn go_away(&self) {
        let mut shared = self.shared.lock();
        shared.away = true;
        shared.accounts.values_mut().for_each(Incarnation::lose);
    }

    /// Gives out cables again.
    pub fn mend(&self) {
        self.shared.lock().away = false;
    }

    /// How many nodes hear a room.
    pub fn subscribers(&self, room: &str) -> usize {
        let hears = |account: &&Incarnation| account.inbox.is_some() && account.subscribed.contains(room);
        self.shared.lock().accounts.values().filter(hears).count()
    }
}

impl Bus for Broker {
    fn name(&self) -> String {
        "the broker of this process".into()
    }

    fn connect(&self, node: NodeId) -> BusFuture<OpenedConnection> {
        let broker = self.clone();
        Box::pin(async move {
            let mut shared = broker.shared.lock();
            if shared.away {
                return Err(BusError::Closed);
            }
            shared.forget(|account| account.node == node);
            shared.next += 1;
            let (number, inbox) = (shared.next, Arc::new(Inbox::new(broker.bounds)));
            let account = Incarnation {
                node,
                expires: Instant::now() + broker.lease,
                inbox: Some(Arc::clone(&inbox)),
                subscribed: HashSet::new(),
                shown: HashMap::new(),
            };
            shared.accounts.insert(number, account);
            drop(shared);
            let cable: Box<dyn BusConnection> = Box::new(LocalConnection { broker, number });
            Ok((cable, inbox))
        })
    }
}

/// One node's cable to a [`Broker`].
#[derive(Debug)]
struct LocalConnection {
    broker: Broker,
    number: u64,
}

impl LocalConnection {
    /// Does it now; what is returned only tells.
    fn now<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Shared, u64) -> Result<T, BusError>,
    ) -> BusFuture<T> {
        let mut shared = self.broker.shared.lock();
        let holds = shared.accounts.get(&self.number).is_some_and(|account| account.inbox.is_some());
        let result = if holds { act(&mut shared, self.number) } else { Err(BusError::Closed) };
        Box::pin(std::future::ready(result))
    }

    fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut Incarnation) -> T) -> BusFuture<T> {
        self.now(|shared, number| Ok(act(shared.own(number))))
    }
}

impl BusConnection for LocalConnection {
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        self.with(|account| account.subscribed.extend(rooms.iter().cloned()))
    }

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        self.with(|account| account.subscribed.retain(|room| !rooms.contains(room)))
    }

    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedChange>> {
        self.now(|shared, number| {
            for command in commands {
                match command {
                    Command::Publish { channel, message } => {
                        shared.publish(ReceivedMessage { channel, message })
                    }
                    Command::Store { room, change, message } => {
                        shared.own(number).show(&room, change);
                        shared.publish(ReceivedMessage { channel: Channel::Room(room), message });
                    }
                }
            }
            Ok(Vec::new())
        })
    }

    fn snapshots(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<StoredSnapshots>> {
        self.now(|shared, _| {
            let now = Instant::now();
            let alive = || shared.accounts.values().filter(|account| account.expires > now);
            let shown = |room: &RoomName| {
                alive().filter_map(|it| Some((it.node, it.shown.get(room)?.clone()))).collect()
            };
            Ok(rooms.iter().map(|room| Ok(shown(room))).collect())
        })
    }

    fn check(&mut self) -> BusFuture<()> {
        self.with(|_| ())
    }

    fn renew(&mut self) -> BusFuture<LeaseRenewal> {
        let lease = self.broker.lease;
        self.now(|shared, number| {
            let now = Instant::now();
            if shared.own(number).expires <= now {
                shared.own(number).lose();
                return Err(BusError::LeaseExpired);
            }
            shared.own(number).expires = now + lease;
            shared.forget(|account| account.expires <= now);
            let alive = shared.accounts.values().map(|account| account.node).collect();
            Ok(LeaseRenewal { alive, registered: true, rejected: None })
        })
    }

    fn leave(&mut self) -> BusFuture<()> {
        self.now(|shared, number| {
            let node = shared.own(number).node;
            shared.forget(|account| account.node == node);
            Ok(())
        })
    }
}

impl Drop for LocalConnection {
    fn drop(&mut self) {
        if let Some(account) = self.broker.shared.lock().accounts.get_mut(&self.number) {
            account.lose();
        }
    }
}

impl Shared {
    fn own(&mut self, number: u64) -> &mut Incarnation {
        self.accounts.get_mut(&number).expect("a cable that holds has an account")
    }

    fn forget(&mut self, which: impl Fn(&Incarnation) -> bool) {
        self.accounts.retain(|_, account| {
            let kept = !which(account);
            if !kept {
                account.lose();
            }
            kept
        });
    }

    fn publish(&self, heard: ReceivedMessage) {
        for account in self.accounts.values() {
            let listens = match &heard.channel {
                Channel::Room(room) => account.subscribed.contains(room),
                Channel::Nodes => true,
            };
            if let Some(inbox) = account.inbox.as_ref().filter(|_| listens) {
                inbox.put(heard.clone());
            }
        }
    }
}

impl Incarnation {
    fn lose(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            inbox.close();
        }
    }

    fn show(&mut self, room: &RoomName, change: SnapshotChange) {
        match change {
            SnapshotChange::Replace(copy) => drop(self.shown.insert(Arc::clone(room), copy)),
            SnapshotChange::Remove => drop(self.shown.remove(room)),
            SnapshotChange::Update { position, set, removed } => {
                let empty = || StoredSnapshot { position: position.clone(), entries: Vec::new() };
                let copy = self.shown.entry(Arc::clone(room)).or_insert_with(empty);
                let replaced = |id: &u64| removed.contains(id) || set.iter().any(|(new, _)| new == id);
                copy.entries.retain(|(id, _)| !replaced(id));
                copy.entries.extend(set.iter().cloned());
                copy.position = position;
            }
        }
    }
}
