//! Presence exchanged with other nodes: what they receive of this node's members, and what they have published.

use std::sync::Arc;

use slab::Slab;

use super::local::LocalChanges;
use super::remote::{RemoteChange, RemotePresence};
use super::{Effect, RoomPresence, Unannounced};
use crate::member::Slot;
use crate::memory::TenantMemory;
use crate::replication::{ApplyOutcome, Delta, NodeId, PresenceUpdate, Snapshot};

/// Presence exchanged with other nodes.
#[derive(Debug)]
pub(super) struct ClusterPresence {
    epoch: u64,
    pub(super) local: LocalChanges,
    pub(super) remote: RemotePresence,
}

impl ClusterPresence {
    /// Without an entry.
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch, local: LocalChanges::default(), remote: RemotePresence::default() }
    }
}

impl RoomPresence {
    /// What other nodes have not received yet of what this node's members track.
    pub(crate) fn take_delta(&mut self, slots: &mut Slab<Slot>) -> Option<Delta> {
        let cluster = self.cluster.as_mut()?;
        cluster.local.take_delta(cluster.epoch, slots)
    }

    /// Everything that this node's members track.
    pub(crate) fn local_snapshot(&self, slots: &mut Slab<Slot>) -> Option<Snapshot> {
        self.cluster.as_ref().map(|cluster| cluster.local.snapshot(cluster.epoch, slots))
    }

    /// What to publish when the room closes: needed only if its members ever tracked anything.
    pub(crate) fn final_snapshot(&self) -> Option<Snapshot> {
        let cluster = self.cluster.as_ref().filter(|cluster| cluster.local.has_changed())?;
        Some(Snapshot::closed(cluster.epoch))
    }

    /// Applies an update of another node, unless it is old or an earlier one is missing. What it adds is charged to
    /// `account`, that of a member. If the tenant may not have it, nothing of the node is shown: with a part of it, those
    /// of its entries that are gone would stay.
    pub(crate) fn apply(
        &mut self,
        node: NodeId,
        update: PresenceUpdate,
        account: Option<&Arc<TenantMemory>>,
    ) -> (ApplyOutcome, Effect) {
        let Some(cluster) = &self.cluster else { return (ApplyOutcome::Old, Effect::default()) };
        let outcome = cluster.remote.outcome(node, &update);
        if outcome != ApplyOutcome::Applied {
            return (outcome, Effect::default());
        }
        let more = cluster.remote.growth(node, &update);
        if more > 0 && account.is_some_and(|account| !self.try_charge(more, account)) {
            return (ApplyOutcome::OutOfMemory, self.remove_node(node));
        }
        let mut change = RemoteChange::default();
        if let Some(cluster) = &mut self.cluster {
            cluster.remote.apply(node, update, &mut change);
        }
        (outcome, self.record(node, change, account))
    }

    /// Removes everything of `node`.
    pub(crate) fn remove_node(&mut self, node: NodeId) -> Effect {
        let mut change = RemoteChange::default();
        if let Some(cluster) = &mut self.cluster {
            cluster.remote.remove_node(node, &mut change);
        }
        self.record(node, change, None)
    }

    /// The other nodes that have published presence.
    pub(crate) fn remote_nodes(&self) -> impl Iterator<Item = NodeId> {
        self.cluster.iter().flat_map(|cluster| cluster.remote.nodes())
    }

    fn record(&mut self, node: NodeId, change: RemoteChange, account: Option<&Arc<TenantMemory>>) -> Effect {
        self.resize(self.bytes + change.added_bytes - change.removed_bytes, account);
        let announces = !change.is_empty();
        self.joins.extend(change.added.into_iter().map(|id| Unannounced::Remote { node, id }));
        self.leaves.extend(change.removed);
        Effect { announces, is_local: false }
    }
}
