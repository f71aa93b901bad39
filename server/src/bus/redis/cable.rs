//! A cable made of three connections to Redis.
//!
//! Each method is one request of many commands. It is put on a connection's queue before the method returns,
//! which is all it takes for the order that [`Cable`] promises; but what is shown is read on a connection of
//! its own ([`Reader`]), once the subscriptions stand that were asked for before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hub::NodeId;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, Value, cmd, from_redis_value};
use tokio::sync::{Semaphore, watch};
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::Shared;
use super::keys::Account;
use super::leased::{self, Tenure};
use super::reading::Reader;
use crate::bus::{Answer, BusError, Cable, Change, Command, Copy, RoomName};

/// Beside entries, whose fields are numbers, the hash of what is shown has this one.
const POSITION: &str = "position";

/// Keys in one command or answer.
const CHUNK: usize = 512;

/// Copies in one answer. Each may be as large as a room's presence.
const COPIES: usize = 16;

/// Answers of copies that are under way at once: with more, those behind would be late for what is before them.
const READS: usize = 4;

/// The account of one node.
pub(super) struct RedisCable {
    listening: Wire,
    speaking: Wire,
    reader: Reader,
    account: Account,
    /// How many subscriptions have been asked for.
    subscriptions: u64,
    /// How many of them stand.
    standing: Arc<watch::Sender<u64>>,
    /// For those who read.
    turns: Arc<Semaphore>,
}

/// What requests need; a clone goes along with each that asks more than once.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) connection: MultiplexedConnection,
    pub(super) shared: Arc<Shared>,
}

impl RedisCable {
    pub(super) fn new([listening, speaking]: [Wire; 2], reader: Reader, account: Account) -> Self {
        let (standing, turns) = (Arc::new(watch::Sender::new(0)), Arc::new(Semaphore::new(READS)));
        Self { listening, speaking, reader, account, subscriptions: 0, standing, turns }
    }

    pub(super) async fn subscribe_to_nodes(&mut self) -> Result<(), BusError> {
        let channel = self.listening.shared.keys.nodes_channel();
        Ok(self.listening.connection.subscribe(channel).await?)
    }

    /// Ends the connections of the accounts `before`; then takes the lease and gives up theirs, at once.
    pub(super) async fn enter(&mut self, before: &[Tenure]) -> Result<(), BusError> {
        let Wire { shared, connection } = &self.speaking;
        leased::silence(before, connection.clone()).await?;
        let mut pipe = Pipeline::new();
        pipe.cmd("MULTI");
        // First the lease: whoever is among the accounts without one is dead.
        pipe.cmd("SET").arg(shared.keys.lease(self.account)).arg(1).arg("PX").arg(shared.lease_ms());
        pipe.cmd("SADD").arg(shared.keys.accounts()).arg(self.account.to_string());
        for Tenure { account, .. } in before {
            pipe.cmd("DEL").arg(shared.keys.lease(*account));
        }
        pipe.cmd("EXEC");
        self.speaking.request(pipe).await.map(drop)
    }
}

