//! A bus connection made of three connections to Redis: one publishes, one receives, one reads snapshots.

use std::mem;
use std::ops::Range;

use futures_util::FutureExt;
use redis::{Value, cmd};

use super::connection::{BATCH_BYTES, Commands, RedisConnection, accepted};
use super::keys::{BASE, POSITION, UPDATED};
use super::lease::Lease;
use super::snapshot_reader::SnapshotReader;
use super::subscriber::{Action, Subscriber};
use crate::bus::{
    BusConnection, BusError, BusFuture, Command, LeaseRenewal, RejectedChange, RoomName, SnapshotChange,
    StoredSnapshot, StoredSnapshots,
};

/// Keys in one command.
const CHUNK: usize = 512;

/// Reason of a rejection that Redis does not report: it has stored an update of a snapshot it did not have any more.
const EVICTED: &str = "a key that begins with `bus.prefix` was deleted or evicted; its `maxmemory-policy` has to be \
                       noeviction";

/// The connections of one incarnation.
pub(super) struct RedisBusConnection {
    pub(super) publisher: RedisConnection,
    pub(super) subscriber: Subscriber,
    pub(super) reader: SnapshotReader,
    pub(super) lease: Lease,
}

impl BusConnection for RedisBusConnection {
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        let channels = self.channels(rooms);
        self.subscriber.request(Action::Subscribe(channels)).boxed()
    }

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        let channels = self.channels(rooms);
        self.subscriber.request(Action::Unsubscribe(channels)).boxed()
    }

    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedChange>> {
        let unregistered = self.lease.rejected();
        let (mut rejected, mut batches) = (Vec::new(), vec![StoreBatch::default()]);
        for command in commands {
            let batch = match batches.last_mut() {
                Some(batch) if batch.commands.bytes() + command.len() <= BATCH_BYTES => batch,
                _ => {
                    batches.push(StoreBatch::default());
                    batches.last_mut().expect("one was pushed")
                }
            };
            match command {
                Command::Publish { channel, message } => {
                    let channel = self.lease.shared.keys.channel(&channel);
                    batch.commands.push(cmd("PUBLISH").arg(channel).arg(&*message));
                }
                Command::Store { room, change, message } => match &unregistered {
                    Some(reason) => rejected.push(RejectedChange { room, reason: reason.clone() }),
                    None => batch.store(&self.lease, room, change, &message),
                },
            }
        }
        // All are queued before the first response is awaited.
        let responses: Vec<_> = batches
            .into_iter()
            .map(|batch| (self.publisher.responses(batch.commands), batch.stores))
            .collect();
        async move {
            for (responses, stores) in responses {
                rejected.extend(rejections(responses.await?, stores)?);
            }
            Ok(rejected)
        }
        .boxed()
    }

    fn snapshots(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<StoredSnapshots>> {
        let (confirmed, reader, rooms) = (self.subscriber.confirmed(), self.reader.clone(), rooms.to_vec());
        async move {
            confirmed.await?;
            reader.snapshots(&rooms).await
        }
        .boxed()
    }

    fn check(&mut self) -> BusFuture<()> {
        // The reader checks its connection itself.
        let (publisher, subscriber) = (self.publisher.ping(), self.subscriber.request(Action::Ping));
        async move { tokio::try_join!(publisher, subscriber).map(drop) }.boxed()
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
    fn channels(&self, rooms: &[RoomName]) -> Vec<String> {
        rooms.iter().map(|room| self.lease.shared.keys.room_channel(room)).collect()
    }
}

/// Commands that are sent together, and the changes among them.
#[derive(Default)]
struct StoreBatch {
    commands: Commands,
    stores: Vec<StoreRequest>,
}

/// The commands of one change.
struct StoreRequest {
    room: RoomName,
    /// Which commands of the batch.
    commands: Range<usize>,
    /// Of an update, how many fields it adds at most if the snapshot exists, and so has a position.
    fields_max: Option<usize>,
}

impl StoreBatch {
    fn store(&mut self, lease: &Lease, room: RoomName, change: SnapshotChange, message: &[u8]) {
        let (keys, incarnation) = (&lease.shared.keys, lease.incarnation.to_string());
        let (snapshot, present) = (keys.snapshot(&room, lease.incarnation), keys.present(&room));
        let (rooms, publish) = (keys.rooms(lease.incarnation), keys.room_channel(&room));
        let begin = self.commands.len();
        let commands = &mut self.commands;
        let mut fields_max = None;
        let (position, set, removed) = match change {
            SnapshotChange::Remove => {
                commands.push(&mut cmd("MULTI"));
                commands.push(cmd("DEL").arg(snapshot));
                commands.push(cmd("SREM").arg(present).arg(incarnation));
                commands.push(cmd("PUBLISH").arg(publish).arg(message));
                commands.push(&mut cmd("EXEC"));
                commands.push(cmd("SREM").arg(rooms).arg(&*room));
                self.stores.push(StoreRequest { room, commands: begin..self.commands.len(), fields_max });
                return;
            }
            SnapshotChange::Replace(StoredSnapshot { position, entries }) => (position, entries, None),
            SnapshotChange::Update { position, set, removed } => (position, set, Some(removed)),
        };
        // Before the snapshot, so that it is found when the incarnation has expired.
        commands.push(cmd("SADD").arg(rooms).arg(&*room));
        commands.push(&mut cmd("MULTI"));
        commands.push(cmd("SADD").arg(present).arg(incarnation));
        let kind = if removed.is_none() {
            commands.push(cmd("DEL").arg(&snapshot));
            BASE
        } else {
            fields_max = Some(set.len() + 1);
            UPDATED
        };
        let mut hset = cmd("HSET");
        hset.arg(&snapshot).arg(POSITION).arg(&*position).arg(kind).arg(1);
        for (id, entry) in &set {
            hset.arg(id).arg(&**entry);
        }
        commands.push(&mut hset);
        for ids in removed.iter().flat_map(|removed| removed.chunks(CHUNK)) {
            commands.push(cmd("HDEL").arg(&snapshot).arg(ids));
        }
        commands.push(cmd("PUBLISH").arg(publish).arg(message));
        commands.push(&mut cmd("EXEC"));
        self.stores.push(StoreRequest { room, commands: begin..self.commands.len(), fields_max });
    }
}

/// The position of HSET in the transaction of an update.
const HSET_INDEX: usize = 1;

/// The changes that were rejected.
///
/// # Errors
/// When anything else went wrong, such as a message that may not be published.
fn rejections(
    mut responses: Vec<Result<Value, BusError>>,
    stores: Vec<StoreRequest>,
) -> Result<Vec<RejectedChange>, BusError> {
    let mut rejected = Vec::new();
    for StoreRequest { room, commands, fields_max } in stores {
        let responses = &mut responses[commands];
        // The first error is the cause of the others.
        let mut errors = responses.iter_mut().filter(|response| response.is_err());
        let first = errors.next().map(|response| mem::replace(response, Ok(Value::Nil)));
        errors.for_each(|response| *response = Ok(Value::Nil));
        if let Some(Err(reason)) = first.map(accepted).transpose()? {
            rejected.push(RejectedChange { room, reason });
        } else if is_lost(responses.last(), fields_max) {
            rejected.push(RejectedChange { room, reason: EVICTED.into() });
        }
    }
    responses.into_iter().try_for_each(|response| response.map(drop))?;
    Ok(rejected)
}

/// Whether an update has found no snapshot to update, given the response to EXEC.
fn is_lost(executed: Option<&Result<Value, BusError>>, fields_max: Option<usize>) -> bool {
    let (Some(Ok(Value::Array(executed))), Some(fields_max)) = (executed, fields_max) else { return false };
    matches!(executed.get(HSET_INDEX), Some(Value::Int(added)) if *added > fields_max as i64)
}
