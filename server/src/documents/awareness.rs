//! What the clients of a document show of themselves: cursors, names, whatever the application puts there.
//!
//! The table is our own and not that of yrs, because clients of Yjs expect more of a server than of a peer
//! (docs/protocol/documents.md#awareness):
//!
//! - y-websocket sends every state back that it receives. Only what changes the table is sent on.
//! - A client that connects again announces itself with an unchanged clock, which its peers ignore as old since the server has
//!   removed it. The clock of such an announcement is raised, so that the user is seen at once and not only after 15 s.
//! - A client may set the state of a client id that belongs to another connection only while that one is not connected.
//!
//! Each node has such a table, and sends the others what has changed of the states of its own connections. What a node shows that is
//! gone each other one removes by itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::NodeId;

use super::MemberId;

/// A state that is not renewed for so long is removed, as Yjs does it. Clients renew theirs every 15 s.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// How long the clock of a removed state is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The state of one client, or that it was removed.
#[derive(Debug)]
struct Entry {
    clock: u32,
    /// JSON; `None` once it is removed.
    state: Option<Bytes>,
    /// Who has sent it.
    owner: Owner,
    /// When it was renewed, or removed.
    at: Instant,
}

/// Who has sent a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A connection to this node.
    Member(MemberId),
    /// A connection to another node.
    Node(NodeId),
}

/// A state as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentState {
    pub(super) client: u64,
    pub(super) clock: u32,
    /// JSON; `None` if it was removed.
    pub(super) state: Option<Bytes>,
}

/// How much a table may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct AwarenessLimits {
    /// Client ids.
    pub(super) clients: usize,
    /// Client ids of one connection.
    pub(super) clients_per_member: usize,
    /// Bytes of one state.
    pub(super) state_bytes: usize,
}

/// The states of all clients of a document.
#[derive(Debug, Default)]
pub(super) struct Awareness {
    entries: HashMap<u64, Entry>,
    /// The client id of each connection: that of the first state that it sent alone.
    own: HashMap<MemberId, u64>,
}

/// What became of states that were sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReceivedStates {
    /// What has changed, to be sent to all.
    pub(super) changed: Vec<SentState>,
    /// How many were refused, because they are too large or too many.
    pub(super) refused: usize,
}

/// What became of states of another node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReceivedOfNode {
    /// What has changed, to be sent to the members on this node.
    pub(super) changed: Vec<SentState>,
    /// What the other node has removed although its client is connected to this one by now: to be sent to all.
    pub(super) kept: Vec<SentState>,
}

impl Awareness {
    /// Applies states that `member` has sent.
    pub(super) fn receive(
        &mut self,
        member: MemberId,
        states: impl IntoIterator<Item = SentState>,
        limits: &AwarenessLimits,
        now: Instant,
    ) -> ReceivedStates {
        let (mut received, states) = (ReceivedStates::default(), states.into_iter().collect::<Vec<_>>());
        if let [SentState { client, state: Some(_), .. }] = &*states
            && !self.own.values().any(|own| own == client)
        {
            self.own.entry(member).or_insert(*client);
        }
        for sent in states {
            match self.apply(member, sent, limits, now) {
                Ok(Some(changed)) => received.changed.push(changed),
                Ok(None) => {}
                Err(TooMuch) => received.refused += 1,
            }
        }
        received
    }

    fn apply(
        &mut self,
        member: MemberId,
        sent: SentState,
        limits: &AwarenessLimits,
        now: Instant,
    ) -> Result<Option<SentState>, TooMuch> {
        let is_own = self.own.get(&member) == Some(&sent.client);
        let known = self.entries.get(&sent.client);
        if !is_own && known.is_some_and(|known| self.belongs_to_other(known, &sent, member)) {
            return Ok(None);
        }
        let sent = match known {
            // Connected again, perhaps to another node than before, with the clock that it had.
            Some(known) if is_own && sent.state.is_some() && known.is_of_another(member) => {
                SentState { clock: sent.clock.max(known.clock.saturating_add(1)), ..sent }
            }
            Some(known) if !is_newer(known, &sent) => return Ok(None),
            Some(_) => sent,
            None if sent.state.is_none() => return Ok(None),
            None => {
                self.check_count(member, limits)?;
                sent
            }
        };
        if sent.state.as_ref().is_some_and(|state| state.len() > limits.state_bytes) {
            return Err(TooMuch);
        }
        let owner = Owner::Member(member);
        let entry = Entry { clock: sent.clock, state: sent.state.clone(), owner, at: now };
        self.entries.insert(sent.client, entry);
        Ok(Some(sent))
    }

    /// Whether what is shown is the own state of another connection: then this is an echo, or an attempt to speak for it.
    fn belongs_to_other(&self, known: &Entry, sent: &SentState, member: MemberId) -> bool {
        known.state.is_some() && known.owner != Owner::Member(member) && self.is_own(known, sent.client)
    }

    /// Whether it is the own state of a connection to this node.
    fn is_own(&self, known: &Entry, client: u64) -> bool {
        matches!(known.owner, Owner::Member(member) if self.own.get(&member) == Some(&client))
    }

