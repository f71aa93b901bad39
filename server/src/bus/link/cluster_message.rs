//! Messages to all nodes, beside those published in rooms.
//!
//! They are rare and small, so they are JSON. A node ignores messages and fields that it does not know. The names in JSON are
//! older than those in the code, and stay, because nodes of several versions share a bus.

use std::collections::HashMap;

use bytes::Bytes;
use hub::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::relay;

/// A command of an operator to one node, or of a node, that all nodes carry out.
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
    /// Read a tenant from the store again: it was created, changed or deleted.
    TenantChanged {
        /// Its name.
        tenant: String,
    },
    /// Clients of a tenant may have missed messages of its database: it was not read for a time.
    MessagesMissed {
        /// Its name.
        tenant: String,
    },
    /// Close the connections to the database of a tenant.
    ShutDownDatabase {
        /// Its name.
        tenant: String,
    },
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
    #[serde(rename = "Goodbye")]
    Leaving,
    /// The sender may have missed messages: it requests the sequence numbers of rooms in which anything was published
    /// within this time.
    #[serde(rename = "Count")]
    RequestSequences { since_ms: u64 },
    /// See [`OperatorCommand`].
    #[serde(rename = "Do")]
    Operator(OperatorCommand),
}

/// The version of the bus protocol that this node uses: see `docs/bus-protocol.md`. Nodes that send none use 1.0.
pub(super) const PROTOCOL: ProtocolVersion = ProtocolVersion(relay::VERSION as u16, 2);

/// The first version whose nodes decode the spans of broadcasts.
pub(super) const PROTOCOL_WITH_SPANS: ProtocolVersion = ProtocolVersion(1, 2);

/// Major and minor version. A node ignores what it cannot decode; with the same major version that changes nothing for
/// messages and presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct ProtocolVersion(pub(super) u16, pub(super) u16);

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    from: u64,
    #[serde(rename = "said")]
    message: T,
    #[serde(flatten)]
    header: Header,
}

/// The state of the sender, in each message. Older nodes send some of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Sequence number streams that the sender begins later have at least this number. Nodes that do not send it cannot
    /// decode sequence numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) streams: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<ProtocolVersion>,
    /// Whether the sender has not stored its whole presence yet, so that what is missing is not gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resyncing: Option<bool>,
}

/// A decoded message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) from: NodeId,
    pub(super) header: Header,
    /// None if a newer node has sent something unknown.
    pub(super) message: Option<ClusterMessage>,
}

pub(super) fn encode(from: NodeId, header: Header, message: &ClusterMessage) -> Bytes {
    let text = serde_json::to_vec(&Envelope { from: from.get(), message, header });
    text.expect("strings and numbers can be encoded").into()
}

/// Decodes a message; `None` if it is not valid.
pub(super) fn decode(message: &[u8]) -> Option<Decoded> {
    let Envelope { from, message, header } = serde_json::from_slice::<Envelope<Value>>(message).ok()?;
    Some(Decoded { from: NodeId::new(from), header, message: serde_json::from_value(message).ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { streams: Some(3), protocol: Some(PROTOCOL), resyncing: Some(true) }
    }

    #[test]
    fn decode_undoes_encode() {
        let users = HashMap::from([("acme".to_owned(), 3)]);
        for message in [
            ClusterMessage::ResyncBegin,
            ClusterMessage::ResyncEnd,
            ClusterMessage::Users { whole: true, users },
            ClusterMessage::Leaving,
            ClusterMessage::RequestSequences { since_ms: 7 },
            ClusterMessage::Operator(OperatorCommand::DisconnectTenant { tenant: "acme".into() }),
            ClusterMessage::Operator(OperatorCommand::ReloadConfig),
        ] {
            let from = NodeId::new(u64::MAX);
            let decoded = decode(&encode(from, header(), &message));
            assert_eq!(decoded, Some(Decoded { from, header: header(), message: Some(message) }));
        }
    }

    #[test]
    fn names_in_json_are_those_of_earlier_versions() {
        let tenant = OperatorCommand::DisconnectTenant { tenant: "a".into() };
        for (message, encoded) in [
            (ClusterMessage::ResyncBegin, r#""Hello""#),
            (ClusterMessage::ResyncEnd, r#""Told""#),
            (ClusterMessage::Leaving, r#""Goodbye""#),
            (
                ClusterMessage::Users { whole: true, users: HashMap::from([("a".into(), 2)]) },
                r#"{"Users":{"whole":true,"users":{"a":2}}}"#,
            ),
            (ClusterMessage::RequestSequences { since_ms: 1 }, r#"{"Count":{"since_ms":1}}"#),
            (ClusterMessage::Operator(OperatorCommand::ReloadConfig), r#"{"Do":"ReadAgain"}"#),
            (ClusterMessage::Operator(tenant), r#"{"Do":{"SendAway":{"tenant":"a"}}}"#),
        ] {
            let header = Header { streams: Some(3), protocol: Some(PROTOCOL), resyncing: Some(false) };
            let expected =
                format!(r#"{{"from":1,"said":{encoded},"streams":3,"protocol":[1,2],"resyncing":false}}"#);
            assert_eq!(encode(NodeId::new(1), header, &message), expected);
        }
    }

    #[test]
    fn messages_of_older_nodes_are_decoded() {
        let header = Header { streams: None, protocol: None, resyncing: None };
        let message = Some(ClusterMessage::ResyncBegin);
        let decoded = decode(br#"{"from":1,"said":"Hello"}"#);
        assert_eq!(decoded, Some(Decoded { from: NodeId::new(1), header, message }));
    }

    #[test]
    fn the_header_of_an_unknown_message_is_decoded() {
        let text = br#"{"from":1,"said":{"Unknown":{"field":true}},"protocol":[2,0],"other":"value"}"#;
        let decoded = decode(text).expect("an envelope");
        assert_eq!((decoded.message, decoded.header.protocol), (None, Some(ProtocolVersion(2, 0))));
        assert_eq!(decode(b"\xff"), None);
    }
}
