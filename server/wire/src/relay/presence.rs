//! Presence among nodes: entries, deltas and snapshots.

use hub::{Delta, Position, PresenceEntry, Snapshot};

use super::fields::Fields;
use super::{Malformed, VERSION};

/// Bytes of an entry beside its key and meta.
const ENTRY_BYTES_MIN: usize = 16;

/// Encodes a single entry, as stored snapshots hold it.
pub fn entry(id: u64, entry: &PresenceEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + entry_bytes(entry));
    bytes.push(VERSION);
    write_entry(&mut bytes, id, entry);
    bytes
}

/// Decodes a single [`entry`].
///
/// # Errors
/// When it is malformed or of another version.
pub fn decode_entry(bytes: &[u8]) -> Result<(u64, PresenceEntry), Malformed> {
    let mut fields = Fields::new(bytes);
    let version = fields.byte()?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let entry = read_entry(&mut fields)?;
    fields.end()?;
    Ok(entry)
}

pub(super) fn delta_bytes(delta: &Delta) -> usize {
    28 + 8 * delta.removed.len() + entries_bytes(&delta.added)
}

pub(super) fn write_delta(message: &mut Vec<u8>, delta: &Delta) {
    let Delta { epoch, from, to, added, removed } = delta;
    for number in [epoch, from, to] {
        message.extend(number.to_be_bytes());
    }
    message.extend(length(removed.len()));
    message.extend(removed.iter().flat_map(|id| id.to_be_bytes()));
    write_entries(message, added);
}

pub(super) fn read_delta(mut fields: Fields<'_>) -> Result<Delta, Malformed> {
    let [epoch, from, to] = [fields.number()?, fields.number()?, fields.number()?];
    let count = fields.count()?;
    if count > fields.len() / 8 {
        return Err(Malformed::Truncated);
    }
    let removed = (0..count).map(|_| fields.number()).collect::<Result<_, _>>()?;
    Ok(Delta { epoch, from, to, added: read_entries(fields)?, removed })
}

pub(super) fn snapshot_bytes(snapshot: &Snapshot) -> usize {
    16 + entries_bytes(&snapshot.entries)
}

pub(super) fn write_snapshot(message: &mut Vec<u8>, snapshot: &Snapshot) {
    let Position { epoch, seq } = snapshot.position;
    message.extend(epoch.to_be_bytes());
    message.extend(seq.to_be_bytes());
    write_entries(message, &snapshot.entries);
}

pub(super) fn read_snapshot(mut fields: Fields<'_>) -> Result<Snapshot, Malformed> {
    let position = Position { epoch: fields.number()?, seq: fields.number()? };
    Ok(Snapshot { position, entries: read_entries(fields)? })
}

fn entries_bytes(entries: &[(u64, PresenceEntry)]) -> usize {
    entries.iter().map(|(_id, entry)| entry_bytes(entry)).sum()
}

fn write_entries(message: &mut Vec<u8>, entries: &[(u64, PresenceEntry)]) {
    for (id, entry) in entries {
        write_entry(message, *id, entry);
    }
}

fn read_entries(mut fields: Fields<'_>) -> Result<Vec<(u64, PresenceEntry)>, Malformed> {
    let mut entries = Vec::new();
    while !fields.is_at_end() {
        entries.push(read_entry(&mut fields)?);
    }
    Ok(entries)
}

fn entry_bytes(entry: &PresenceEntry) -> usize {
    ENTRY_BYTES_MIN + entry.key.len() + entry.meta.len()
}

fn write_entry(message: &mut Vec<u8>, id: u64, entry: &PresenceEntry) {
    message.extend(id.to_be_bytes());
    for text in [&entry.key, &entry.meta] {
        message.extend(length(text.len()));
        message.extend_from_slice(text.as_bytes());
    }
}

fn read_entry(fields: &mut Fields<'_>) -> Result<(u64, PresenceEntry), Malformed> {
    let id = fields.number()?;
    Ok((id, PresenceEntry { key: fields.text()?.into(), meta: fields.text()?.into() }))
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("presence payloads are far below 4 GiB").to_be_bytes()
}
