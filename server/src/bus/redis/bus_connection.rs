//! A bus connection made of three connections to Redis: one publishes, one receives, one reads snapshots.

use std::mem;
use std::ops::Range;

use bytes::Bytes;
use futures_util::FutureExt;
use redis::{Value, cmd};

use super::connection::{Commands, RedisConnection, accepted};
use super::history;
use super::keys::{BASE, POSITION, UPDATED};
use super::lease::Lease;
use super::repair::RoomRepair;
use super::snapshot_reader::SnapshotReader;
use super::subscriber::{Action, Subscriber};
use crate::bus::{
    BATCH_BYTES, BusConnection, BusError, BusFuture, BusRejection, Channel, Command, EntryToKeep, LargeRooms,
    LeaseRenewal, ReadRooms, RejectedCommand, RoomName, SnapshotChange, StoredSnapshot,
};

/// Keys in one command.
const CHUNK: usize = 512;

/// The connections of one incarnation.
pub(super) struct RedisBusConnection {
    pub(super) publisher: RedisConnection,
    pub(super) subscriber: Subscriber,
    pub(super) reader: SnapshotReader,
    pub(super) lease: Lease,
}

impl BusConnection for RedisBusConnection {
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>> {
        let (channels, rooms) = (self.channels(rooms), rooms.to_vec());
        let subscribed = self.subscriber.request(Action::Subscribe(channels));
        let rejected = move |(index, rejection): (usize, _)| RejectedCommand {
            room: RoomName::clone(&rooms[index]),
            rejection,
        };
        async move { Ok(subscribed.await?.into_iter().map(rejected).collect()) }.boxed()
    }

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        let channels = self.channels(rooms);
        let unsubscribed = self.subscriber.request(Action::Unsubscribe(channels));
        async move { unsubscribed.await.map(drop) }.boxed()
    }

    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedCommand>> {
        let unregistered = self.lease.rejected();
        let (mut rejected, mut batches) = (Vec::new(), vec![Batch::default()]);
        for command in commands {
            let batch = match batches.last_mut() {
                Some(batch) if batch.commands.bytes() + command.len() <= BATCH_BYTES => batch,
                _ => {
                    batches.push(Batch::default());
                    batches.last_mut().expect("one was pushed")
                }
            };
            match (command, &unregistered) {
                (Command::Keep { room, entry }, _) => batch.keep(&self.lease, room, &entry),
                (Command::Publish { channel, message }, _) => batch.publish(&self.lease, channel, &message),
                (Command::Store { room, change, message }, None) => {
                    batch.store(&self.lease, room, change, &message);
                }
                (Command::Store { room, .. }, Some(rejection)) => {
                    rejected.push(RejectedCommand { room, rejection: rejection.clone() });
                }
            }
        }
        // All are queued before the first response is awaited.
        let responses: Vec<_> = batches
            .into_iter()
            .map(|batch| (self.publisher.responses(batch.commands), batch.requests))
            .collect();
        let repair = self.repair();
        async move {
            for (responses, requests) in responses {
                rejected.extend(rejections(responses.await?, requests)?);
            }
            repair.after_rejections(rejected).await
        }
        .boxed()
    }

    fn refresh(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>> {
        let mut batch = Batch::default();
        batch.refresh(&self.lease, rooms);
        let (responses, requests) = (self.publisher.responses(batch.commands), batch.requests);
        let repair = self.repair();
        async move { repair.after_rejections(rejections(responses.await?, requests)?).await }.boxed()
    }

    fn snapshots(&mut self, rooms: &[RoomName], large: LargeRooms) -> BusFuture<ReadRooms> {
        let (confirmed, reader, rooms) = (self.subscriber.confirmed(), self.reader.clone(), rooms.to_vec());
        let repair = self.repair();
        async move {
            confirmed.await?;
            let read = reader.snapshots(&rooms, &large).await?;
            repair.after_reads(&rooms, &read.rooms).await?;
            Ok(read)
        }
        .boxed()
    }

    fn check(&mut self) -> BusFuture<()> {
        // The reader checks its connection itself.
        let (publisher, subscriber) = (self.publisher.ping(), self.subscriber.request(Action::Ping));
        async move { tokio::try_join!(publisher, subscriber).map(|_pongs| ()) }.boxed()
    }

    fn renew(&mut self) -> BusFuture<LeaseRenewal> {
        let (lease, reader) = (self.lease.clone(), self.reader.clone());
        async move {
            let renewal = lease.renew().await?;
            Ok(LeaseRenewal { rejected: renewal.rejected.or(reader.failure()), ..renewal })
        }
        .boxed()
    }

    fn leave(&mut self) -> BusFuture<()> {
        // Everything that was sent is queued already, and so precedes it.
        let lease = self.lease.clone();
        async move { lease.release().await }.boxed()
    }
}