    fn check_count(&self, member: MemberId, limits: &AwarenessLimits) -> Result<(), TooMuch> {
        let of_member = || {
            let states = self.entries.values().filter(|entry| entry.state.is_some());
            states.filter(|entry| entry.owner == Owner::Member(member)).count()
        };
        let is_full = self.entries.len() >= limits.clients || of_member() >= limits.clients_per_member;
        if is_full { Err(TooMuch) } else { Ok(()) }
    }

    /// Removes what a connection shows that has ended. Returns what all are sent.
    pub(super) fn remove_member(&mut self, member: MemberId, now: Instant) -> Vec<SentState> {
        self.own.remove(&member);
        self.remove(now, |entry| entry.owner == Owner::Member(member))
    }

    /// Applies states that another node has sent.
    pub(super) fn receive_of_node(
        &mut self,
        node: NodeId,
        states: Vec<SentState>,
        limits: &AwarenessLimits,
        now: Instant,
    ) -> ReceivedOfNode {
        let mut received = ReceivedOfNode::default();
        for sent in states {
            let known = self.entries.get(&sent.client);
            let is_known = match known {
                Some(known) if known.state.is_some() && self.is_own(known, sent.client) => {
                    if sent.state.is_none() && sent.clock >= known.clock {
                        let (state, clock) = (known.state.clone(), sent.clock.saturating_add(1));
                        received.kept.push(SentState { client: sent.client, clock, state });
                    }
                    true
                }
                Some(known) => !is_newer(known, &sent),
                // The other node has checked its size.
                None => sent.state.is_none() || self.entries.len() >= limits.clients,
            };
            if !is_known {
                let owner = Owner::Node(node);
                let entry = Entry { clock: sent.clock, state: sent.state.clone(), owner, at: now };
                self.entries.insert(sent.client, entry);
                received.changed.push(sent);
            }
        }
        for kept in &received.kept {
            self.entries.entry(kept.client).and_modify(|entry| entry.clock = kept.clock);
        }
        received
    }

    /// Removes what a node shows that is gone. Returns what the members on this node are sent.
    pub(super) fn remove_node(&mut self, node: NodeId, now: Instant) -> Vec<SentState> {
        self.remove(now, |entry| entry.owner == Owner::Node(node))
    }

    /// Raises the clocks of what the members on this node show: others have removed it. Returns what all are sent.
    pub(super) fn renew_own(&mut self, now: Instant) -> Vec<SentState> {
        let own = self.entries.values_mut().filter(|entry| entry.is_shown_here());
        own.for_each(|entry| (entry.clock, entry.at) = (entry.clock.saturating_add(1), now));
        self.own_states()
    }

    /// What the members on this node show.
    pub(super) fn own_states(&self) -> Vec<SentState> {
        self.states_of(Entry::is_shown_here)
    }

    /// Removes what was not renewed. Returns what all are sent.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<SentState> {
        self.entries
            .retain(|_, entry| entry.state.is_some() || now.saturating_duration_since(entry.at) < REMEMBERED);
        self.remove(now, |entry| now.saturating_duration_since(entry.at) >= TIME_TO_LIVE)
    }

    fn remove(&mut self, now: Instant, which: impl Fn(&Entry) -> bool) -> Vec<SentState> {
        let mut removed = Vec::new();
        for (client, entry) in &mut self.entries {
            if entry.state.is_some() && which(entry) {
                // That a node shows it again is known by a higher clock.
                let raised = u32::from(matches!(entry.owner, Owner::Member(_)));
                let clock = entry.clock.saturating_add(raised);
                *entry = Entry { clock, state: None, owner: entry.owner, at: now };
                removed.push(SentState { client: *client, clock: entry.clock, state: None });
            }
        }
        removed
    }

    /// Everything that is shown.
    pub(super) fn states(&self) -> Vec<SentState> {
        self.states_of(|entry| entry.state.is_some())
    }

    fn states_of(&self, which: impl Fn(&Entry) -> bool) -> Vec<SentState> {
        let shown = self.entries.iter().filter(|(_, entry)| which(entry));
        shown
            .map(|(client, entry)| SentState {
                client: *client,
                clock: entry.clock,
                state: entry.state.clone(),
            })
            .collect()
    }

    /// Whether there is nothing that time could change.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    /// Whether it was removed, or sent by another connection.
    fn is_of_another(&self, member: MemberId) -> bool {
        self.state.is_none() || self.owner != Owner::Member(member)
    }

    fn is_shown_here(&self) -> bool {
        self.state.is_some() && matches!(self.owner, Owner::Member(_))
    }
}

/// Whether `sent` is newer than what is known. As in Yjs, a removal is so with an equal clock too.
fn is_newer(known: &Entry, sent: &SentState) -> bool {
    match (&known.state, &sent.state) {
        (_, Some(_)) => sent.clock > known.clock,
        (Some(_), None) => sent.clock >= known.clock,
        (None, None) => false,
    }
}

/// A state is too large, or one too many.
#[derive(Debug)]
struct TooMuch;

#[cfg(test)]
mod tests;
