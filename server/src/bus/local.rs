//! A bus inside one process: several nodes that share a broker.
//!
//! It is a short reference for what the implementation over Redis has to do. A test can close the connections of one node,
//! or of all.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hub::{Bounds, NodeId};
use parking_lot::Mutex;

use super::{
    Bus, BusConnection, BusError, BusFuture, Channel, Command, EntryPosition, EntryToKeep, Inbox, KeptEntry,
    LargeRooms, LeaseRenewal, OpenedConnection, ReadRooms, ReceivedMessage, RejectedCommand, RoomName,
    SnapshotChange, StoredSnapshot,
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
    /// Whether connecting fails.
    unreachable: bool,
    next: u64,
    /// What is kept, by room: the entries with their numbers of messages, the oldest first.
    kept: HashMap<RoomName, VecDeque<(KeptEntry, usize)>>,
    /// By number.
    incarnations: BTreeMap<u64, Incarnation>,
}

/// A connection and what was stored over it, until the lease expires.
#[derive(Debug)]
struct Incarnation {
    node: NodeId,
    expires: Instant,
    /// None when the connection is closed.
    inbox: Option<Arc<Inbox>>,
    subscribed: HashSet<RoomName>,
    stored: HashMap<RoomName, StoredSnapshot>,
}

impl Broker {
    /// A broker without nodes. `bounds` is for each node's inbox.
    pub fn new(lease: Duration, bounds: Bounds) -> Self {
        Self { shared: Arc::default(), lease, bounds }
    }

    /// Closes the connections of `node`; it may connect again.
    pub fn disconnect(&self, node: NodeId) {
        for incarnation in self.shared.lock().incarnations.values_mut().filter(|it| it.node == node) {
            incarnation.close();
        }
    }

    /// Closes all connections, and refuses new ones until [`accept_connections`](Self::accept_connections).
    pub fn refuse_connections(&self) {
        let mut shared = self.shared.lock();
        shared.unreachable = true;
        shared.incarnations.values_mut().for_each(Incarnation::close);
    }

    /// Accepts connections again.
    pub fn accept_connections(&self) {
        self.shared.lock().unreachable = false;
    }

    /// How many nodes have subscribed to a room.
    pub fn subscribers(&self, room: &str) -> usize {
        let is_subscribed = |it: &&Incarnation| it.inbox.is_some() && it.subscribed.contains(room);
        self.shared.lock().incarnations.values().filter(is_subscribed).count()
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
            if shared.unreachable {
                return Err(BusError::Closed);
            }
            shared.remove(|incarnation| incarnation.node == node);
            shared.next += 1;
            let (number, inbox) = (shared.next, Arc::new(Inbox::new(broker.bounds)));
            let incarnation = Incarnation {
                node,
                expires: Instant::now() + broker.lease,
                inbox: Some(Arc::clone(&inbox)),
                subscribed: HashSet::new(),
                stored: HashMap::new(),
            };
            shared.incarnations.insert(number, incarnation);
            drop(shared);
            let connection: Box<dyn BusConnection> = Box::new(LocalConnection { broker, number });
            Ok((connection, inbox))
        })
    }

    fn kept(
        &self,
        room: &RoomName,
        before: Option<EntryPosition>,
        count: usize,
    ) -> BusFuture<Vec<KeptEntry>> {
        let shared = self.shared.lock();
        let entries = shared.kept.get(room).into_iter().flatten().rev().map(|(entry, _)| entry.clone());
        let is_earlier = |entry: &KeptEntry| before.is_none_or(|before| entry.position < before);
        let read = entries.filter(is_earlier).take(count).collect();
        Box::pin(std::future::ready(if shared.unreachable { Err(BusError::Closed) } else { Ok(read) }))
    }
}

/// One node's connection to a [`Broker`].
#[derive(Debug)]
struct LocalConnection {
    broker: Broker,
    number: u64,
}

impl LocalConnection {
    /// Acts at once; the future only returns the result.
    fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Shared, u64) -> Result<T, BusError>,
    ) -> BusFuture<T> {
        let mut shared = self.broker.shared.lock();
        let is_open = shared.incarnations.get(&self.number).is_some_and(|it| it.inbox.is_some());
        let result = if is_open { act(&mut shared, self.number) } else { Err(BusError::Closed) };
        Box::pin(std::future::ready(result))
    }

    fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut Incarnation) -> T) -> BusFuture<T> {
        self.act(|shared, number| Ok(act(shared.own(number))))
    }
}

