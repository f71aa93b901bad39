//! Diffs: what has changed between two announcements, in pieces that fit into an outbox.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

use crate::presence_entry::PresenceEntry;

/// The entries of one diff, sorted by key.
#[derive(Debug, Default)]
pub struct DiffEntries {
    /// New entries.
    pub joins: Vec<PresenceEntry>,
    /// Removed entries. An update of an entry is in both lists.
    pub leaves: Vec<PresenceEntry>,
    bytes: usize,
}

impl DiffEntries {
    /// Diffs of about `bytes_max` at most. Changes of one key are in one diff, joins before leaves, unless they alone
    /// are larger; a single entry is in one diff whatever its size.
    pub(super) fn cut(
        mut joins: Vec<PresenceEntry>,
        mut leaves: Vec<PresenceEntry>,
        bytes_max: usize,
    ) -> Vec<Self> {
        for entries in [&mut joins, &mut leaves] {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let bytes = size(&joins) + size(&leaves);
        if bytes <= bytes_max {
            let whole = Self { joins, leaves, bytes };
            return if whole.is_empty() { Vec::new() } else { vec![whole] };
        }
        let (mut joins, mut leaves) = (joins.into_iter().peekable(), leaves.into_iter().peekable());
        let mut diffs = vec![Self::default()];
        while let Some((joined, left)) = next_key(&mut joins, &mut leaves) {
            make_space(&mut diffs, size(&joined) + size(&left), bytes_max);
            for entry in joined {
                let diff = make_space(&mut diffs, entry.bytes(), bytes_max);
                diff.bytes += entry.bytes();
                diff.joins.push(entry);
            }
            for entry in left {
                let diff = make_space(&mut diffs, entry.bytes(), bytes_max);
                diff.bytes += entry.bytes();
                diff.leaves.push(entry);
            }
        }
        diffs
    }

    fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty()
    }
}

/// The diff to which `bytes` can be added: the last one, or another.
fn make_space(diffs: &mut Vec<DiffEntries>, bytes: usize, bytes_max: usize) -> &mut DiffEntries {
    if diffs.last().is_none_or(|last| !last.is_empty() && last.bytes + bytes > bytes_max) {
        diffs.push(DiffEntries::default());
    }
    diffs.last_mut().expect("there is one")
}

/// Takes the joins and the leaves of the next key.
fn next_key(
    joins: &mut Peekable<IntoIter<PresenceEntry>>,
    leaves: &mut Peekable<IntoIter<PresenceEntry>>,
) -> Option<(Vec<PresenceEntry>, Vec<PresenceEntry>)> {
    let first = match (joins.peek(), leaves.peek()) {
        (Some(join), Some(leave)) if leave.key.cmp(&join.key) == Ordering::Less => leave,
        (Some(join), _) => join,
        (None, leave) => leave?,
    };
    let key = first.key.clone();
    let take = |entries: &mut Peekable<IntoIter<PresenceEntry>>| {
        std::iter::from_fn(|| entries.next_if(|entry| entry.key == key)).collect()
    };
    Some((take(joins), take(leaves)))
}

fn size(entries: &[PresenceEntry]) -> usize {
    entries.iter().map(PresenceEntry::bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    /// An entry of which a member receives so many bytes.
    fn entry(key: &str, name: char, bytes: usize) -> PresenceEntry {
        let meta = PresenceEntry { key: key.into(), meta: "".into() }.bytes();
        PresenceEntry { key: key.into(), meta: name.to_string().repeat(bytes - meta).into() }
    }

    /// `+a-b`: the names of the entries.
    fn names(diff: &DiffEntries) -> String {
        let list = |sign: char, entries: &[PresenceEntry]| -> String {
            entries.iter().map(|entry| format!("{sign}{}", &entry.meta[..1])).collect()
        };
        list('+', &diff.joins) + &list('-', &diff.leaves)
    }

    fn cut(joins: &[PresenceEntry], leaves: &[PresenceEntry]) -> Vec<String> {
        DiffEntries::cut(joins.to_vec(), leaves.to_vec(), 100).iter().map(names).collect()
    }

    #[test]
    fn both_halves_of_an_update_stay_together() {
        let (a, b) = (entry("1", 'a', 40), entry("1", 'b', 40));
        let (c, d) = (entry("2", 'c', 40), entry("2", 'd', 40));
        assert_eq!(cut(&[c.clone(), a.clone()], &[d.clone(), b.clone()]), ["+a-b", "+c-d"]);
        assert_eq!(cut(from_ref(&a), from_ref(&d)), ["+a-d"]);
        assert_eq!(cut(&[], &[]), [""; 0]);
        assert_eq!(cut(&[], &[b, d, entry("3", 'e', 20)]), ["-b-d-e"]);
    }

    #[test]
    fn what_is_too_large_for_one_diff_is_added_before_it_is_removed() {
        let (a, b) = (entry("1", 'a', 60), entry("1", 'b', 60));
        assert_eq!(cut(from_ref(&a), from_ref(&b)), ["+a", "-b"]);
        assert_eq!(cut(&[entry("0", 'c', 50), a], &[b, entry("2", 'd', 200)]), ["+c", "+a", "-b", "-d"]);
    }
}
