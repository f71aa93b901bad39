//! The lease of this node's incarnation, and the removal of what expired incarnations have stored.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hub::NodeId;
use parking_lot::Mutex;
use redis::{Cmd, Value, cmd};

use super::Shared;
use super::connection::{Commands, RedisConnection, accepted, read};
use super::keys::Incarnation;
use super::lease_holders::kill_clients;
use super::repair::delete_other_types;
use crate::bus::{BusError, BusRejection, LeaseRenewal};

/// Keys in one request.
const CHUNK: usize = 512;

/// What is stored lives for so many leases, unless it is refreshed or removed before.
const LIFETIME: u32 = 20;

/// The lease, taken or not. Clones are the same.
#[derive(Clone)]
pub(super) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) incarnation: Incarnation,
    connection: RedisConnection,
    /// Why it could not be taken, until it is.
    rejected: Arc<Mutex<Option<BusRejection>>>,
}

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, incarnation: Incarnation, connection: RedisConnection) -> Self {
        Self { shared, incarnation, connection, rejected: Arc::default() }
    }

    /// Why it could not be taken, until it is.
    pub(super) fn rejected(&self) -> Option<BusRejection> {
        self.rejected.lock().clone()
    }

    /// Takes the lease, or remembers why that is rejected: each renewal tries again.
    pub(super) async fn take(&self) -> Result<(), BusError> {
        let holders = &self.shared.lease_holders;
        holders.set_rejected(self.incarnation, false);
        let taken = accepted(self.register().await)?;
        if taken.is_err() {
            holders.set_rejected(self.incarnation, true);
        }
        *self.rejected.lock() = taken.err();
        Ok(())
    }

    /// Kills the connections of earlier incarnations of the node; then takes the lease and deletes theirs, atomically.
    async fn register(&self) -> Result<(), BusError> {
        let Shared { keys, lease_holders, lease, .. } = &*self.shared;
        let predecessors = lease_holders.predecessors(self.incarnation);
        kill_clients(&predecessors, &self.connection).await?;
        lease_holders.remove_rejected(&predecessors);
        let predecessors: Vec<_> = predecessors.iter().map(|holder| holder.incarnation).collect();
        let mut commands = Commands::default();
        commands.push(&mut cmd("MULTI"));
        // The lease first: an incarnation that is listed without one is expired.
        commands.push(cmd("SET").arg(keys.lease(self.incarnation)).arg(1).arg("PX").arg(milliseconds(lease)));
        commands.push(cmd("SADD").arg(keys.incarnations()).arg(self.incarnation.to_string()));
        commands.push(&mut self.expire(&keys.incarnations()));
        for incarnation in &predecessors {
            commands.push(cmd("DEL").arg(keys.lease(*incarnation)));
        }
        commands.push(&mut cmd("EXEC"));
        self.connection.values(commands).await?;
        lease_holders.remove(self.incarnation.node, &predecessors);
        Ok(())
    }

    /// Gives a key the lifetime of what is stored. The response is 0 if it does not exist.
    pub(super) fn expire(&self, key: &str) -> Cmd {
        cmd("PEXPIRE").arg(key).arg(milliseconds(&(self.shared.lease * LIFETIME))).take()
    }

    /// Renews the lease, or tries to take it, and removes what expired incarnations have stored.
    pub(super) async fn renew(&self) -> Result<LeaseRenewal, BusError> {
        let wrong_types = self.repair().await?;
        let renewed = if self.rejected().is_some() {
            self.take().await?;
            self.rejected().map_or(Ok(()), Err)
        } else {
            self.extend().await?
        };
        let (alive, tidied) = match self.remove_expired().await? {
            Ok(alive) => (alive, Ok(())),
            Err(reason) => (Vec::new(), Err(reason)),
        };
        let rejected = renewed.and(tidied).err().map(|rejection| rejection.to_string());
        Ok(LeaseRenewal { alive, registered: self.rejected().is_none(), rejected, wrong_types })
    }

    /// Deletes the lists that every room needs, if they are of another type. Every node adds itself again when it renews,
    /// and its rooms when it refreshes them.
    async fn repair(&self) -> Result<usize, BusError> {
        let keys = &self.shared.keys;
        delete_other_types(&self.connection, vec![keys.incarnations(), keys.rooms(self.incarnation)]).await
    }

    /// Extends the lease. The result is why that, or anything else that has to be stored, is rejected.
    async fn extend(&self) -> Result<Result<(), BusRejection>, BusError> {
        let (keys, lease) = (&self.shared.keys, milliseconds(&self.shared.lease));
        let mut commands = Commands::default();
        // Only if it exists: other nodes may have removed what belonged to it. Unlike SET this needs no memory.
        commands.push(cmd("PEXPIRE").arg(keys.lease(self.incarnation)).arg(lease));
        // A Redis that is short of memory may have evicted the set, or may store nothing more.
        commands.push(cmd("SADD").arg(keys.incarnations()).arg(self.incarnation.to_string()));
        commands.push(&mut self.expire(&keys.incarnations()));
        let mut result = Ok(());
        for (index, response) in self.connection.responses(commands).await?.into_iter().enumerate() {
            match accepted(response)? {
                Ok(Value::Int(0)) if index == 0 => return Err(BusError::LeaseExpired),
                Ok(_) => {}
                Err(reason) => result = result.and(Err(reason)),
            }
        }
        Ok(result)
    }

    /// Removes what expired incarnations have stored, as far as that is accepted, and returns the live nodes.
    async fn remove_expired(&self) -> Result<Result<Vec<NodeId>, BusRejection>, BusError> {
        let (alive, expired) = match accepted(self.incarnations().await)? {
            Ok(incarnations) => incarnations,
            Err(reason) => return Ok(Err(reason)),
        };
        for incarnation in expired {
            // What is rejected is still found by the next node that may remove it.
            let _rejected = accepted(self.remove(incarnation).await)?;
        }
        Ok(Ok(alive))
    }

    /// All live nodes, and all expired incarnations.
    async fn incarnations(&self) -> Result<(Vec<NodeId>, Vec<Incarnation>), BusError> {
        let mut listed = self.list().await?;
        loop {
            let (alive, expired) = self.sort(&listed).await?;
            // A node may have reconnected between the two requests. Then its new incarnation was listed before the old
            // lease was deleted: only if there is no new one, the node is dead.
            let is_settled = expired.iter().all(|incarnation| alive.contains(&incarnation.node));
            let now = if is_settled { Vec::new() } else { self.list().await? };
            if now.iter().all(|incarnation| listed.contains(incarnation)) {
                return Ok((alive.into_iter().collect(), expired));
            }
            listed = now;
        }
    }

    async fn list(&self) -> Result<Vec<Incarnation>, BusError> {
        incarnations_in(self.connection.value(cmd("SMEMBERS").arg(self.shared.keys.incarnations())).await?)
    }

    /// Sorts incarnations into nodes with a lease and incarnations without.
    async fn sort(&self, listed: &[Incarnation]) -> Result<(HashSet<NodeId>, Vec<Incarnation>), BusError> {
        let mut commands = Commands::default();
        for incarnation in listed {
            commands.push(cmd("EXISTS").arg(self.shared.keys.lease(*incarnation)));
        }
        let (mut alive, mut expired) = (HashSet::new(), Vec::new());
        for (incarnation, exists) in listed.iter().zip(self.connection.values(commands).await?) {
            if read(Some(exists))? {
                alive.insert(incarnation.node);
            } else {
                expired.push(*incarnation);
            }
        }
        Ok((alive, expired))
    }

    /// Gives up the lease and removes everything stored under it.
    pub(super) async fn release(&self) -> Result<(), BusError> {
        let lease = self.shared.keys.lease(self.incarnation);
        let deleted = self.connection.value::<Value>(cmd("DEL").arg(lease)).await;
        // What is rejected expires with the lease.
        if accepted(deleted)?.is_ok() {
            let _rejected = accepted(self.remove(self.incarnation).await)?;
        }
        Ok(())
    }

    /// Removes everything stored by an incarnation without a lease.
    async fn remove(&self, incarnation: Incarnation) -> Result<(), BusError> {
        let keys = &self.shared.keys;
        let rooms: Vec<String> =
            match self.connection.value(cmd("SMEMBERS").arg(keys.rooms(incarnation))).await {
                // What cannot be found expires.
                Err(BusError::Rejected(BusRejection::WrongType)) => Vec::new(),
                rooms => rooms?,
            };
        for chunk in rooms.chunks(CHUNK) {
            let mut commands = Commands::default();
            for room in chunk {
                commands.push(cmd("DEL").arg(keys.snapshot(room, incarnation)));
                commands.push(cmd("SREM").arg(keys.present(room)).arg(incarnation.to_string()));
                commands.push(cmd("PERSIST").arg(keys.present(room)));
            }
            // A key of another type is not ours.
            for response in self.connection.responses(commands).await? {
                let _rejected = accepted(response)?;
            }
        }
        let mut commands = Commands::default();
        commands.push(cmd("DEL").arg(keys.rooms(incarnation)));
        // Last, so that an interrupted removal is found and continued.
        commands.push(cmd("SREM").arg(keys.incarnations()).arg(incarnation.to_string()));
        self.connection.values(commands).await.map(drop)
    }
}

fn milliseconds(duration: &Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The incarnations in a set.
pub(super) fn incarnations_in(set: Value) -> Result<Vec<Incarnation>, BusError> {
    let members: Vec<Vec<u8>> = read(Some(set))?;
    Ok(members.iter().filter_map(|member| Incarnation::parse(member)).collect())
}
