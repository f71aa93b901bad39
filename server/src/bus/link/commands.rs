//! What departs from the hub, as commands for the bus.

use std::sync::Arc;

use bytes::Bytes;
use hub::{Delta, Frame, Hub, NodeId, Position, RoomKey, Snapshot};
use wire::relay::{self, Malformed, SequenceNumber};

use super::room_table::name;
use crate::bus::{Channel, Command, RoomName, SnapshotChange, StoredSnapshot};

/// Frames of one room go out as one message up to this size; more in one would hold up those behind it.
const MESSAGE_BYTES: usize = 64 * 1024;

/// What is larger is not told but shown, and those who listen are asked to look. A bus may end the connection of
/// whoever has too much to hear at once (Redis, by default, at 32 MB).
const TOLD_BYTES: usize = 4 * 1024 * 1024;

/// Frames that follow each other in one room, to go out together.
#[derive(Debug, Default)]
pub(super) struct OutboundBatch {
    parts: Vec<Part>,
    /// Messages in all of them, as members count them.
    pub(super) messages: u64,
}

#[derive(Debug)]
enum Part {
    Frames { key: Arc<RoomKey>, frames: Vec<Frame>, bytes: usize, messages: u64 },
    Command(Command),
}

impl OutboundBatch {
    /// Members of a room, or somebody from outside, said this.
    pub(super) fn say(&mut self, key: Arc<RoomKey>, frame: Frame, messages: u32) {
        let (more, length) = (u64::from(messages), frame.len());
        self.messages += more;
        if let Some(Part::Frames { key: current, frames, bytes, messages }) = self.parts.last_mut()
            && Arc::ptr_eq(current, &key)
            && *bytes + length <= MESSAGE_BYTES
        {
            *bytes += length;
            *messages += more;
            frames.push(frame);
        } else {
            self.parts.push(Part::Frames { key, frames: vec![frame], bytes: length, messages: more });
        }
    }

    /// Anything else, in its order.
    pub(super) fn add(&mut self, command: Command) {
        self.parts.push(Part::Command(command));
    }

    /// Everything, in order. `count` is told how many messages there are for a room, and has the number of the first
    /// if the peers can read it.
    pub(super) fn into_commands(
        self,
        node: NodeId,
        mut count: impl FnMut(&RoomName, u64) -> Option<SequenceNumber>,
    ) -> Vec<Command> {
        let parts = self.parts.into_iter().map(|part| match part {
            Part::Command(command) => command,
            Part::Frames { key, frames, messages, .. } => {
                let room = name(&key);
                let message = match count(&room, messages) {
                    Some(number) => relay::numbered_events(node, number, &frames),
                    None => relay::events(node, &frames),
                };
                Command::Publish { channel: Channel::Room(room), message: message.into() }
            }
        });
        parts.collect()
    }
}

/// Tells the peers how many messages there were for a room.
pub(super) fn count(node: NodeId, room: &RoomName, number: SequenceNumber) -> Command {
    let channel = Channel::Room(RoomName::clone(room));
    Command::Publish { channel, message: relay::numbered_events(node, number, []).into() }
}

/// Tells the peers what has changed in what members show.
pub(super) fn news(node: NodeId, key: &RoomKey, news: &Delta) -> Command {
    let change = SnapshotChange::Update {
        position: position(Position { epoch: news.epoch, seq: news.to }),
        set: entries(&news.added),
        removed: news.removed.clone(),
    };
    Command::Store { room: name(key), change, message: told(node, relay::delta(node, news)) }
}

/// Tells the peers everything that members show.
pub(super) fn whole(node: NodeId, hub: &Hub, key: &RoomKey) -> Command {
    state(node, key, &hub.local_snapshot(key))
}

/// Tells the peers that this is everything.
pub(super) fn state(node: NodeId, key: &RoomKey, state: &Snapshot) -> Command {
    let change = if state.entries.is_empty() {
        SnapshotChange::Remove
    } else {
        SnapshotChange::Replace(StoredSnapshot {
            position: position(state.position),
            entries: entries(&state.entries),
        })
    };
    Command::Store { room: name(key), change, message: told(node, relay::snapshot(node, state)) }
}

fn told(node: NodeId, message: Vec<u8>) -> Bytes {
    if message.len() > TOLD_BYTES { relay::snapshot_stored(node).into() } else { message.into() }
}

/// A copy as the statement it stands for.
///
/// # Errors
/// When another version of this program wrote it.
pub(super) fn read(copy: &StoredSnapshot) -> Result<Snapshot, Malformed> {
    let (epoch, seq) = copy.position.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
    let seq = seq.try_into().map_err(|_other_length| Malformed::Truncated)?;
    let position = Position { epoch: u64::from_be_bytes(*epoch), seq: u64::from_be_bytes(seq) };
    let entries = copy.entries.iter().map(|(_, entry)| relay::decode_entry(entry));
    Ok(Snapshot { position, entries: entries.collect::<Result<_, _>>()? })
}

fn position(position: Position) -> Bytes {
    [position.epoch.to_be_bytes(), position.seq.to_be_bytes()].concat().into()
}

fn entries(entries: &[(u64, hub::PresenceEntry)]) -> Vec<(u64, Bytes)> {
    entries.iter().map(|(id, entry)| (*id, relay::entry(*id, entry).into())).collect()
}
