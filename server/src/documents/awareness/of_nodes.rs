//! What the members on other nodes show, and what those on this one show to them.

use std::time::Instant;

use hub::NodeId;

use super::table::{KnownState, Owner};
use super::{Awareness, AwarenessLimits, SentState};

/// What became of states of another node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::documents) struct ReceivedOfNode {
    /// What has changed, to be sent to the members on this node.
    pub(in crate::documents) changed: Vec<SentState>,
    /// What the other node has removed although its client is connected to this one by now: to be sent to all.
    pub(in crate::documents) kept: Vec<SentState>,
}

impl Awareness {
    /// Applies states that another node has sent.
    pub(in crate::documents) fn receive_of_node(
        &mut self,
        node: NodeId,
        states: Vec<SentState>,
        limits: &AwarenessLimits,
        now: Instant,
    ) -> ReceivedOfNode {
        let mut received = ReceivedOfNode::default();
        for sent in states {
            let known = self.table.get(sent.client);
            let is_known = match known {
                Some(known) if known.state.is_some() && self.is_own(known, sent.client) => {
                    if sent.state.is_none() && sent.clock >= known.clock {
                        let (state, clock) = (known.state.clone(), sent.clock.saturating_add(1));
                        received.kept.push(SentState { client: sent.client, clock, state });
                    }
                    true
                }
                Some(known) => !known.is_older_than(&sent),
                // The other node has checked its size.
                None => sent.state.is_none() || self.table.len() >= limits.clients,
            };
            if !is_known {
                let owner = Owner::Node(node);
                let entry = KnownState { clock: sent.clock, state: sent.state.clone(), owner, at: now };
                self.table.put(sent.client, entry);
                received.changed.push(sent);
            }
        }
        received.kept.iter().for_each(|kept| self.table.set_clock(kept.client, kept.clock));
        received
    }

    /// Removes what a node shows that is gone. Returns what the members on this node are sent.
    pub(in crate::documents) fn remove_node(&mut self, node: NodeId, now: Instant) -> Vec<SentState> {
        self.table.remove(now, |entry| entry.owner == Owner::Node(node))
    }

    /// Raises the clocks of what the members on this node show: others have removed it. Returns what all are sent.
    pub(in crate::documents) fn renew_own(&mut self, now: Instant) -> Vec<SentState> {
        self.table.renew(KnownState::is_shown_here, now);
        self.own_states()
    }

    /// What the members on this node show.
    pub(in crate::documents) fn own_states(&self) -> Vec<SentState> {
        self.table.states_of(KnownState::is_shown_here)
    }
}
