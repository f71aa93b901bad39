//! The other nodes: who is alive, and how many users each has.
//!
//! Outlives the cable: who died while there was none is noticed when there is one again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use hub::NodeId;
use tracing::warn;
use wire::relay::Malformed;

use super::Context;
use super::cluster_message::ClusterMessage;
use super::sequence::{ReceivedSequences, SentSequences};
use crate::telemetry::codes::{Code, Scope};

/// What this node knows of the peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: HashMap<NodeId, Known>,
    /// Numbers of what this node says in rooms.
    pub(super) outgoing: SentSequences,
    /// Numbers of what the peers say there.
    pub(super) incoming: ReceivedSequences,
    /// Since when something may have been missed, because there was no cable.
    pub(super) lost_at: Option<Instant>,
    /// Users of each tenant, by node.
    users: HashMap<NodeId, HashMap<String, usize>>,
    /// Users here, as the peers have been told.
    told: HashMap<Arc<str>, usize>,
    /// What could not be read, as the log has told already: a version or a kind of message each, so never many.
    unreadable: HashSet<Malformed>,
}

/// What is known of one.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// When it was last heard.
    heard: Instant,
    /// Its next stream of numbers, and when it said so; `None` if it has not, and may not be able to read any.
    next_stream: Option<(u64, Instant)>,
}

impl Known {
    fn now() -> Self {
        Self { heard: Instant::now(), next_stream: None }
    }
}

impl Peers {
    /// A node has said something, so it is there.
    pub(super) fn notice(&mut self, context: &Context, node: NodeId) {
        if let Some(known) = self.known.get_mut(&node) {
            known.heard = Instant::now();
        } else {
            self.known.insert(node, Known::now());
            self.show_how_many(context);
        }
    }

    /// A node has said which stream of numbers is its next, or not.
    pub(super) fn notice_stream(&mut self, node: NodeId, next_stream: Option<u64>) {
        if let Some(known) = self.known.get_mut(&node) {
            known.next_stream = next_stream.map(|stream| (stream, known.heard));
        }
    }

    /// Whether all can read numbers.
    pub(super) fn read_numbers(&self) -> bool {
        self.known.values().all(|known| known.next_stream.is_some())
    }

    /// The next stream of each, and when it said so.
    fn next_streams(&self) -> impl Iterator<Item = (NodeId, (u64, Instant))> {
        self.known.iter().filter_map(|(node, known)| Some((*node, known.next_stream?)))
    }

    /// A node has said something that cannot be read. The log tells of each version once.
    pub(super) fn pass_over(&mut self, context: &Context, why: Malformed) {
        context.metrics.unread.increment(1);
        if self.unreadable.insert(why) {
            warn!("Other nodes say what this one cannot read, and passes over: {why}");
        }
    }

    fn show_how_many(&self, context: &Context) {
        context.metrics.nodes.set(self.known.len() as f64 + 1.0);
    }

    /// Whether this node has heard of that one.
    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.known.contains_key(&node)
    }

    /// These are alive. Returns whether there are any who have said nothing yet, or nothing that arrived here.
    pub(super) fn meet(&mut self, context: &Context, alive: &HashSet<NodeId>) -> bool {
        let before = self.known.len();
        for node in alive.iter().filter(|node| **node != context.node) {
            self.known.entry(*node).or_insert_with(Known::now);
        }
        self.show_how_many(context);
        self.known.len() > before
    }

    /// Forgets those that have no lease and were not heard for as long as one lasts. A node that is heard may have
    /// none only because it is refused.
    pub(super) fn expire(&mut self, context: &Context, alive: &HashSet<NodeId>) {
        let lease = context.settings.lease;
        let is_silent = |known: &Known| known.heard.elapsed() >= lease;
        let silent = self.known.iter().filter(|(node, known)| !alive.contains(node) && is_silent(known));
        let dead: Vec<_> = silent.map(|(node, _)| *node).collect();
        for node in &dead {
            let text = format_args!("Node {node} is not heard of any more and is forgotten");
            context.reports.record(Code::RealtimeNodeDisconnected.at(Scope::Log), text);
            self.forget(context, *node);
            self.incoming.forget_later(*node, Instant::now());
        }
        let known = &self.known;
        self.incoming.tidy(Instant::now(), |node| known.contains_key(&node));
    }

    /// A node has said that it stops.
    pub(super) fn part(&mut self, context: &Context, node: NodeId) {
        self.forget(context, node);
        self.incoming.forget(node);
    }

    /// A node is gone, with all it showed.
    fn forget(&mut self, context: &Context, node: NodeId) {
        self.known.remove(&node);
        self.show_how_many(context);
        context.hub.remove_node(node);
        let users = self.users.remove(&node).unwrap_or_default();
        self.tell_host(context, users.keys());
    }

    /// There is no cable. Users elsewhere are not counted until the peers are heard again: their numbers
    /// would be too old to turn anybody away for.
    pub(super) fn lose(&mut self, context: &Context) {
        if self.lost_at.is_none() {
            self.lost_at = Some(Instant::now());
            self.incoming.lose(self.next_streams().collect());
        }
        let users = std::mem::take(&mut self.users);
        self.tell_host(context, users.values().flat_map(HashMap::keys));
        self.told.clear();
    }

    /// What another node says of its users.
    pub(super) fn hear_users(
        &mut self,
        context: &Context,
        node: NodeId,
        whole: bool,
        users: HashMap<String, usize>,
    ) {
        let known = self.users.entry(node).or_default();
        let mut changed: Vec<String> = users.keys().cloned().collect();
        if whole {
            changed.extend(known.keys().cloned());
            known.clear();
        }
        known.extend(users);
        known.retain(|_, users| *users > 0);
        self.tell_host(context, changed.iter());
    }

    fn tell_host<'t>(&self, context: &Context, tenants: impl Iterator<Item = &'t String>) {
        for tenant in tenants {
            // Numbers of other nodes may be any: they come from Redis.
            let counts = self.users.values().filter_map(|users| users.get(tenant));
            let users = counts.fold(0_usize, |sum, users| sum.saturating_add(*users));
            context.host.set_users_elsewhere(tenant, users);
        }
    }

    /// What has changed in the number of users here since the peers were last told; nothing if nothing has.
    pub(super) fn users_changed(&mut self, context: &Context) -> Option<ClusterMessage> {
        let now: HashMap<Arc<str>, usize> = context.host.users().into_iter().collect();
        let gone = self.told.keys().filter(|tenant| !now.contains_key(*tenant)).map(|tenant| (tenant, 0));
        let changed = now.iter().filter(|(tenant, users)| self.told.get(*tenant).unwrap_or(&0) != *users);
        let changed = changed.map(|(tenant, users)| (tenant, *users)).chain(gone);
        let users: HashMap<String, usize> =
            changed.map(|(tenant, users)| (tenant.to_string(), users)).collect();
        self.told = now;
        (!users.is_empty()).then_some(ClusterMessage::Users { whole: false, users })
    }

    /// All users here, for those who missed a change.
    pub(super) fn users_whole(&mut self, context: &Context) -> ClusterMessage {
        self.told = context.host.users().into_iter().collect();
        let some = self.told.iter().filter(|(_, users)| **users > 0);
        ClusterMessage::Users {
            whole: true,
            users: some.map(|(tenant, users)| (tenant.to_string(), *users)).collect(),
        }
    }
}
