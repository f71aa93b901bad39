//! A cable made of three connections to Redis.
//!
//! Each method is one request of many commands. It is put on a connection's queue before the method returns,
//! which is all it takes for the order that [`BusConnection`] promises; but what is shown is read on a connection of
//! its own ([`Reader`]), once the subscriptions stand that were asked for before.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use redis::{Pipeline, Value};
use tokio::sync::{Semaphore, watch};
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::connection::{RedisConnection, allowed};
use super::keys::{Incarnation, POSITION};
use super::snapshot_reader::Reader;
use crate::bus::{
    BusConnection, BusError, BusFuture, Command, LeaseRenewal, RejectedChange, RoomName, SnapshotChange,
    StoredSnapshot, StoredSnapshots,
};

/// Keys in one command or answer.
const CHUNK: usize = 512;

/// Answers of copies that are under way at once: with more, those behind would be late for what is before them.
const READS: usize = 4;

/// Why an account has not been taken, if it has not. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Registration(Arc<Mutex<Option<String>>>);

impl Registration {
    /// Why there is none, if there is none.
    pub(super) fn refused(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// Takes the account, or remembers why that is refused.
    pub(super) async fn take(
        &self,
        wire: &RedisConnection,
        account: Incarnation,
    ) -> Result<Result<(), String>, BusError> {
        let leased = &wire.shared.leased;
        leased.attempt(account);
        let registered = allowed(wire.register(account).await)?;
        if registered.is_err() {
            leased.refuse(account);
        }
        *self.0.lock() = registered.clone().err();
        Ok(registered)
    }
}

/// The account of one node.
pub(super) struct RedisBusConnection {
    listening: RedisConnection,
    speaking: RedisConnection,
    reader: Reader,
    account: Incarnation,
    registration: Registration,
    /// How many subscriptions have been asked for.
    subscriptions: u64,
    /// How many of them stand.
    standing: Arc<watch::Sender<u64>>,
    /// For those who read.
    turns: Arc<Semaphore>,
}

impl RedisBusConnection {
    pub(super) fn new(
        [listening, speaking]: [RedisConnection; 2],
        reader: Reader,
        account: Incarnation,
        registration: Registration,
    ) -> Self {
        let (standing, turns) = (Arc::new(watch::Sender::new(0)), Arc::new(Semaphore::new(READS)));
        Self { listening, speaking, reader, account, registration, subscriptions: 0, standing, turns }
    }
}

impl BusConnection for RedisBusConnection {
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        let channels: Vec<_> =
            rooms.iter().map(|room| self.listening.shared.keys.room_channel(room)).collect();
        self.subscriptions += 1;
        let (number, standing) = (self.subscriptions, Arc::clone(&self.standing));
        let mut connection = self.listening.connection.clone();
        hand_over(async move {
            if !channels.is_empty() {
                connection.subscribe(channels).await?;
            }
            // Answers come in the order of the questions.
            standing.send_modify(|standing| *standing = number.max(*standing));
            Ok(())
        })
    }

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        let channels: Vec<_> =
            rooms.iter().map(|room| self.listening.shared.keys.room_channel(room)).collect();
        let mut connection = self.listening.connection.clone();
        hand_over(async move {
            if channels.is_empty() { Ok(()) } else { Ok(connection.unsubscribe(channels).await?) }
        })
    }

    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedChange>> {
        let (mut pipe, mut shown, mut refused) = (Pipeline::new(), Vec::new(), Vec::new());
        let unregistered = self.registration.refused();
        for command in commands {
            match command {
                Command::Publish { channel, message } => {
                    pipe.cmd("PUBLISH").arg(self.speaking.shared.keys.channel(&channel)).arg(&*message);
                }
                Command::Store { room, change, message } => {
                    if let Some(why) = &unregistered {
                        refused.push(RejectedChange { room, reason: why.clone() });
                        continue;
                    }
                    let begin = pipe.len();
                    pipe.cmd("MULTI");
                    self.show(&mut pipe, &room, change);
                    pipe.cmd("PUBLISH").arg(self.speaking.shared.keys.room_channel(&room)).arg(&*message);
                    pipe.cmd("EXEC");
                    shown.push((room, begin..pipe.len()));
                }
            }
        }
        let wire = self.speaking.clone();
        hand_over(async move {
            let answers = wire.answers(pipe).await?;
            refused.extend(refusals(answers, shown)?);
            Ok(refused)
        })
    }

    fn snapshots(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<StoredSnapshots>> {
        let (reader, rooms, turns) = (self.reader.clone(), rooms.to_vec(), Arc::clone(&self.turns));
        let limit = self.listening.shared.timeout;
        let (subscriptions, mut standing) = (self.subscriptions, self.standing.subscribe());
        Box::pin(async move {
            let stand = standing.wait_for(|standing| *standing >= subscriptions);
            let stand = timeout(limit, stand).await.map_err(|_elapsed| BusError::TimedOut)?;
            stand.map_err(|_gone| BusError::Closed)?;
            let _turn = turns.acquire().await.map_err(|_closed| BusError::Closed)?;
            reader.snapshots(&rooms).await
        })
    }

    fn check(&mut self) -> BusFuture<()> {
        // The third looks after itself.
        let (listening, speaking) = (self.listening.clone(), self.speaking.clone());
        hand_over(async move { tokio::try_join!(listening.ping(), speaking.ping()).map(drop) })
    }

    fn renew(&mut self) -> BusFuture<LeaseRenewal> {
        let (wire, account) = (self.speaking.clone(), self.account);
        let (registration, reader) = (self.registration.clone(), self.reader.clone());
        hand_over(async move {
            let renewed = if registration.refused().is_some() {
                registration.take(&wire, account).await?
            } else {
                wire.renew(account).await?
            };
            let alive = wire.tidy().await?;
            let refused = renewed.err().or(alive.clone().err()).or(reader.trouble());
            let registered = registration.refused().is_none();
            Ok(LeaseRenewal { alive: alive.unwrap_or_default(), registered, rejected: refused })
        })
    }

    fn leave(&mut self) -> BusFuture<()> {
        let (wire, account) = (self.speaking.clone(), self.account);
        hand_over(async move {
            let mut pipe = Pipeline::new();
            pipe.cmd("DEL").arg(wire.shared.keys.lease(account));
            // What is refused goes by itself, with the lease.
            if allowed(wire.request(pipe).await)?.is_ok() {
                let _allowed = allowed(wire.remove(account).await)?;
            }
            Ok(())
        })
    }
}