impl RedisBusConnection {
    fn repair(&self) -> RoomRepair {
        RoomRepair { keys: self.lease.shared.keys.clone(), connection: self.publisher.clone() }
    }

    fn channels(&self, rooms: &[RoomName]) -> Vec<String> {
        rooms.iter().map(|room| self.lease.shared.keys.room_channel(room)).collect()
    }
}

/// Commands that are sent together, and what they are about.
#[derive(Default)]
struct Batch {
    commands: Commands,
    requests: Vec<RoomRequest>,
}

/// The commands about one room.
struct RoomRequest {
    room: RoomName,
    /// Which commands of the batch.
    commands: Range<usize>,
    kind: Kind,
}

enum Kind {
    /// Publishes a message.
    Message,
    /// Keeps an entry with so many messages.
    Entry { messages: u32 },
    /// Replaces or removes the snapshot.
    Replacement,
    /// Updates the snapshot. If that exists, and so has a position, this adds so many fields at most.
    Update { fields_max: usize },
    /// Extends its lifetime.
    Refresh,
    /// Keeps the list of rooms, without which more is left to expire when this node has died. It is no room's fault if
    /// that is rejected: each renewal looks at the list.
    List,
}

impl Batch {
    /// The commands since `begin` are about this room.
    fn add(&mut self, room: RoomName, begin: usize, kind: Kind) {
        self.requests.push(RoomRequest { room, commands: begin..self.commands.len(), kind });
    }

    fn publish(&mut self, lease: &Lease, channel: Channel, message: &[u8]) {
        let begin = self.commands.len();
        self.commands.push(cmd("PUBLISH").arg(lease.shared.keys.channel(&channel)).arg(message));
        match channel {
            Channel::Room(room) => self.add(room, begin, Kind::Message),
            // A node that may not publish these cannot be one of the nodes.
            Channel::Nodes => {}
        }
    }

    fn keep(&mut self, lease: &Lease, room: RoomName, entry: &EntryToKeep) {
        let begin = self.commands.len();
        self.commands.push(&mut history::keep(&lease.shared.keys, &room, entry));
        self.add(room, begin, Kind::Entry { messages: entry.messages });
    }

    fn store(&mut self, lease: &Lease, room: RoomName, change: SnapshotChange, message: &[u8]) {
        match change {
            SnapshotChange::Remove => self.remove(lease, room, message),
            SnapshotChange::Replace(StoredSnapshot { position, entries }) => {
                self.set(lease, room, (&position, &entries), None, message);
            }
            SnapshotChange::Update { position, set, removed } => {
                self.set(lease, room, (&position, &set), Some(&removed), message);
            }
        }
    }

    fn remove(&mut self, lease: &Lease, room: RoomName, message: &[u8]) {
        let (keys, incarnation, begin) = (&lease.shared.keys, lease.incarnation, self.commands.len());
        let commands = &mut self.commands;
        commands.push(&mut cmd("MULTI"));
        commands.push(cmd("DEL").arg(keys.snapshot(&room, incarnation)));
        commands.push(cmd("SREM").arg(keys.present(&room)).arg(incarnation.to_string()));
        // Nodes of version 1.0 in it do not refresh it; those that do give it a lifetime again.
        commands.push(cmd("PERSIST").arg(keys.present(&room)));
        commands.push(cmd("PUBLISH").arg(keys.room_channel(&room)).arg(message));
        commands.push(&mut cmd("EXEC"));
        self.add(RoomName::clone(&room), begin, Kind::Replacement);
        let begin = self.commands.len();
        self.commands.push(cmd("SREM").arg(keys.rooms(incarnation)).arg(&*room));
        self.add(room, begin, Kind::List);
    }