impl Shared {
    fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl Cable for RedisCable {
    fn subscribe(&mut self, rooms: &[RoomName]) -> Answer<()> {
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

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> Answer<()> {
        let channels: Vec<_> =
            rooms.iter().map(|room| self.listening.shared.keys.room_channel(room)).collect();
        let mut connection = self.listening.connection.clone();
        hand_over(async move {
            if channels.is_empty() { Ok(()) } else { Ok(connection.unsubscribe(channels).await?) }
        })
    }

    fn send(&mut self, commands: Vec<Command>) -> Answer<()> {
        let mut pipe = Pipeline::new();
        for command in commands {
            match command {
                Command::Publish { channel, message } => {
                    pipe.cmd("PUBLISH").arg(self.speaking.shared.keys.channel(&channel)).arg(&*message);
                }
                Command::Show { room, change, message } => {
                    pipe.cmd("MULTI");
                    self.show(&mut pipe, &room, change);
                    pipe.cmd("PUBLISH").arg(self.speaking.shared.keys.room_channel(&room)).arg(&*message);
                    pipe.cmd("EXEC");
                }
            }
        }
        let wire = self.speaking.clone();
        hand_over(async move { wire.request(pipe).await.map(drop) })
    }

    fn copies(&mut self, rooms: &[RoomName]) -> Answer<Vec<Vec<(NodeId, Copy)>>> {
        let (reader, rooms, turns) = (self.reader.clone(), rooms.to_vec(), Arc::clone(&self.turns));
        let limit = self.listening.shared.timeout;
        let (subscriptions, mut standing) = (self.subscriptions, self.standing.subscribe());
        Box::pin(async move {
            let stand = standing.wait_for(|standing| *standing >= subscriptions);
            let stand = timeout(limit, stand).await.map_err(|_elapsed| BusError::TimedOut)?;
            stand.map_err(|_gone| BusError::Lost)?;
            let _turn = turns.acquire().await.map_err(|_closed| BusError::Lost)?;
            reader.copies(&rooms).await
        })
    }

    fn check(&mut self) -> Answer<()> {
        // The third looks after itself.
        let (listening, speaking) = (self.listening.clone(), self.speaking.clone());
        hand_over(async move { tokio::try_join!(listening.ping(), speaking.ping()).map(drop) })
    }

    fn renew(&mut self) -> Answer<Vec<NodeId>> {
        let (wire, account) = (self.speaking.clone(), self.account);
        hand_over(async move {
            let (alive, dead) = wire.renew(account).await?;
            for account in dead {
                wire.remove(account).await?;
            }
            Ok(alive)
        })
    }

    fn leave(&mut self) -> Answer<()> {
        let (wire, account) = (self.speaking.clone(), self.account);
        hand_over(async move {
            let mut pipe = Pipeline::new();
            pipe.cmd("DEL").arg(wire.shared.keys.lease(account));
            wire.request(pipe).await?;
            wire.remove(account).await
        })
    }
}

impl RedisCable {
    fn show(&self, pipe: &mut Pipeline, room: &RoomName, change: Change) {
        let (keys, account) = (&self.speaking.shared.keys, self.account);
        let shown = keys.shown(account, room);
        let (position, set, removed) = match change {
            Change::Remove => {
                pipe.cmd("DEL").arg(shown);
                pipe.cmd("SREM").arg(keys.present(room)).arg(account.to_string());
                pipe.cmd("SREM").arg(keys.rooms(account)).arg(&**room);
                return;
            }
            Change::Replace(Copy { position, entries }) => {
                pipe.cmd("DEL").arg(&shown);
                (position, entries, Vec::new())
            }
            Change::Update { position, set, removed } => (position, set, removed),
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

impl Wire {
    /// Sends all commands and waits for all answers; the first that is an error is the result.
    async fn request(&self, pipe: Pipeline) -> Result<Vec<Value>, BusError> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.connection.clone().send_packed_commands(&pipe, 0, pipe.len()).await?;
        values.into_iter().map(|value| Ok(value.extract_error()?)).collect()
    }

    /// Waits for a sign of life; an error that Redis answers with is one.
    pub(super) async fn ping(&self) -> Result<(), BusError> {
        match cmd("PING").query_async::<Value>(&mut self.connection.clone()).await.map_err(BusError::from) {
            Ok(_) | Err(BusError::Refused(_)) => Ok(()),
            Err(lost) => Err(lost),
        }
    }

    pub(super) async fn copies(&self, rooms: &[RoomName]) -> Result<Vec<Vec<(NodeId, Copy)>>, BusError> {
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

    /// Renews the lease of `account` and sorts all accounts into nodes that are alive and what the dead left.
    async fn renew(&self, account: Account) -> Result<(Vec<NodeId>, Vec<Account>), BusError> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        // Only if it is there still: the others may have done away with what belonged to it.
        pipe.cmd("SET").arg(keys.lease(account)).arg(1).arg("PX").arg(self.shared.lease_ms()).arg("XX");
        // A Redis that is short of memory may have thrown the set away.
        pipe.cmd("SADD").arg(keys.accounts()).arg(account.to_string());
        pipe.cmd("SMEMBERS").arg(keys.accounts());
        let mut answers = self.request(pipe).await?.into_iter();
        let (renewed, _added) = (answers.next(), answers.next());
        if matches!(renewed, None | Some(Value::Nil)) {
            return Err(BusError::Expired);
        }
        let mut accounts = accounts_of(answers.next().unwrap_or(Value::Nil))?;
        loop {
            let (alive, dead) = self.sort(&accounts).await?;
            if dead.iter().all(|account| alive.contains(&account.node)) {
                return Ok((alive.into_iter().collect(), dead));
            }
            // A node may have changed its cable between our two questions. Then its new account was there before
            // the old lease went: only if there is no new one, it is dead.
            let mut pipe = Pipeline::new();
            pipe.cmd("SMEMBERS").arg(keys.accounts());
            let now = accounts_of(self.request(pipe).await?.pop().unwrap_or(Value::Nil))?;
            if now.iter().all(|account| accounts.contains(account)) {
                return Ok((alive.into_iter().collect(), dead));
            }
            accounts = now;
        }
    }

    /// Sorts accounts into nodes with a lease and accounts without.
    async fn sort(&self, accounts: &[Account]) -> Result<(HashSet<NodeId>, Vec<Account>), BusError> {
        let mut pipe = Pipeline::new();
        for account in accounts {
            pipe.cmd("EXISTS").arg(self.shared.keys.lease(*account));
        }
        let (mut alive, mut dead) = (HashSet::new(), Vec::new());
        for (account, exists) in accounts.iter().zip(self.request(pipe).await?) {
            if read(Some(exists))? {
                alive.insert(account.node);
            } else {
                dead.push(*account);
            }
        }
        Ok((alive, dead))
    }

    /// Removes everything of an account that has no lease any more.
    async fn remove(&self, account: Account) -> Result<(), BusError> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        pipe.cmd("SMEMBERS").arg(keys.rooms(account));
        let rooms: Vec<String> = read(self.request(pipe).await?.pop())?;
        for chunk in rooms.chunks(CHUNK) {
            let mut pipe = Pipeline::new();
            for room in chunk {
                pipe.cmd("DEL").arg(keys.shown(account, room));
                pipe.cmd("SREM").arg(keys.present(&room.as_str().into())).arg(account.to_string());
            }
            self.request(pipe).await?;
        }
        let mut pipe = Pipeline::new();
        pipe.cmd("DEL").arg(keys.rooms(account));
        // Last, so that whoever is interrupted leaves the rest to be found.
        pipe.cmd("SREM").arg(keys.accounts()).arg(account.to_string());
        self.request(pipe).await.map(drop)
    }
}

fn read<T: FromRedisValue>(value: Option<Value>) -> Result<T, BusError> {
    from_redis_value(value.unwrap_or(Value::Nil)).map_err(|error| BusError::Refused(error.to_string()))
}

fn accounts_of(set: Value) -> Result<Vec<Account>, BusError> {
    let members: Vec<Vec<u8>> = read(Some(set))?;
    Ok(members.iter().filter_map(|member| Account::parse(member)).collect())
}

/// `None` when the hash is gone.
fn copy(mut hash: HashMap<String, Vec<u8>>) -> Option<Copy> {
    let position = Bytes::from(hash.remove(POSITION)?);
    let entry = |(id, entry): (String, Vec<u8>)| Some((id.parse().ok()?, Bytes::from(entry)));
    Some(Copy { position, entries: hash.into_iter().filter_map(entry).collect() })
}

/// Lets `request` come as far as the connection's queue, in which requests keep their order, be it full or not.
fn hand_over<T: Send + 'static>(
    request: impl Future<Output = Result<T, BusError>> + Send + 'static,
) -> Answer<T> {
    // Tokio makes whoever does much in one turn wait for the next; these must not wait, or others overtake them.
    let mut answer: Answer<T> = Box::pin(unconstrained(request));
    // Whoever waits for the answer polls again, and is woken then.
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Box::pin(std::future::ready(result)),
        Poll::Pending => answer,
    }
}
