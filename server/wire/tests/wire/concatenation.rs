//! Updates that follow each other are one without a document.

use wire::yjs::{DeletedRange, DocumentUpdate, concatenate};

/// Client 1 inserts "hi" into the text `t`, then "!" after it.
const HI: &[u8] = &[1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];
const MARK: &[u8] = &[1, 1, 1, 2, 0x84, 1, 1, 1, b'!', 0];
/// Client 2 inserts "a" after the "h".
const OTHER: &[u8] = &[1, 1, 2, 0, 0xc4, 1, 0, 1, 1, 1, b'a', 0];

fn joined(updates: &[&[u8]]) -> Option<Vec<u8>> {
    let updates: Vec<_> = updates.iter().map(|update| DocumentUpdate::decode(update).unwrap()).collect();
    concatenate(&updates)
}

/// An update that deletes characters of client 1: from a clock on, so many.
fn deletion(ranges: &[(u8, u8)]) -> Vec<u8> {
    let bytes = ranges.iter().flat_map(|&(clock, length)| [clock, length]);
    [0, 1, 1, ranges.len() as u8].into_iter().chain(bytes).collect()
}

#[test]
fn structs_of_a_client_follow_each_other_in_one_section() {
    let expected = [&[2, 1, 2, 0][..], &OTHER[4..11], &[2, 1, 0], &HI[4..11], &MARK[4..9], &[0]].concat();
    assert_eq!(joined(&[HI, OTHER, MARK]), Some(expected));
    assert_eq!(joined(&[HI]).as_deref(), Some(HI));
    assert_eq!(joined(&[]), Some(vec![0, 0]));
}

#[test]
fn a_gap_and_what_is_there_twice_need_a_document() {
    let (gap, twice) = ([1, 1, 1, 3, 0x84, 1, 2, 1, b'?', 0], HI);
    assert_eq!(joined(&[HI, &gap]), None);
    assert_eq!(joined(&[HI, twice]), None);
    assert_eq!(joined(&[MARK, HI]), None, "not in their order");
}

#[test]
fn deletions_are_merged() {
    let updates = [deletion(&[(4, 1), (9, 2)]), deletion(&[(0, 1), (5, 2)]), deletion(&[(4, 2), (20, 1)])];
    let joined = joined(&updates.each_ref().map(|update| &**update)).unwrap();
    let deletions: Vec<_> = DocumentUpdate::decode(&joined).unwrap().deletions().collect();
    let range = |clock, length| DeletedRange { client: 1, clock, length };
    assert_eq!(deletions, [range(0, 1), range(4, 3), range(9, 2), range(20, 1)]);
}
