//! Relay events of the hub as commands for the bus.

use std::sync::Arc;

use bytes::Bytes;
use hub::{Delta, Frame, HistoryBounds, Hub, NodeId, Position, RoomKey, Snapshot};
use wire::relay::{self, Malformed, SequenceNumber};

use super::room_table::name;
use crate::bus::{Channel, Command, EntryToKeep, RoomName, SnapshotChange, StoredSnapshot};

/// Frames of one room share a message up to this size; a larger one would delay the messages behind it.
const MESSAGE_BYTES: usize = 64 * 1024;

/// A room that keeps its messages has room for so many entries at least, unless single messages are larger.
const ENTRIES_MIN: usize = 16;

/// Changes beyond this size are stored and not published: subscribers read the snapshot. A bus may end the connection of a
/// subscriber for which too much waits (Redis, by default, at 32 MB).
const DELTA_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The same for snapshots. Many of them follow each other when a node returns, and each would pass twice.
const SNAPSHOT_MESSAGE_BYTES: usize = 64 * 1024;

/// Commands in the order of the events they are made of. Frames that follow each other in one room share a message.
#[derive(Debug, Default)]
pub(super) struct CommandBatch {
    parts: Vec<Part>,
    /// Messages of clients in all of them.
    pub(super) messages: u64,
    /// The bytes of all of them.
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum Part {
    Frames { key: Arc<RoomKey>, frames: Vec<Frame>, bytes: usize, messages: u32, kept: Option<HistoryBounds> },
    Command(Command),
}

impl CommandBatch {
    /// Adds a frame with this many messages of clients, which the bus keeps if there are bounds.
    pub(super) fn add_frame(
        &mut self,
        key: Arc<RoomKey>,
        frame: Frame,
        more: u32,
        bounds: Option<HistoryBounds>,
    ) {
        let length = frame.len();
        self.messages += u64::from(more);
        self.bytes += length;
        if let Some(Part::Frames { key: current, frames, bytes, messages, kept }) = self.parts.last_mut()
            && Arc::ptr_eq(current, &key)
            && *kept == bounds
            && *bytes + length <= largest_message(bounds)
        {
            *bytes += length;
            *messages += more;
            frames.push(frame);
        } else {
            let (frames, bytes, messages) = (vec![frame], length, more);
            self.parts.push(Part::Frames { key, frames, bytes, messages, kept: bounds });
        }
    }

    /// Adds any other command.
    pub(super) fn add(&mut self, command: Command) {
        self.bytes += command.len();
        self.parts.push(Part::Command(command));
    }

    /// All commands, in order. `number` counts messages for a room and returns the sequence number of the first, if all
    /// nodes can decode it. Messages for other nodes were lost at `lost_at`.
    pub(super) fn into_commands(
        self,
        node: NodeId,
        lost_at: u64,
        mut number: impl FnMut(&RoomName, u64) -> Option<SequenceNumber>,
    ) -> Vec<Command> {
        let mut commands = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            match part {
                Part::Command(command) => commands.push(command),
                Part::Frames { key, frames, messages, kept, .. } => {
                    let room = name(&key);
                    let message: Bytes = match number(&room, messages.into()) {
                        Some(number) => relay::numbered_events(node, number, &frames).into(),
                        None => relay::events(node, &frames).into(),
                    };
                    // Before it is published: see `history.rs`.
                    commands.extend(kept.map(|bounds| {
                        let (room, message) = (RoomName::clone(&room), message.clone());
                        Command::Keep { room, entry: EntryToKeep { message, messages, lost_at, bounds } }
                    }));
                    commands.push(Command::Publish { channel: Channel::Room(room), message });
                }
            }
        }
        commands
    }
}

/// The size up to which frames of one room share a message. An entry is kept or removed as a whole, so one that is kept is a
/// small part of what the room may keep.
fn largest_message(kept: Option<HistoryBounds>) -> usize {
    kept.map_or(MESSAGE_BYTES, |bounds| MESSAGE_BYTES.min(bounds.bytes / ENTRIES_MIN))
}

/// Publishes the sequence number of the next message for a room.
pub(super) fn sequence(node: NodeId, room: &RoomName, number: SequenceNumber) -> Command {
    let channel = Channel::Room(RoomName::clone(room));
    Command::Publish { channel, message: relay::numbered_events(node, number, []).into() }
}

