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

mod of_nodes;
mod table;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::table::{AwarenessTable, KnownState, Owner};
use super::MemberId;

/// A state that is not renewed for so long is removed, as Yjs does it. Clients renew theirs every 15 s.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// How long the clock of a removed state is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The highest clock that a client may send. Clients count by one, and a server has to be able to raise what one has sent.
const CLOCK_MAX: u32 = i32::MAX as u32;

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
    table: AwarenessTable,
    /// The client id of each connection: that of the first state that it sent alone.
    own: HashMap<MemberId, u64>,
}

/// What became of states that were sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReceivedStates {
    /// What has changed, to be sent to all.
    pub(super) changed: Vec<SentState>,
    /// How many were refused, because they, or their clocks, are too large, or too many.
    pub(super) refused: usize,
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
        if sent.clock > CLOCK_MAX {
            return Err(TooMuch);
        }
        let is_own = self.own.get(&member) == Some(&sent.client);
        let known = self.table.get(sent.client);
        if !is_own && known.is_some_and(|known| self.belongs_to_other(known, &sent, member)) {
            return Ok(None);
        }
        let sent = match known {
            // Connected again, perhaps to another node than before, with the clock that it had.
            Some(known) if is_own && sent.state.is_some() && known.is_of_another(member) => {
                SentState { clock: sent.clock.max(known.clock.saturating_add(1)), ..sent }
            }
            Some(known) if !known.is_older_than(&sent) => return Ok(None),
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
        let entry = KnownState { clock: sent.clock, state: sent.state.clone(), owner, at: now };
        self.table.put(sent.client, entry);
        Ok(Some(sent))
    }

    /// Whether what is shown is the own state of another connection: then this is an echo, or an attempt to speak for it.
    fn belongs_to_other(&self, known: &KnownState, sent: &SentState, member: MemberId) -> bool {
        known.state.is_some() && known.owner != Owner::Member(member) && self.is_own(known, sent.client)
    }

    /// Whether it is the own state of a connection to this node.
    fn is_own(&self, known: &KnownState, client: u64) -> bool {
        matches!(known.owner, Owner::Member(member) if self.own.get(&member) == Some(&client))
    }

    fn check_count(&self, member: MemberId, limits: &AwarenessLimits) -> Result<(), TooMuch> {
        let of_member = || {
            let states = self.table.values().filter(|entry| entry.state.is_some());
            states.filter(|entry| entry.owner == Owner::Member(member)).count()
        };
        let is_full = self.table.len() >= limits.clients || of_member() >= limits.clients_per_member;
        if is_full { Err(TooMuch) } else { Ok(()) }
    }

    /// Removes what a connection shows that has ended. Returns what all are sent.
    pub(super) fn remove_member(&mut self, member: MemberId, now: Instant) -> Vec<SentState> {
        self.own.remove(&member);
        self.table.remove(now, |entry| entry.owner == Owner::Member(member))
    }

    /// Removes what was not renewed. Returns what all are sent.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<SentState> {
        let is_old = |entry: &KnownState| now.saturating_duration_since(entry.at) >= REMEMBERED;
        self.table.forget(|entry| entry.state.is_none() && is_old(entry));
        self.table.remove(now, |entry| now.saturating_duration_since(entry.at) >= TIME_TO_LIVE)
    }

    /// Everything that is shown.
    pub(super) fn states(&self) -> Vec<SentState> {
        self.table.states_of(|_entry| true)
    }

    /// The memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Whether there is nothing that time could change.
    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }
}

/// A state is too large, or one too many.
#[derive(Debug)]
struct TooMuch;

#[cfg(test)]
mod tests;
