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

use super::keys::Account;
use crate::bus::BusError;

/// Accounts that may have a lease, by node.
#[derive(Debug, Default)]
pub(super) struct Leased(Mutex<HashMap<NodeId, Vec<Tenure>>>);

/// An account, and the connection over which it speaks, if Redis tells.
#[derive(Debug, Clone)]
pub(super) struct Tenure {
    pub(super) account: Account,
    speaker: Option<Speaker>,
    /// Whether it was refused the lease when it was last tried for. It is here only for its connection then.
    is_refused: bool,
}

/// A connection as Redis knows it. Its number alone might be that of a stranger, behind an address that leads
/// to another server since.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Speaker {
    id: String,
    address: String,
}

impl Tenure {
    /// The account is about to speak over this connection.
    pub(super) async fn begin(account: Account, mut speaking: MultiplexedConnection) -> Self {
        // Redis 6.2 or later, for users who may ask; the others do without.
        let told = cmd("CLIENT").arg("INFO").query_async::<String>(&mut speaking).await;
        Self { account, speaker: told.ok().as_deref().and_then(Speaker::read), is_refused: false }
    }
}

impl Speaker {
    fn read(told: &str) -> Option<Self> {
        let field = |name| told.split_ascii_whitespace().find_map(|field| field.strip_prefix(name));
        Some(Self { id: field("id=")?.to_owned(), address: field("addr=")?.to_owned() })
    }
}

impl Leased {
    /// The account is about to take a lease.
    pub(super) fn add(&self, tenure: Tenure) {
        self.0.lock().entry(tenure.account.node).or_default().push(tenure);
    }

    /// The account tries for a lease, and may have it from now on.
    pub(super) fn attempt(&self, account: Account) {
        self.update(account, |tenure| tenure.is_refused = false);
    }

    /// The account has no lease: that was refused.
    pub(super) fn refuse(&self, account: Account) {
        self.update(account, |tenure| tenure.is_refused = true);
    }

    fn update(&self, account: Account, change: impl FnMut(&mut Tenure)) {
        let mut leased = self.0.lock();
        let tenures = leased.get_mut(&account.node).into_iter().flatten();
        tenures.filter(|tenure| tenure.account == account).for_each(change);
    }

    /// The connections of these tenures have been ended: nothing is left of those that were refused a lease.
    pub(super) fn forget_refused(&self, ended: &[Tenure]) {
        for tenure in ended.iter().filter(|tenure| tenure.is_refused) {
            self.remove(tenure.account.node, &[tenure.account]);
        }
    }

    /// Other accounts of the node of this one that may have a lease.
    pub(super) fn others(&self, account: Account) -> Vec<Tenure> {
        let leased = self.0.lock();
        let tenures = leased.get(&account.node).into_iter().flatten();
        tenures.filter(|tenure| tenure.account != account).cloned().collect()
    }

    /// These accounts have no lease any more.
    pub(super) fn remove(&self, node: NodeId, accounts: &[Account]) {
        if let Some(tenures) = self.0.lock().get_mut(&node) {
            tenures.retain(|tenure| !accounts.contains(&tenure.account));
        }
    }
}

/// Ends the connections over which these accounts have spoken, as far as this user may.
///
/// # Errors
/// When there is no answer.
pub(super) async fn silence(
    tenures: &[Tenure],
    mut connection: MultiplexedConnection,
) -> Result<(), BusError> {
    let mut pipe = Pipeline::new();
    for Speaker { id, address } in tenures.iter().filter_map(|tenure| tenure.speaker.as_ref()) {
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
        let (leased, node) = (Leased::default(), NodeId::new(1));
        let account = |number| Account { node, number };
        let numbers = |before: &[Tenure]| before.iter().map(|it| it.account.number).collect::<Vec<_>>();
        let mut before = Vec::new();
        for number in 0..10 {
            leased.add(Tenure { account: account(number), speaker: None, is_refused: false });
            before = leased.others(account(number));
            leased.forget_refused(&before);
            leased.attempt(account(number));
            // The first has a lease, and of the fourth nobody knows.
            if number != 0 && number != 3 {
                leased.refuse(account(number));
            }
        }
        assert_eq!(numbers(&before), [0, 3, 8]);
        assert_eq!(numbers(&leased.others(account(10))), [0, 3, 9]);
    }

    #[test]
    fn a_connection_is_known_by_its_number_and_its_address() {
        let told = "id=7 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=8 name= age=0 user=default\n";
        let expected = Speaker { id: "7".into(), address: "127.0.0.1:5000".into() };
        assert_eq!(Speaker::read(told), Some(expected));
        assert_eq!(Speaker::read("fd=8"), None);
    }
}
