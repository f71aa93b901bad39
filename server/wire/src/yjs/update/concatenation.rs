//! Updates that follow each other, as one.

use std::collections::BTreeMap;

use super::{DeletedRange, DocumentUpdate};
use crate::lib0::Lib0Write;

/// What several updates have of a client: structs that follow each other.
#[derive(Default)]
struct Joined<'a> {
    clock: u32,
    end: u32,
    structs: usize,
    bodies: Vec<&'a [u8]>,
}

/// One update with all that `updates` contain, in their order. `None` if one of them does not begin where those before it end, for
/// one of its clients: then only a document can merge them.
///
/// Structs are copied as they are, so that time is linear in the bytes, but for the deletions, which are sorted.
pub fn concatenate(updates: &[DocumentUpdate<'_>]) -> Option<Vec<u8>> {
    let mut clients = BTreeMap::<u64, Joined<'_>>::new();
    for section in updates.iter().flat_map(DocumentUpdate::sections) {
        let joined = clients.entry(section.client).or_default();
        if joined.structs == 0 {
            joined.clock = section.clock;
        } else if joined.end != section.clock {
            return None;
        }
        joined.end = section.end;
        joined.structs += section.structs;
        joined.bodies.push(section.body);
    }
    let mut bytes = Vec::with_capacity(updates.iter().map(|update| update.bytes().len()).sum());
    bytes.var_uint(clients.len() as u64);
    // As clients write them.
    for (client, joined) in clients.iter().rev() {
        bytes.var_uint(joined.structs as u64);
        bytes.var_uint(*client);
        bytes.var_uint(joined.clock.into());
        joined.bodies.iter().for_each(|body| bytes.put(body));
    }
    put_deletions(updates, &mut bytes);
    Some(bytes)
}

/// Writes what any of the updates deletes.
fn put_deletions(updates: &[DocumentUpdate<'_>], bytes: &mut Vec<u8>) {
    let mut clients = BTreeMap::<u64, Vec<DeletedRange>>::new();
    for range in updates.iter().flat_map(DocumentUpdate::deletions) {
        clients.entry(range.client).or_default().push(range);
    }
    bytes.var_uint(clients.len() as u64);
    for (client, ranges) in clients.iter_mut().rev() {
        ranges.sort_unstable_by_key(|range| range.clock);
        ranges.dedup_by(|next, range| extend(range, next));
        bytes.var_uint(*client);
        bytes.var_uint(ranges.len() as u64);
        for range in ranges {
            bytes.var_uint(range.clock.into());
            bytes.var_uint(range.length.into());
        }
    }
}

/// Makes `range` contain the one that begins after it, if nothing is between them. Returns whether it does.
fn extend(range: &mut DeletedRange, next: &DeletedRange) -> bool {
    let (end, next_end) = (range.clock + range.length, next.clock + next.length);
    let follows = next.clock <= end;
    if follows {
        range.length = end.max(next_end) - range.clock;
    }
    follows
}
