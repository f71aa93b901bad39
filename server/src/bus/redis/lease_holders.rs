//! The accounts of this process that may have a lease, so that the next one of their node ends them.
//!
//! Attempts to connect may fail half-way, and then nobody knows whether a lease was taken; so there may be
//! several. What an account has said may also be on its way still, in a connection that this process has given
//! up: Redis is asked to end that connection, so that nothing of it is heard after what follows.

use std::collections::HashMap;

use hub::NodeId;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, cmd};

use super::keys::Incarnation;
use crate::bus::BusError;

/// Accounts that may have a lease, by node.
#[derive(Debug, Default)]
pub(super) struct LeaseHolders(Mutex<HashMap<NodeId, Vec<LeaseHolder>>>);

/// An account, and the connection over which it speaks, if Redis tells.
#[derive(Debug, Clone)]
pub(super) struct LeaseHolder {
    pub(super) account: Incarnation,
    speaker: Option<ClientIdentity>,
    /// Whether it was refused the lease when it was last tried for. It is here only for its connection then.
    is_refused: bool,
}

/// A connection as Redis knows it. Its number alone might be that of a stranger, behind an address that leads
/// to another server since.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClientIdentity {
    id: String,
    address: String,
}

impl LeaseHolder {
    /// The account is about to speak over this connection.
    pub(super) async fn begin(account: Incarnation, mut speaking: MultiplexedConnection) -> Self {
        // Redis 6.2 or later, for users who may ask; the peers do without.
        let told = cmd("CLIENT").arg("INFO").query_async::<String>(&mut speaking).await;
        Self { account, speaker: told.ok().as_deref().and_then(ClientIdentity::read), is_refused: false }
    }
}

impl ClientIdentity {
    fn read(told: &str) -> Option<Self> {
        let field = |name| told.split_ascii_whitespace().find_map(|field| field.strip_prefix(name));
        Some(Self { id: field("id=")?.to_owned(), address: field("addr=")?.to_owned() })
    }
}

impl LeaseHolders {
    /// The account is about to take a lease.
    pub(super) fn add(&self, holder: LeaseHolder) {
        self.0.lock().entry(holder.account.node).or_default().push(holder);
    }

    /// The account tries for a lease, and may have it from now on.
    pub(super) fn attempt(&self, account: Incarnation) {
        self.update(account, |holder| holder.is_refused = false);
    }

    /// The account has no lease: that was refused.
    pub(super) fn refuse(&self, account: Incarnation) {
        self.update(account, |holder| holder.is_refused = true);
    }

    fn update(&self, account: Incarnation, change: impl FnMut(&mut LeaseHolder)) {
        let mut leased = self.0.lock();
        let holders = leased.get_mut(&account.node).into_iter().flatten();
        holders.filter(|holder| holder.account == account).for_each(change);
    }

    /// The connections of these holders have been ended: nothing is left of those that were refused a lease.
    pub(super) fn forget_refused(&self, ended: &[LeaseHolder]) {
        for holder in ended.iter().filter(|holder| holder.is_refused) {
            self.remove(holder.account.node, &[holder.account]);
        }
    }

    /// Other accounts of the node of this one that may have a lease.
    pub(super) fn peers(&self, account: Incarnation) -> Vec<LeaseHolder> {
        let leased = self.0.lock();
        let holders = leased.get(&account.node).into_iter().flatten();
        holders.filter(|holder| holder.account != account).cloned().collect()
    }

    /// These accounts have no lease any more.
    pub(super) fn remove(&self, node: NodeId, accounts: &[Incarnation]) {
        if let Some(holders) = self.0.lock().get_mut(&node) {
            holders.retain(|holder| !accounts.contains(&holder.account));
        }
    }
}

/// Ends the connections over which these accounts have spoken, as far as this user may.
///
/// # Errors
/// When there is no answer.
pub(super) async fn kill_clients(
    holders: &[LeaseHolder],
    mut connection: MultiplexedConnection,
) -> Result<(), BusError> {
    let mut pipe = Pipeline::new();
    for ClientIdentity { id, address } in holders.iter().filter_map(|holder| holder.speaker.as_ref()) {
        pipe.cmd("CLIENT").arg("KILL").arg("ID").arg(id).arg("ADDR").arg(address);
    }
    if !pipe.is_empty() {
        let _how_many = connection.send_packed_commands(&pipe, 0, pipe.len()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_are_refused_a_lease_do_not_accumulate() {
        let (leased, node) = (LeaseHolders::default(), NodeId::new(1));
        let account = |number| Incarnation { node, number };
        let numbers = |before: &[LeaseHolder]| before.iter().map(|it| it.account.number).collect::<Vec<_>>();
        let mut before = Vec::new();
        for number in 0..10 {
            leased.add(LeaseHolder { account: account(number), speaker: None, is_refused: false });
            before = leased.peers(account(number));
            leased.forget_refused(&before);
            leased.attempt(account(number));
            // The first has a lease, and of the fourth nobody knows.
            if number != 0 && number != 3 {
                leased.refuse(account(number));
            }
        }
        assert_eq!(numbers(&before), [0, 3, 8]);
        assert_eq!(numbers(&leased.peers(account(10))), [0, 3, 9]);
    }

    #[test]
    fn a_connection_is_known_by_its_number_and_its_address() {
        let told = "id=7 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=8 name= age=0 user=default\n";
        let expected = ClientIdentity { id: "7".into(), address: "127.0.0.1:5000".into() };
        assert_eq!(ClientIdentity::read(told), Some(expected));
        assert_eq!(ClientIdentity::read("fd=8"), None);
    }
}
