//! What the clients of a document show of themselves: cursors, names, whatever the application puts there.
//!
//! The table is our own and not that of yrs, because clients of Yjs expect more of a server than of a peer
//! (docs/protocol/documents.md#awareness):
//!
//! - y-websocket sends every state back that it receives. Only what changes the table is sent on.
//! - A client that connects again announces itself with an unchanged clock, which its peers ignore as old since the server has
//!   removed it. The clock of such an announcement is raised, so that the user is seen at once and not only after 15 s.
//! - A client may set the state of a client id that belongs to another connection only while that one is not connected.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

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
    owner: MemberId,
    /// When it was renewed, or removed.
    at: Instant,
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
            // Connected again with the clock that it had before.
            Some(known) if is_own && known.state.is_none() && sent.state.is_some() => {
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
        let entry = Entry { clock: sent.clock, state: sent.state.clone(), owner: member, at: now };
        self.entries.insert(sent.client, entry);
        Ok(Some(sent))
    }

    /// Whether what is shown is the own state of another connection: then this is an echo, or an attempt to speak for it.
    fn belongs_to_other(&self, known: &Entry, sent: &SentState, member: MemberId) -> bool {
        known.state.is_some() && known.owner != member && self.own.get(&known.owner) == Some(&sent.client)
    }

    fn check_count(&self, member: MemberId, limits: &AwarenessLimits) -> Result<(), TooMuch> {
        let of_member = || {
            let states = self.entries.values().filter(|entry| entry.state.is_some());
            states.filter(|entry| entry.owner == member).count()
        };
        let is_full = self.entries.len() >= limits.clients || of_member() >= limits.clients_per_member;
        if is_full { Err(TooMuch) } else { Ok(()) }
    }

    /// Removes what a connection shows that has ended. Returns what all are sent.
    pub(super) fn remove_member(&mut self, member: MemberId, now: Instant) -> Vec<SentState> {
        self.own.remove(&member);
        self.remove(now, |entry| entry.owner == member)
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
                *entry =
                    Entry { clock: entry.clock.saturating_add(1), state: None, owner: entry.owner, at: now };
                removed.push(SentState { client: *client, clock: entry.clock, state: None });
            }
        }
        removed
    }

    /// Everything that is shown.
    pub(super) fn states(&self) -> Vec<SentState> {
        let shown = self.entries.iter().filter(|(_, entry)| entry.state.is_some());
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
