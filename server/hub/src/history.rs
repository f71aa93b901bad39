//! What the rooms of one tenant keep of their messages, for members that join later.
//!
//! A room keeps its newest messages in the order in which they were published, and without gaps: what cannot be kept takes
//! everything before it along. It may have no members. How much it keeps is bounded by number, bytes and age; the memory of
//! all of it is charged to the tenant. History has at most as much as it leaves free of what the tenant may use: beyond that
//! the oldest messages of all rooms are dropped, so that it never takes the memory that a new client or message needs.
//!
//! One lock for each tenant, taken once for all messages of a bundle. It is a leaf under that of the room, so that messages
//! are kept in the order in which members receive them, and a member that has joined finds here whatever it does not
//! receive.

mod logs;
mod query;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use self::logs::RoomLogs;
use crate::frame::{Dialect, Frame};
use crate::memory::TenantMemory;
use crate::topic::RoomKey;

pub use self::query::{HistoryQuery, HistoryRead};

/// How much each room keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Messages.
    pub messages: usize,
    /// Bytes of their frames.
    pub bytes: usize,
    /// How long a message is kept.
    pub age: Duration,
}

/// A message that a room keeps.
#[derive(Debug, Clone)]
pub struct KeptMessage {
    /// Identifies it in its room.
    pub id: u128,
    /// When it was published, in milliseconds since 1970.
    pub sent_at: u64,
    /// The message in [`Dialect::RELAY`](crate::Dialect::RELAY).
    pub frame: Frame,
}

/// That a message is kept, and as what.
#[derive(Debug, Clone, Copy)]
pub struct Keep<'h> {
    /// Where it is kept: the history of the tenant of its room.
    pub history: &'h Arc<History>,
    /// Its id.
    pub id: u128,
    /// When it is published, in milliseconds since 1970.
    pub sent_at: u64,
    /// Encodes it in the room with this topic from its [relay](crate::Dialect::RELAY) frame: for a member that joins with a
    /// replay after the message was encoded, and whose dialect no other member has.
    pub encode: fn(&Frame, &str, Dialect) -> Option<Frame>,
}

/// What a history has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryCounts {
    /// Messages that are kept now.
    pub messages: usize,
    /// Messages that were not kept, or not as long as the bounds allow: a message was too large, or there was no memory.
    pub dropped: u64,
}

/// The history of one tenant. Without bounds it keeps nothing.
#[derive(Debug)]
pub struct History {
    memory: Arc<TenantMemory>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bounds: Option<HistoryBounds>,
    /// Absent until the first message is kept: most tenants keep none.
    logs: Option<Box<RoomLogs>>,
}

impl History {
    /// A history without bounds, charged to `memory`.
    pub fn new(memory: &Arc<TenantMemory>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), state: Mutex::default() })
    }

    /// Changes the bounds. What a room has beyond them is dropped with its next message, or when it is too old. Without
    /// bounds everything is dropped at once.
    pub fn set_bounds(&self, bounds: Option<HistoryBounds>) {
        let mut state = self.state.lock();
        state.bounds = bounds;
        let logs = if bounds.is_none() { state.logs.take() } else { None };
        drop(state);
        drop(logs);
    }

    /// The bounds, if messages are kept.
    pub fn bounds(&self) -> Option<HistoryBounds> {
        self.state.lock().bounds
    }

    /// Keeps messages that follow each other in the room. Returns the bounds, if messages are kept.
    pub(crate) fn keep(
        &self,
        room: &Arc<RoomKey>,
        messages: impl IntoIterator<Item = KeptMessage>,
    ) -> Option<HistoryBounds> {
        let mut state = self.state.lock();
        let State { bounds: Some(bounds), logs } = &mut *state else { return None };
        let logs = logs.get_or_insert_with(|| Box::new(RoomLogs::new(&self.memory)));
        messages.into_iter().for_each(|message| logs.keep(room, message, bounds));
        Some(*bounds)
    }

    /// Reads what a room keeps.
    pub fn read(&self, room: &RoomKey, query: &HistoryQuery) -> HistoryRead {
        let state = self.state.lock();
        let kept = state.bounds.zip(state.logs.as_ref());
        let kept = kept.and_then(|(bounds, logs)| logs.newest_first(room, oldest_kept(bounds.age)));
        query.select(kept.into_iter().flatten())
    }

    /// Drops messages that are older than the bounds allow, or than `age_max`, and those for which there is no memory any
    /// more. To be called every second or so.
    pub fn sweep(&self, age_max: Duration) {
        while self.sweep_some(age_max) {}
    }

    /// Returns whether there may be more to drop. The lock is released in between: publishing waits for it.
    fn sweep_some(&self, age_max: Duration) -> bool {
        let mut state = self.state.lock();
        let State { bounds: Some(bounds), logs: Some(logs) } = &mut *state else { return false };
        logs.sweep(oldest_kept(bounds.age.min(age_max)))
    }

    /// What is kept, and what was dropped.
    pub fn counts(&self) -> HistoryCounts {
        self.state.lock().logs.as_ref().map(|logs| logs.counts()).unwrap_or_default()
    }
}

/// When the oldest message that is kept now was sent.
fn oldest_kept(age: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(u64::MAX)
}
