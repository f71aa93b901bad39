//! What nodes say to all others, beside what is said in rooms.
//!
//! Rare and small, so it is JSON, and a node that does not know a word of a newer one passes over it.

use std::collections::HashMap;

use bytes::Bytes;
use hub::NodeId;
use serde::{Deserialize, Serialize};

/// What an operator has asked one node for and all are to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorCommand {
    /// Send away all clients of a tenant.
    SendAway {
        /// Its name.
        tenant: String,
    },
    /// Read the configuration again.
    ReadAgain,
}

/// What one node says to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    /// It has a new cable, and begins to tell everything it shows.
    Hello,
    /// It has told everything: whatever else is remembered of it is not true any more.
    Told,
    /// Its users by tenant: those whose number has changed, or of all tenants that have any.
    Users { whole: bool, users: HashMap<String, usize> },
    /// It stops now.
    Disconnect,
    /// It has missed something: it wants to be told the numbers of rooms in which something was said since so long
    /// ago.
    Count { since_ms: u64 },
    /// See [`OperatorCommand`].
    Do(OperatorCommand),
}

#[derive(Serialize, Deserialize)]
struct Message<T> {
    from: u64,
    said: T,
    /// Every stream of numbers that the node begins later is at least this one. Nodes that do not say so cannot
    /// read numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    streams: Option<u64>,
}

/// The message that tells it, and the next stream of numbers.
pub(super) fn encode(from: NodeId, said: &Said, next_stream: u64) -> Bytes {
    let text = serde_json::to_vec(&Message { from: from.get(), said, streams: Some(next_stream) });
    text.expect("strings and numbers can be written").into()
}

/// Who says what, and which stream is its next, if it can read numbers; `None` for words we do not know.
pub(super) fn decode(message: &[u8]) -> Option<(NodeId, Said, Option<u64>)> {
    let Message { from, said, streams } = serde_json::from_slice(message).ok()?;
    Some((NodeId::new(from), said, streams))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let users = HashMap::from([("acme".to_owned(), 3)]);
        let control = Said::Do(OperatorCommand::SendAway { tenant: "acme".into() });
        let count = Said::Count { since_ms: 7 };
        for said in
            [Said::Hello, Said::Told, Said::Users { whole: true, users }, Said::Disconnect, count, control]
        {
            let node = NodeId::new(u64::MAX);
            assert_eq!(decode(&encode(node, &said, 3)), Some((node, said, Some(3))));
        }
    }

    #[test]
    fn nodes_that_know_of_no_numbers_are_understood() {
        let said = decode(br#"{"from":1,"said":"Hello"}"#);
        assert_eq!(said, Some((NodeId::new(1), Said::Hello, None)));
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert_eq!(decode(br#"{"from":1,"said":{"Sing":{"loud":true}}}"#), None);
        assert_eq!(decode(b"\xff"), None);
    }
}