/// Stores and publishes a change of this node's presence in a room.
pub(super) fn delta(node: NodeId, key: &RoomKey, delta: &Delta) -> Command {
    let (position, entries) =
        (position(Position { epoch: delta.epoch, seq: delta.to }), entries(&delta.added));
    let change = if delta.from == 0 {
        // Nothing precedes it, so there need not be a snapshot yet.
        SnapshotChange::Replace(StoredSnapshot { position, entries })
    } else {
        SnapshotChange::Update { position, set: entries, removed: delta.removed.clone() }
    };
    let message = relay::delta(node, delta);
    let is_large = message.len() > DELTA_MESSAGE_BYTES;
    let message = if is_large { relay::snapshot_stored(node) } else { message };
    Command::Store { room: name(key), change, message: message.into() }
}

/// Stores and publishes this node's whole presence in a room.
pub(super) fn local_snapshot(node: NodeId, hub: &Hub, key: &RoomKey) -> Command {
    snapshot(node, key, &hub.local_snapshot(key))
}

/// Removes this node's presence in a room from the bus, where there is no room for it.
pub(super) fn withdrawal(node: NodeId, hub: &Hub, key: &RoomKey) -> Command {
    let position = hub.local_snapshot(key).position;
    let message = relay::snapshot(node, &Snapshot { position, entries: Vec::new() });
    Command::Store { room: name(key), change: SnapshotChange::Remove, message: message.into() }
}

/// Bytes of a snapshot when it is stored.
pub(super) fn stored_bytes(snapshot: &Snapshot) -> usize {
    snapshot.entries.iter().map(|(_, entry)| 16 + entry.key.len() + entry.meta.len()).sum()
}

/// Stores and publishes a snapshot.
pub(super) fn snapshot(node: NodeId, key: &RoomKey, snapshot: &Snapshot) -> Command {
    // Without a first change, or after the last one, there is nothing that a delta could follow.
    let is_empty = matches!(snapshot.position.seq, 0 | u64::MAX);
    let change = if is_empty {
        SnapshotChange::Remove
    } else {
        let (position, entries) = (position(snapshot.position), entries(&snapshot.entries));
        SnapshotChange::Replace(StoredSnapshot { position, entries })
    };
    let is_large = stored_bytes(snapshot) > SNAPSHOT_MESSAGE_BYTES;
    let message = if is_large { relay::snapshot_stored(node) } else { relay::snapshot(node, snapshot) };
    Command::Store { room: name(key), change, message: message.into() }
}

/// Decodes a stored snapshot.
///
/// # Errors
/// When a node of another version has stored it.
pub(super) fn decode(stored: &StoredSnapshot) -> Result<Snapshot, Malformed> {
    let (epoch, seq) = stored.position.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
    let seq = seq.try_into().map_err(|_other_length| Malformed::Truncated)?;
    let position = Position { epoch: u64::from_be_bytes(*epoch), seq: u64::from_be_bytes(seq) };
    let entries = stored.entries.iter().map(|(_, entry)| relay::decode_entry(entry));
    Ok(Snapshot { position, entries: entries.collect::<Result<_, _>>()? })
}

fn position(position: Position) -> Bytes {
    [position.epoch.to_be_bytes(), position.seq.to_be_bytes()].concat().into()
}

fn entries(entries: &[(u64, hub::PresenceEntry)]) -> Vec<(u64, Bytes)> {
    entries.iter().map(|(id, entry)| (*id, relay::entry(*id, entry).into())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hub::{Privacy, Space};

    use super::*;

    #[test]
    fn a_message_is_kept_before_it_is_published_and_apart_from_those_that_are_not() {
        let (space, privacy) = (Space::Phoenix, Privacy::Public);
        let key = Arc::new(RoomKey { tenant: "t".into(), space, privacy, topic: "a".into() });
        let bounds = HistoryBounds { messages: 9, bytes: 1 << 20, age: Duration::from_secs(1) };
        let mut batch = CommandBatch::default();
        for (text, kept) in [("1", Some(bounds)), ("2", Some(bounds)), ("3", None)] {
            batch.add_frame(Arc::clone(&key), Frame::new(text.into(), 0), 2, kept);
        }
        let commands = batch.into_commands(NodeId::new(1), 7, |_room, _messages| None);
        let [Command::Keep { entry, .. }, Command::Publish { message, .. }, Command::Publish { .. }] =
            &*commands
        else {
            panic!("{commands:?}");
        };
        assert_eq!((&entry.message, entry.messages, entry.lost_at), (message, 4, 7));
    }
}