impl RedisBusConnection {
    fn show(&self, pipe: &mut Pipeline, room: &RoomName, change: SnapshotChange) {
        let (keys, account) = (&self.speaking.shared.keys, self.account);
        let shown = keys.shown(account, room);
        let (position, set, removed) = match change {
            SnapshotChange::Remove => {
                pipe.cmd("DEL").arg(shown);
                pipe.cmd("SREM").arg(keys.present(room)).arg(account.to_string());
                pipe.cmd("SREM").arg(keys.rooms(account)).arg(&**room);
                return;
            }
            SnapshotChange::Replace(StoredSnapshot { position, entries }) => {
                pipe.cmd("DEL").arg(&shown);
                (position, entries, Vec::new())
            }
            SnapshotChange::Update { position, set, removed } => (position, set, removed),
        };
        pipe.cmd("SADD").arg(keys.rooms(account)).arg(&**room);
        pipe.cmd("SADD").arg(keys.present(room)).arg(account.to_string());
        let hash = pipe.cmd("HSET").arg(&shown).arg(POSITION).arg(&*position);
        for (id, entry) in &set {
            hash.arg(id).arg(&**entry);
        }
        for ids in removed.chunks(CHUNK) {
            pipe.cmd("HDEL").arg(&shown).arg(ids);
        }
    }
}

/// The changes that were refused. Of `answers`, in their order, each change in `shown` has those in its range.
///
/// # Errors
/// When anything else went wrong, such as a message that may not be published.
fn refusals(
    mut answers: Vec<Result<Value, BusError>>,
    shown: Vec<(RoomName, Range<usize>)>,
) -> Result<Vec<RejectedChange>, BusError> {
    let mut refused = Vec::new();
    for (room, range) in shown {
        // The first error has the cause. The peers follow from it.
        let mut errors = answers[range].iter_mut().filter(|answer| answer.is_err());
        let first = errors.next().map(|answer| mem::replace(answer, Ok(Value::Nil)));
        errors.for_each(|answer| *answer = Ok(Value::Nil));
        if let Some(Err(why)) = first.map(allowed).transpose()? {
            refused.push(RejectedChange { room, reason: why });
        }
    }
    answers.into_iter().try_for_each(|answer| answer.map(drop))?;
    Ok(refused)
}

/// Lets `request` come as far as the connection's queue, in which requests keep their order, be it full or not.
fn hand_over<T: Send + 'static>(
    request: impl Future<Output = Result<T, BusError>> + Send + 'static,
) -> BusFuture<T> {
    // Tokio makes whoever does much in one turn wait for the next; these must not wait, or peers overtake them.
    let mut answer: BusFuture<T> = Box::pin(unconstrained(request));
    // Whoever waits for the answer polls again, and is woken then.
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Box::pin(std::future::ready(result)),
        Poll::Pending => answer,
    }
}