impl BusConnection for LocalConnection {
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>> {
        self.with(|incarnation| {
            incarnation.subscribed.extend(rooms.iter().cloned());
            Vec::new()
        })
    }

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        self.with(|incarnation| incarnation.subscribed.retain(|room| !rooms.contains(room)))
    }

    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedCommand>> {
        self.act(|shared, number| {
            for command in commands {
                match command {
                    Command::Keep { room, entry } => shared.keep(room, entry),
                    Command::Publish { channel, message } => {
                        shared.publish(ReceivedMessage { channel, message });
                    }
                    Command::Store { room, change, message } => {
                        shared.own(number).store(&room, change);
                        shared.publish(ReceivedMessage { channel: Channel::Room(room), message });
                    }
                }
            }
            Ok(Vec::new())
        })
    }

    fn refresh(&mut self, _rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>> {
        self.with(|_| Vec::new())
    }

    // Its copies are shared with what is stored, so no room is large.
    fn snapshots(&mut self, rooms: &[RoomName], _large: LargeRooms) -> BusFuture<ReadRooms> {
        self.act(|shared, number| {
            let (now, own) = (Instant::now(), shared.own(number).node);
            let is_other = |it: &&Incarnation| it.expires > now && it.node != own;
            let alive = || shared.incarnations.values().filter(is_other);
            let stored = |room: &RoomName| {
                alive().filter_map(|it| Some((it.node, Some(it.stored.get(room)?.clone())))).collect()
            };
            let rooms = rooms.iter().map(|room| Ok(stored(room))).collect();
            Ok(ReadRooms { rooms, large: None })
        })
    }

    fn check(&mut self) -> BusFuture<()> {
        self.with(|_| ())
    }

    fn renew(&mut self) -> BusFuture<LeaseRenewal> {
        let lease = self.broker.lease;
        self.act(|shared, number| {
            let now = Instant::now();
            if shared.own(number).expires <= now {
                shared.own(number).close();
                return Err(BusError::LeaseExpired);
            }
            shared.own(number).expires = now + lease;
            shared.remove(|incarnation| incarnation.expires <= now);
            let alive = shared.incarnations.values().map(|incarnation| incarnation.node).collect();
            Ok(LeaseRenewal { alive, registered: true, rejected: None, wrong_types: 0 })
        })
    }

    fn leave(&mut self) -> BusFuture<()> {
        self.act(|shared, number| {
            let node = shared.own(number).node;
            shared.remove(|incarnation| incarnation.node == node);
            Ok(())
        })
    }
}

impl Drop for LocalConnection {
    fn drop(&mut self) {
        if let Some(incarnation) = self.broker.shared.lock().incarnations.get_mut(&self.number) {
            incarnation.close();
        }
    }
}

impl Shared {
    fn keep(&mut self, room: RoomName, entry: EntryToKeep) {
        let EntryToKeep { message, messages, lost_at, bounds } = entry;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let [kept_at, oldest] = [now, now.saturating_sub(bounds.age)].map(|time| time.as_millis() as u64);
        self.next += 1;
        let position = EntryPosition { kept_at, number: self.next };
        let entries = self.kept.entry(room).or_default();
        entries.push_back((KeptEntry { position, message, lost_at }, messages as usize));
        let is_beyond = |entries: &VecDeque<(KeptEntry, usize)>| {
            let first = entries.front().is_some_and(|(first, _)| first.position.kept_at < oldest);
            let bytes: usize = entries.iter().map(|(entry, _)| entry.message.len()).sum();
            let others: usize = entries.iter().skip(1).map(|(_, messages)| messages).sum();
            first || bytes > bounds.bytes || others >= bounds.messages && entries.len() > 1
        };
        while is_beyond(entries) {
            entries.pop_front();
        }
    }

    fn own(&mut self, number: u64) -> &mut Incarnation {
        self.incarnations.get_mut(&number).expect("an open connection has an incarnation")
    }

    fn remove(&mut self, which: impl Fn(&Incarnation) -> bool) {
        self.incarnations.retain(|_, incarnation| {
            let is_kept = !which(incarnation);
            if !is_kept {
                incarnation.close();
            }
            is_kept
        });
    }

    fn publish(&self, message: ReceivedMessage) {
        for incarnation in self.incarnations.values() {
            let is_subscribed = match &message.channel {
                Channel::Room(room) => incarnation.subscribed.contains(room),
                Channel::Nodes => true,
            };
            if let Some(inbox) = incarnation.inbox.as_ref().filter(|_| is_subscribed) {
                inbox.put(message.clone());
            }
        }
    }
}

impl Incarnation {
    fn close(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            inbox.close();
        }
    }

    fn store(&mut self, room: &RoomName, change: SnapshotChange) {
        match change {
            SnapshotChange::Replace(snapshot) => drop(self.stored.insert(Arc::clone(room), snapshot)),
            SnapshotChange::Remove => drop(self.stored.remove(room)),
            SnapshotChange::Update { position, set, removed } => {
                let empty = || StoredSnapshot { position: position.clone(), entries: Vec::new() };
                let snapshot = self.stored.entry(Arc::clone(room)).or_insert_with(empty);
                let is_replaced = |id: &u64| removed.contains(id) || set.iter().any(|(new, _)| new == id);
                snapshot.entries.retain(|(id, _)| !is_replaced(id));
                snapshot.entries.extend(set.iter().cloned());
                snapshot.position = position;
            }
        }
    }
}
