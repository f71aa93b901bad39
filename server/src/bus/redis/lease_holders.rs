//! The incarnations of this process that may hold a lease, so that the next one of their node can end them.
//!
//! An attempt to connect may fail half-way, and then it is unknown whether it took a lease; so there may be several.
//! Messages of an incarnation may also be buffered in a connection that this process has given up. Redis is asked to
//! kill that connection, so that nothing of it is delivered after messages of the next incarnation.

use std::collections::HashMap;

use hub::NodeId;
use parking_lot::Mutex;
use redis::cmd;

use super::connection::{Commands, RedisConnection};
use super::keys::Incarnation;
use crate::bus::BusError;

/// Incarnations that may hold a lease, by node.
#[derive(Debug, Default)]
pub(super) struct LeaseHolders(Mutex<HashMap<NodeId, Vec<LeaseHolder>>>);

/// An incarnation, and its publishing connection, if Redis has reported its id.
#[derive(Debug, Clone)]
pub(super) struct LeaseHolder {
    pub(super) incarnation: Incarnation,
    client: Option<ClientIdentity>,
    /// Whether its last attempt to take the lease was rejected. Then only its connection matters.
    is_rejected: bool,
}

/// A connection as Redis identifies it. Its id by itself might be that of another client, if the address has led to another
/// server since.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClientIdentity {
    id: String,
    address: String,
}

impl LeaseHolder {
    /// An incarnation that publishes over this connection.
    pub(super) async fn identify(incarnation: Incarnation, publisher: &RedisConnection) -> Self {
        // Redis 6.2 or later, if the user has the permission; otherwise no connection is killed.
        let info = publisher.value::<String>(cmd("CLIENT").arg("INFO")).await;
        Self { incarnation, client: info.ok().as_deref().and_then(ClientIdentity::read), is_rejected: false }
    }
}

impl ClientIdentity {
    fn read(info: &str) -> Option<Self> {
        let field = |name| info.split_ascii_whitespace().find_map(|field| field.strip_prefix(name));
        Some(Self { id: field("id=")?.to_owned(), address: field("addr=")?.to_owned() })
    }
}

impl LeaseHolders {
    /// The incarnation is about to take a lease.
    pub(super) fn add(&self, holder: LeaseHolder) {
        self.0.lock().entry(holder.incarnation.node).or_default().push(holder);
    }

    /// Whether the attempt of the incarnation to take the lease was rejected. While it is under way, it may hold one.
    pub(super) fn set_rejected(&self, incarnation: Incarnation, is_rejected: bool) {
        let mut holders = self.0.lock();
        let holders = holders.get_mut(&incarnation.node).into_iter().flatten();
        for holder in holders.filter(|holder| holder.incarnation == incarnation) {
            holder.is_rejected = is_rejected;
        }
    }

    /// Removes those whose lease was rejected; their connections have been killed.
    pub(super) fn remove_rejected(&self, killed: &[LeaseHolder]) {
        for holder in killed.iter().filter(|holder| holder.is_rejected) {
            self.remove(holder.incarnation.node, &[holder.incarnation]);
        }
    }

    /// Other incarnations of the node of this one that may hold a lease.
    pub(super) fn predecessors(&self, incarnation: Incarnation) -> Vec<LeaseHolder> {
        let holders = self.0.lock();
        let holders = holders.get(&incarnation.node).into_iter().flatten();
        holders.filter(|holder| holder.incarnation != incarnation).cloned().collect()
    }

    /// Removes incarnations that hold no lease any more.
    pub(super) fn remove(&self, node: NodeId, incarnations: &[Incarnation]) {
        if let Some(holders) = self.0.lock().get_mut(&node) {
            holders.retain(|holder| !incarnations.contains(&holder.incarnation));
        }
    }
}

/// Kills the publishing connections of these incarnations, if this user has the permission.
///
/// # Errors
/// When there is no response.
pub(super) async fn kill_clients(
    holders: &[LeaseHolder],
    connection: &RedisConnection,
) -> Result<(), BusError> {
    let mut commands = Commands::default();
    for ClientIdentity { id, address } in holders.iter().filter_map(|holder| holder.client.as_ref()) {
        commands.push(cmd("CLIENT").arg("KILL").arg("ID").arg(id).arg("ADDR").arg(address));
    }
    connection.responses(commands).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_without_a_lease_do_not_accumulate() {
        let (holders, node) = (LeaseHolders::default(), NodeId::new(1));
        let incarnation = |number| Incarnation { node, number };
        let numbers =
            |before: &[LeaseHolder]| before.iter().map(|it| it.incarnation.number).collect::<Vec<_>>();
        let mut before = Vec::new();
        for number in 0..10 {
            holders.add(LeaseHolder { incarnation: incarnation(number), client: None, is_rejected: false });
            before = holders.predecessors(incarnation(number));
            holders.remove_rejected(&before);
            // The first has a lease, and of the fourth it is unknown.
            holders.set_rejected(incarnation(number), number != 0 && number != 3);
        }
        assert_eq!(numbers(&before), [0, 3, 8]);
        assert_eq!(numbers(&holders.predecessors(incarnation(10))), [0, 3, 9]);
    }

    #[test]
    fn a_connection_is_identified_by_its_id_and_its_address() {
        let info = "id=7 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=8 name= age=0 user=default\n";
        let expected = ClientIdentity { id: "7".into(), address: "127.0.0.1:5000".into() };
        assert_eq!(ClientIdentity::read(info), Some(expected));
        assert_eq!(ClientIdentity::read("fd=8"), None);
    }
}
