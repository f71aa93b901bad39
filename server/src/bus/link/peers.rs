//! The other nodes: which are alive, and how many users each has.
//!
//! It is kept between connections: a node that stopped while there was none is removed over the next one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hub::NodeId;
use tracing::{debug, warn};
use wire::relay::Malformed;

use super::Context;
use super::cluster_message::{ClusterMessage, Header, PROTOCOL, PROTOCOL_WITH_SPANS, ProtocolVersion};
use super::sequence::{ReceivedSequences, SentSequences};
use crate::telemetry::codes::{Code, Scope};

/// More users of a tenant than one node can have: a node that counts more has not published this.
const USERS_MAX: usize = 1 << 24;

/// The state of the other nodes, as this node has received it.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: HashMap<NodeId, Peer>,
    /// Whether the nodes with a lease were listed over this connection. Until then there may be others.
    are_listed: bool,
    /// Sequence numbers of what this node publishes in rooms.
    pub(super) sent: SentSequences,
    /// Sequence numbers of what the others publish there.
    pub(super) received: ReceivedSequences,
    /// Since when messages may be missing, because there was no connection.
    pub(super) disconnected_at: Option<Instant>,
    /// Users of each tenant, by node.
    users: HashMap<NodeId, HashMap<String, usize>>,
    /// Users on this node, as they were last published.
    published_users: HashMap<Arc<str>, usize>,
    /// Whether a node needs them all.
    all_users_requested: bool,
    /// What could not be decoded and was logged: a version or a kind of message each, so never many.
    malformed: HashSet<Malformed>,
    /// Major protocol versions that were logged as unknown.
    unknown_majors: HashSet<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    /// When the last message arrived.
    received_at: Instant,
    /// Its next stream of sequence numbers, and when it sent that. `None` if it may not be able to decode any.
    next_stream: Option<(u64, Instant)>,
    /// Whether it decodes the spans of broadcasts.
    decodes_spans: bool,
}

impl Peer {
    fn new() -> Self {
        Self { received_at: Instant::now(), next_stream: None, decodes_spans: false }
    }

    fn note_header(&mut self, header: &Header) {
        self.next_stream = header.streams.map(|stream| (stream, self.received_at));
        self.decodes_spans = header.protocol >= Some(PROTOCOL_WITH_SPANS);
    }
}

impl Peers {
    /// A message of the node has arrived, so it is alive.
    pub(super) fn note_message(&mut self, context: &Context, node: NodeId) {
        if let Some(peer) = self.known.get_mut(&node) {
            peer.received_at = Instant::now();
        } else {
            self.known.insert(node, Peer::new());
            self.update_count(context);
        }
    }

    /// The header of a cluster message of a known node.
    pub(super) fn note_header(&mut self, context: &Context, node: NodeId, header: &Header) {
        if let Some(peer) = self.known.get_mut(&node) {
            peer.note_header(header);
        }
        self.update_spans(context);
        let Some(ProtocolVersion(major, minor)) = header.protocol else { return };
        if major != PROTOCOL.0 && self.unknown_majors.insert(major) {
            let ProtocolVersion(own_major, own_minor) = PROTOCOL;
            warn!(
                %node,
                "Node {node} uses version {major}.{minor} of the bus protocol, and this node {own_major}.{own_minor}: \
                 what it cannot decode is ignored"
            );
        }
    }

    /// Whether all can decode sequence numbers. Unknown, and so false, until all are known.
    pub(super) fn decode_sequences(&self) -> bool {
        self.are_listed && self.known.values().all(|peer| peer.next_stream.is_some())
    }

    /// Whether all decode the spans of broadcasts. Unknown, and so false, until all are known.
    fn decode_spans(&self) -> bool {
        self.are_listed && self.known.values().all(|peer| peer.decodes_spans)
    }

    /// A message cannot be decoded. The log has each reason once.
    pub(super) fn note_malformed(&mut self, context: &Context, malformed: Malformed) {
        context.metrics.unread.increment(1);
        if self.malformed.insert(malformed) {
            warn!("Other nodes publish what this node cannot decode, and ignores: {malformed}");
        }
    }

    fn update_count(&self, context: &Context) {
        context.metrics.nodes.set(self.known.len() as f64 + 1.0);
        self.update_spans(context);
    }

    /// Broadcasts have their spans while all nodes decode these.
    fn update_spans(&self, context: &Context) {
        context.sends_spans.store(self.decode_spans(), Ordering::Relaxed);
    }

    pub(super) fn is_known(&self, node: NodeId) -> bool {
        self.known.contains_key(&node)
    }

    /// These nodes have a lease. Returns whether there are any of which no message has arrived.
    pub(super) fn note_alive(&mut self, context: &Context, alive: &HashSet<NodeId>) -> bool {
        let before = self.known.len();
        for node in alive.iter().filter(|node| **node != context.node) {
            self.known.entry(*node).or_insert_with(Peer::new);
        }
        self.are_listed = true;
        self.update_count(context);
        self.known.len() > before
    }