    /// Replaces the snapshot, or updates it: then entries are `removed`.
    fn set(
        &mut self,
        lease: &Lease,
        room: RoomName,
        (position, entries): (&[u8], &[(u64, Bytes)]),
        removed: Option<&[u64]>,
        message: &[u8],
    ) {
        let (keys, incarnation) = (&lease.shared.keys, lease.incarnation);
        let (snapshot, present) = (keys.snapshot(&room, incarnation), keys.present(&room));
        // Before the snapshot, so that it is found when the incarnation has expired.
        let begin = self.commands.len();
        self.commands.push(cmd("SADD").arg(keys.rooms(incarnation)).arg(&*room));
        self.add(RoomName::clone(&room), begin, Kind::List);
        let (commands, begin) = (&mut self.commands, begin + 1);
        commands.push(&mut cmd("MULTI"));
        commands.push(cmd("SADD").arg(&present).arg(incarnation.to_string()));
        if removed.is_none() {
            commands.push(cmd("DEL").arg(&snapshot));
        }
        let mut hset = cmd("HSET");
        hset.arg(&snapshot).arg(POSITION).arg(position);
        hset.arg(if removed.is_none() { BASE } else { UPDATED }).arg(1);
        for (id, entry) in entries {
            hset.arg(id).arg(&**entry);
        }
        commands.push(&mut hset);
        for ids in removed.iter().flat_map(|removed| removed.chunks(CHUNK)) {
            commands.push(cmd("HDEL").arg(&snapshot).arg(ids));
        }
        commands.push(cmd("PUBLISH").arg(keys.room_channel(&room)).arg(message));
        if removed.is_none() {
            for key in [&snapshot, &present, &keys.rooms(incarnation)] {
                commands.push(&mut lease.expire(key));
            }
        }
        commands.push(&mut cmd("EXEC"));
        let fields_max = entries.len() + 1;
        let kind = if removed.is_none() { Kind::Replacement } else { Kind::Update { fields_max } };
        self.add(room, begin, kind);
    }

    /// Four commands for each room, and no more: there may be many.
    fn refresh(&mut self, lease: &Lease, rooms: &[RoomName]) {
        let (keys, incarnation) = (&lease.shared.keys, lease.incarnation);
        for room in rooms {
            let begin = self.commands.len();
            let (snapshot, present) = (keys.snapshot(room, incarnation), keys.present(room));
            self.commands.push(cmd("SADD").arg(&present).arg(incarnation.to_string()));
            self.commands.push(cmd("HEXISTS").arg(&snapshot).arg(BASE));
            self.commands.push(&mut lease.expire(&present));
            self.commands.push(&mut lease.expire(&snapshot));
            self.add(RoomName::clone(room), begin, Kind::Refresh);
        }
        if let Some(first) = rooms.first() {
            let (begin, mut sadd) = (self.commands.len(), cmd("SADD"));
            sadd.arg(keys.rooms(incarnation)).arg(rooms.iter().map(|room| &**room).collect::<Vec<_>>());
            self.commands.push(&mut sadd);
            self.commands.push(&mut lease.expire(&keys.rooms(incarnation)));
            self.add(RoomName::clone(first), begin, Kind::List);
        }
    }
}

/// The position of HSET in the transaction of an update.
const HSET_INDEX: usize = 1;

/// What was rejected.
///
/// # Errors
/// When anything else went wrong, such as a message that may not be published whatever its room is.
fn rejections(
    mut responses: Vec<Result<Value, BusError>>,
    requests: Vec<RoomRequest>,
) -> Result<Vec<RejectedCommand>, BusError> {
    let mut rejected = Vec::new();
    for RoomRequest { room, commands, kind } in requests {
        let responses = &mut responses[commands];
        // The first error is the cause of the others.
        let mut errors = responses.iter_mut().filter(|response| response.is_err());
        let first = errors.next().map(|response| mem::replace(response, Ok(Value::Nil)));
        errors.for_each(|response| *response = Ok(Value::Nil));
        match (first.map(accepted).transpose()?, kind) {
            (Some(Err(BusRejection::Server(reason))), Kind::Message) => {
                return Err(BusError::Rejected(BusRejection::Server(reason)));
            }
            (_, Kind::List) => {}
            (Some(Err(rejection)), Kind::Entry { messages }) => {
                let rejection = BusRejection::NotKept { messages, reason: rejection.to_string() };
                rejected.push(RejectedCommand { room, rejection });
            }
            (Some(Err(rejection)), _) => rejected.push(RejectedCommand { room, rejection }),
            (_, kind) if is_missing(responses, &kind) => {
                rejected.push(RejectedCommand { room, rejection: BusRejection::Missing });
            }
            _ => {}
        }
    }
    responses.into_iter().try_for_each(|response| response.map(drop))?;
    Ok(rejected)
}

/// Whether there was no complete snapshot to update or refresh, or it was not listed in its room.
fn is_missing(responses: &[Result<Value, BusError>], kind: &Kind) -> bool {
    match (kind, responses) {
        // The response to EXEC.
        (Kind::Update { fields_max }, [.., Ok(Value::Array(executed))]) => {
            matches!(executed.get(HSET_INDEX), Some(Value::Int(added)) if *added > *fields_max as i64)
        }
        (Kind::Refresh, [Ok(was_unlisted), Ok(is_complete), ..]) => {
            *was_unlisted == Value::Int(1) || *is_complete == Value::Int(0)
        }
        _ => false,
    }
}
