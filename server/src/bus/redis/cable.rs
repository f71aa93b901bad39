//! A cable made of three connections to Redis.
//!
//! Each method is one request of many commands. It is put on a connection's queue before the method returns,
//! which is all it takes for the order that [`Cable`] promises; but what is shown is read on a connection of
//! its own ([`Reader`]), once the subscriptions stand that were asked for before.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hub::NodeId;
use redis::Pipeline;
use tokio::sync::{Semaphore, watch};
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::keys::{Account, POSITION};
use super::leased::{self, Tenure};
use super::reading::Reader;
use super::wire::Wire;
use crate::bus::{Answer, BusError, Cable, Change, Command, Copy, RoomName};

/// Keys in one command or answer.
const CHUNK: usize = 512;

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