    /// Removes nodes without a lease of which no message has arrived for as long as a lease lasts. A node that publishes
    /// may have none only because that is rejected.
    pub(super) fn expire(&mut self, context: &Context, alive: &HashSet<NodeId>) {
        let lease = context.settings.lease;
        let is_silent = |peer: &Peer| peer.received_at.elapsed() >= lease;
        let silent = self.known.iter().filter(|(node, peer)| !alive.contains(node) && is_silent(peer));
        let dead: Vec<_> = silent.map(|(node, _)| *node).collect();
        for node in &dead {
            let text = format_args!("Node {node} has not renewed its lease and is removed");
            context.reports.record(Code::RealtimeNodeDisconnected.at(Scope::Log), text);
            self.remove(context, *node);
            self.received.remove_later(*node, Instant::now());
        }
        let known = &self.known;
        self.received.tidy(Instant::now(), |node| known.contains_key(&node));
    }

    /// A node has announced that it stops.
    pub(super) fn stopped(&mut self, context: &Context, node: NodeId) {
        self.remove(context, node);
        self.received.remove(node);
    }

    /// Removes a node with all its presence.
    fn remove(&mut self, context: &Context, node: NodeId) {
        self.known.remove(&node);
        self.update_count(context);
        context.hub.remove_node(node);
        context.host.documents().iter().for_each(|documents| documents.removed(node));
        let users = self.users.remove(&node).unwrap_or_default();
        self.update_host(context, users.keys());
    }

    /// The connection is lost. Users of other nodes are not counted until these publish them again: with outdated
    /// counts clients would be refused.
    pub(super) fn disconnected(&mut self, context: &Context) {
        if self.disconnected_at.is_none() {
            self.disconnected_at = Some(Instant::now());
            let next_streams = self.known.iter().filter_map(|(node, peer)| Some((*node, peer.next_stream?)));
            self.received.disconnected(next_streams.collect());
        }
        self.are_listed = false;
        self.update_spans(context);
        let users = std::mem::take(&mut self.users);
        self.update_host(context, users.values().flat_map(HashMap::keys));
        self.published_users.clear();
    }

    /// Applies the users that another node has published, unless it cannot have so many.
    pub(super) fn apply_users(
        &mut self,
        context: &Context,
        node: NodeId,
        whole: bool,
        users: HashMap<String, usize>,
    ) {
        if users.values().any(|users| *users > USERS_MAX) {
            context.metrics.unread.increment(1);
            return debug!(%node, "Ignored more users than a node can have");
        }
        let known = self.users.entry(node).or_default();
        let mut changed: Vec<String> = users.keys().cloned().collect();
        if whole {
            changed.extend(known.keys().cloned());
            known.clear();
        }
        known.extend(users);
        known.retain(|_, users| *users > 0);
        self.update_host(context, changed.iter());
    }

    fn update_host<'t>(&self, context: &Context, tenants: impl Iterator<Item = &'t String>) {
        for tenant in tenants {
            // Saturating, because the counts come from outside.
            let counts = self.users.values().filter_map(|users| users.get(tenant));
            let users = counts.fold(0_usize, |sum, users| sum.saturating_add(*users));
            context.host.set_users_elsewhere(tenant, users);
        }
        let all = self.users.values().flat_map(HashMap::values);
        context.host.set_all_users_elsewhere(all.fold(0, |sum, users| sum.saturating_add(*users)));
    }

    /// A node has begun a resync, and does not know the users here.
    pub(super) fn request_all_users(&mut self) {
        self.all_users_requested = true;
    }

    /// The counts of users here that have changed since they were last published, if any, or all if they are requested.
    pub(super) fn users_changed(&mut self, context: &Context) -> Option<ClusterMessage> {
        if self.all_users_requested {
            return Some(self.all_users(context));
        }
        let now: HashMap<Arc<str>, usize> = context.host.users().into_iter().collect();
        let published = &self.published_users;
        let gone = published.keys().filter(|tenant| !now.contains_key(*tenant)).map(|tenant| (tenant, 0));
        let changed = now.iter().filter(|(tenant, users)| published.get(*tenant).unwrap_or(&0) != *users);
        let changed = changed.map(|(tenant, users)| (tenant, *users)).chain(gone);
        let users: HashMap<String, usize> =
            changed.map(|(tenant, users)| (tenant.to_string(), users)).collect();
        self.published_users = now;
        (!users.is_empty()).then_some(ClusterMessage::Users { whole: false, users })
    }

    /// All users here.
    pub(super) fn all_users(&mut self, context: &Context) -> ClusterMessage {
        self.all_users_requested = false;
        self.published_users = context.host.users().into_iter().collect();
        let some = self.published_users.iter().filter(|(_, users)| **users > 0);
        let users = some.map(|(tenant, users)| (tenant.to_string(), *users)).collect();
        ClusterMessage::Users { whole: true, users }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasts_have_their_spans_while_all_nodes_are_known_to_decode_them() {
        let mut peers = Peers::default();
        assert!(!peers.decode_spans(), "there may be others");
        peers.are_listed = true;
        assert!(peers.decode_spans(), "there are no others");
        let node = NodeId::new(2);
        peers.known.insert(node, Peer::new());
        let version = |major, minor| Some(ProtocolVersion(major, minor));
        for (protocol, expected) in
            [(None, false), (version(1, 2), true), (version(1, 1), false), (version(2, 0), true)]
        {
            let header = Header { streams: Some(1), protocol, resyncing: None };
            peers.known.get_mut(&node).expect("it was inserted").note_header(&header);
            assert_eq!(peers.decode_spans(), expected, "{protocol:?}");
        }
        peers.are_listed = false;
        assert!(!peers.decode_spans(), "there may be others");
    }
}
