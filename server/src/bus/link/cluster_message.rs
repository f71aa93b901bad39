//! Messages to all nodes, beside those published in rooms.
//!
//! They are rare and small, so they are JSON. A node ignores messages and fields it does not know. The names in JSON are
//! older than those in the code, and stay, because nodes of several versions share a bus.

use std::collections::HashMap;

use bytes::Bytes;
use hub::NodeId;
use serde::{Deserialize, Serialize};

/// A command of an operator to one node that all nodes carry out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorCommand {
    /// Disconnect all clients of a tenant.
    #[serde(rename = "SendAway")]
    DisconnectTenant {
        /// Its name.
        tenant: String,
    },
    /// Reload the configuration.
    #[serde(rename = "ReadAgain")]
    ReloadConfig,
}

/// The content of a message to all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ClusterMessage {
    /// The sender has a new connection and begins to store and publish its whole presence.
    #[serde(rename = "Hello")]
    ResyncBegin,
    /// The sender has published its whole presence: whatever else is known of it is obsolete.
    #[serde(rename = "Told")]
    ResyncEnd,
    /// The sender's users by tenant: the counts that have changed, or those of all tenants that have any.
    Users { whole: bool, users: HashMap<String, usize> },
    /// The sender stops.
    Disconnect,
    /// The sender may have missed messages: it requests the sequence numbers of rooms in which anything was published
    /// within this time.
    #[serde(rename = "Count")]
    RequestSequences { since_ms: u64 },
    /// See [`OperatorCommand`].
    #[serde(rename = "Do")]
    Operator(OperatorCommand),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    from: u64,
    #[serde(rename = "said")]
    message: T,
    /// Sequence number streams that the sender begins later have at least this number. Nodes that do not send it cannot
    /// decode sequence numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    streams: Option<u64>,
}

/// Encodes a message and the sender's next stream of sequence numbers.
pub(super) fn encode(from: NodeId, message: &ClusterMessage, next_stream: u64) -> Bytes {
    let text = serde_json::to_vec(&Envelope { from: from.get(), message, streams: Some(next_stream) });
    text.expect("strings and numbers can be encoded").into()
}

/// Decodes the sender, its message, and its next stream if it can decode sequence numbers; `None` if the message is
/// unknown.
pub(super) fn decode(message: &[u8]) -> Option<(NodeId, ClusterMessage, Option<u64>)> {
    let Envelope { from, message, streams } = serde_json::from_slice(message).ok()?;
    Some((NodeId::new(from), message, streams))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_undoes_encode() {
        let users = HashMap::from([("acme".to_owned(), 3)]);
        for message in [
            ClusterMessage::ResyncBegin,
            ClusterMessage::ResyncEnd,
            ClusterMessage::Users { whole: true, users },
            ClusterMessage::Disconnect,
            ClusterMessage::RequestSequences { since_ms: 7 },
            ClusterMessage::Operator(OperatorCommand::DisconnectTenant { tenant: "acme".into() }),
            ClusterMessage::Operator(OperatorCommand::ReloadConfig),
        ] {
            let node = NodeId::new(u64::MAX);
            assert_eq!(decode(&encode(node, &message, 3)), Some((node, message, Some(3))));
        }
    }

    #[test]
    fn names_in_json_are_those_of_earlier_versions() {
        let text = |message| String::from_utf8(encode(NodeId::new(1), &message, 3).into()).expect("text");
        let tenant = OperatorCommand::DisconnectTenant { tenant: "a".into() };
        for (message, said) in [
            (ClusterMessage::ResyncBegin, r#""Hello""#),
            (ClusterMessage::ResyncEnd, r#""Told""#),
            (ClusterMessage::RequestSequences { since_ms: 1 }, r#"{"Count":{"since_ms":1}}"#),
            (ClusterMessage::Operator(OperatorCommand::ReloadConfig), r#"{"Do":"ReadAgain"}"#),
            (ClusterMessage::Operator(tenant), r#"{"Do":{"SendAway":{"tenant":"a"}}}"#),
        ] {
            assert_eq!(text(message), format!(r#"{{"from":1,"said":{said},"streams":3}}"#));
        }
    }

    #[test]
    fn nodes_without_sequence_numbers_are_decoded() {
        let decoded = decode(br#"{"from":1,"said":"Hello"}"#);
        assert_eq!(decoded, Some((NodeId::new(1), ClusterMessage::ResyncBegin, None)));
    }

    #[test]
    fn unknown_messages_are_ignored() {
        assert_eq!(decode(br#"{"from":1,"said":{"Sing":{"loud":true}}}"#), None);
        assert_eq!(decode(b"\xff"), None);
    }
}
