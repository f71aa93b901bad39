//! Reading the history of a room that several nodes share.
//!
//! The bus has the messages of all nodes in one order. Those of this node are in its hub too, for a while: what it has
//! published and the bus has not kept yet is found there only. So the messages of the bus come first, and then those of
//! the hub that follow the last one that both have.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hub::{
    Encode as _, HistoryBounds, HistoryQuery, HistoryRead, KeptMessage, MemoryCharge, MemoryKind, RoomKey,
};
use wire::relay;

use super::ids::time_of;
use super::{HistoryError, ReadHistory};
use crate::bus::{EntryPosition, KeptFrames};
use crate::node::Node;
use crate::tenants::Tenant;

/// How long the hub of a node has its own messages if the bus keeps them: longer than publishing them may take.
pub(in crate::broadcast) const UNCONFIRMED_AGE: Duration = Duration::from_secs(15);

/// How far the clocks of nodes and of the bus may differ.
pub(in crate::broadcast) const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Entries that are read at first. Each page has twice as many as the one before, unless it has many bytes.
const FIRST_PAGE: usize = 8;
const PAGE_MAX: usize = 256;
const PAGE_BYTES: usize = 256 * 1024;

/// A room whose history is being read.
pub(super) struct ClusterRead<'r> {
    pub(super) node: &'r Node,
    pub(super) tenant: &'r Tenant,
    pub(super) room: &'r RoomKey,
    pub(super) query: HistoryQuery,
    pub(super) bounds: HistoryBounds,
}

/// What the bus has of the room.
struct Found {
    /// The newest first.
    messages: Vec<KeptMessage>,
    /// When the nodes had last lost messages that may belong among these.
    lost_at: u64,
    /// Whether a message of this node is among these, which the hub has too.
    is_joined: bool,
    /// Whether there was no memory for more.
    is_cut: bool,
    bytes: usize,
    charge: MemoryCharge,
}

impl ClusterRead<'_> {
    /// Reads the room.
    pub(super) async fn run(self) -> Result<ReadHistory, HistoryError> {
        // Before anything is read from the bus: what it has not kept by then is here.
        let own = self.own_messages();
        let own_ids = own.iter().map(|message| message.id).collect();
        let found = self.read_bus(&own, &own_ids).await?;
        let found_ids: HashSet<u128> = found.messages.iter().map(|message| message.id).collect();
        let unconfirmed = own.iter().rev().take_while(|message| !found_ids.contains(&message.id));
        // The bus removes those that are too old with the next one only.
        let oldest = time_before(self.bounds.age);
        let on_bus = found.messages.iter().take_while(|message| message.sent_at >= oldest);
        let HistoryRead { messages, mut is_complete } = self.query.select(unconfirmed.chain(on_bus));
        if !self.query.after.is_empty() {
            let all = own.iter().chain(&found.messages);
            let known = all.filter(|message| self.query.after.contains(&message.id));
            let known = known.min_by_key(|message| message.sent_at);
            let lost_at = found.lost_at.max(self.node.link.lost_at(&self.node.hub));
            let may_be_after =
                |known: &KeptMessage| lost_at.saturating_add(millis(CLOCK_SKEW)) >= known.sent_at;
            is_complete &= lost_at == 0 || known.is_some_and(|known| !may_be_after(known));
        }
        is_complete &= !self.query.after.is_empty() || !found.is_cut;
        Ok(ReadHistory { messages, is_complete, _charge: Some(found.charge) })
    }

    /// What this node has published in the room and the bus may not have kept, the oldest first.
    fn own_messages(&self) -> Vec<KeptMessage> {
        let since = Some(time_before(UNCONFIRMED_AGE));
        let query = HistoryQuery { since, after: Vec::new(), limit: usize::MAX };
        self.tenant.history.read(self.room, &query).messages
    }

    async fn read_bus(&self, own: &[KeptMessage], own_ids: &HashSet<u128>) -> Result<Found, HistoryError> {
        let mut found = Found {
            messages: Vec::new(),
            lost_at: 0,
            is_joined: own.is_empty(),
            is_cut: false,
            bytes: 0,
            charge: self.tenant.memory.charge(MemoryKind::History, 0),
        };
        let (mut before, mut count) = (None, FIRST_PAGE);
        while let Some(page) = self.node.link.kept(self.room, before, count) {
            let page = page.await.map_err(HistoryError::Bus)?;
            let (bytes_before, is_last) = (found.bytes, page.len() < count);
            for entry in page {
                before = Some(entry.position);
                found.add(entry, own_ids);
            }
            found.is_cut = !found.charge.try_resize(found.bytes);
            if is_last || found.is_cut || self.is_enough(&found, own) {
                break;
            }
            let is_large = found.bytes - bytes_before > PAGE_BYTES / 2;
            count = if is_large { FIRST_PAGE } else { (count * 2).min(PAGE_MAX) };
        }
        Ok(found)
    }

    /// Whether nothing older is needed: neither for the reader, nor to find which of its own messages the bus has.
    fn is_enough(&self, found: &Found, own: &[KeptMessage]) -> bool {
        let Some(oldest) = found.messages.last() else { return false };
        let is_beyond = found.messages.len() >= self.bounds.messages || found.bytes > self.bounds.bytes;
        let is_satisfied = self.query.since.is_some_and(|since| oldest.sent_at < since)
            || self.reaches(found, oldest.sent_at);
        // Older than any message that the hub still has.
        let horizon = oldest.sent_at.saturating_add(millis(UNCONFIRMED_AGE + CLOCK_SKEW));
        let is_joined = found.is_joined || own.iter().all(|own| own.sent_at > horizon);
        is_beyond || is_satisfied && is_joined
    }

    /// Whether what was found, back to the time `oldest`, has all that follows what the reader has.
    fn reaches(&self, found: &Found, oldest: u64) -> bool {
        let after = &self.query.after;
        let is_found = |id: &u128| found.messages.iter().any(|message| message.id == *id);
        // Not to be found any more: it was published after what was found already.
        let is_newer =
            |id: &u128| time_of(*id).is_none_or(|time| oldest.saturating_add(millis(CLOCK_SKEW)) < time);
        if after.iter().any(is_found) {
            after.iter().all(|id| is_found(id) || is_newer(id))
        } else {
            found.messages.len() > self.query.limit.saturating_add(after.len())
        }
    }
}

impl Found {
    /// Adds an entry that is older than those before.
    fn add(&mut self, entry: KeptFrames, own_ids: &HashSet<u128>) {
        let KeptFrames { position: EntryPosition { kept_at, .. }, lost_at, frames } = entry;
        self.lost_at = self.lost_at.max(lost_at);
        for frame in frames.into_iter().rev() {
            self.bytes += frame.len();
            let event = relay::decode_events(frame.bytes()).ok().and_then(|mut events| events.next());
            // Others are not part of the history.
            if let Some(id) = event.and_then(|event| event.id()) {
                self.is_joined |= own_ids.contains(&id);
                self.messages.push(KeptMessage { id, sent_at: kept_at, frame });
            }
        }
    }
}

/// The time so long ago, in milliseconds since 1970.
fn time_before(age: Duration) -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(age))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
