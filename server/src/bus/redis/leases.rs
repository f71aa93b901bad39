//! The accounts of all nodes: the lease that keeps one alive, and what is done away with when it has run out.

use std::collections::HashSet;

use hub::NodeId;
use redis::{Pipeline, Value};

use super::Shared;
use super::connection::{RedisConnection, allowed, read};
use super::keys::Incarnation;
use super::lease_holders;
use crate::bus::BusError;

/// Keys in one command or answer.
const CHUNK: usize = 512;

impl Shared {
    pub(super) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl RedisConnection {
    /// Ends the connections of the earlier accounts of the node; then takes the lease and gives up theirs, at once.
    pub(super) async fn register(&self, account: Incarnation) -> Result<(), BusError> {
        let before = self.shared.leased.peers(account);
        lease_holders::kill_clients(&before, self.connection.clone()).await?;
        self.shared.leased.forget_refused(&before);
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        pipe.cmd("MULTI");
        // First the lease: whoever is among the accounts without one is dead.
        pipe.cmd("SET").arg(keys.lease(account)).arg(1).arg("PX").arg(self.shared.lease_ms());
        pipe.cmd("SADD").arg(keys.accounts()).arg(account.to_string());
        let before: Vec<_> = before.iter().map(|holder| holder.account).collect();
        for account in &before {
            pipe.cmd("DEL").arg(keys.lease(*account));
        }
        pipe.cmd("EXEC");
        self.request(pipe).await?;
        self.shared.leased.remove(account.node, &before);
        Ok(())
    }

    /// Renews the lease of `account`. The result is a refusal if that, or anything else that has to be stored, is
    /// refused.
    pub(super) async fn renew(&self, account: Incarnation) -> Result<Result<(), String>, BusError> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        // Only if it is there still: the peers may have done away with what belonged to it. Unlike SET this needs
        // no memory, of which there may be none left.
        pipe.cmd("PEXPIRE").arg(keys.lease(account)).arg(self.shared.lease_ms());
        // A Redis that is short of memory may have thrown the set away, or may take nothing more.
        pipe.cmd("SADD").arg(keys.accounts()).arg(account.to_string());
        let mut refused = Ok(());
        for (index, answer) in self.answers(pipe).await?.into_iter().enumerate() {
            match allowed(answer)? {
                Ok(Value::Int(0)) if index == 0 => return Err(BusError::LeaseExpired),
                Ok(_) => {}
                Err(why) => refused = refused.and(Err(why)),
            }
        }
        Ok(refused)
    }

    /// Removes what the dead have left, as far as that is allowed, and returns which nodes are alive.
    pub(super) async fn tidy(&self) -> Result<Result<Vec<NodeId>, String>, BusError> {
        let (alive, dead) = match allowed(self.accounts().await)? {
            Ok(accounts) => accounts,
            Err(why) => return Ok(Err(why)),
        };
        for account in dead {
            // Whoever may do so later finds it still.
            let _allowed = allowed(self.remove(account).await)?;
        }
        Ok(Ok(alive))
    }

    /// Sorts all accounts into nodes that are alive and what the dead left.
    async fn accounts(&self) -> Result<(Vec<NodeId>, Vec<Incarnation>), BusError> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::new();
        pipe.cmd("SMEMBERS").arg(keys.accounts());
        let mut accounts = accounts_of(self.request(pipe).await?.pop().unwrap_or(Value::Nil))?;
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
    async fn sort(&self, accounts: &[Incarnation]) -> Result<(HashSet<NodeId>, Vec<Incarnation>), BusError> {
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
    pub(super) async fn remove(&self, account: Incarnation) -> Result<(), BusError> {
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

/// The accounts in a set.
pub(super) fn accounts_of(set: Value) -> Result<Vec<Incarnation>, BusError> {
    let members: Vec<Vec<u8>> = read(Some(set))?;
    Ok(members.iter().filter_map(|member| Incarnation::parse(member)).collect())
}
