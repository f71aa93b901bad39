//! Presence that nodes exchange: what is reported of this node, and what is applied of others.

use std::task::Waker;
use std::time::{Duration, Instant};

use hub::{ApplyOutcome, Delta, MemoryKind, NextDue, NodeId};

use super::{OTHER, entry, link, relayed, room, snapshot};
use crate::presence::{Client, announce};
use crate::{PLAIN, Reader, frame, hub, key};

#[test]
fn a_delta_is_reported_once_and_contains_the_net_change() {
    let (hub, ann, bob) = (relayed(), Reader::new(PLAIN, 80), Reader::new(PLAIN, 80));
    let ann = hub.join(key("a"), ann.member(), &frame("ok"));
    let bob = hub.join(key("a"), bob.member(), &frame("ok"));
    link(&hub);
    let room = room(&hub);
    for number in 0..50 {
        ann.track(entry(&format!("ann {number}")));
        bob.track(entry(&format!("bob {number}")));
    }
    bob.untrack();
    assert_eq!(link(&hub), ["a changed"]);
    let first = room.take_delta().expect("there are changes");
    let metas: Vec<_> = first.added.iter().map(|(_id, entry)| &*entry.meta).collect();
    assert_eq!((metas, first.removed.len(), first.from), (vec!["ann 49"], 0, 0));
    assert_eq!(room.take_delta(), None);

    bob.track(entry("bob"));
    bob.untrack();
    link(&hub);
    assert_eq!(room.take_delta(), None, "an entry that came and went is not in a delta");
    ann.track(entry("ann"));
    assert_eq!(link(&hub), ["a changed"]);
    let second = room.take_delta().expect("an update");
    assert_eq!((second.from, second.added.len(), second.removed), (first.to, 1, vec![first.added[0].0]));
    assert_eq!(room.local_snapshot().entries, second.added);
}

#[test]
fn an_entry_in_a_snapshot_is_removed_by_a_delta() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let room = room(&hub);
    member.track(entry("x"));
    let snapshot = room.local_snapshot();
    member.untrack();
    let delta = room.take_delta().expect("the snapshot contained it");
    assert_eq!((delta.added.len(), delta.removed), (0, vec![snapshot.entries[0].0]));
    assert!(delta.from < snapshot.position.seq && snapshot.position.seq < delta.to);
}

#[test]
fn the_snapshot_of_a_closed_room_lies_between_its_epochs() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let before = hub.local_snapshot(&key("a"));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    member.track(entry("x"));
    let first = hub.local_snapshot(&key("a"));
    drop(member);
    let between = hub.local_snapshot(&key("a"));
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    let second = hub.local_snapshot(&key("a"));
    let positions = [&before, &first, &between, &second].map(|state| state.position);
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert_eq!([&before, &first, &between, &second].map(|state| state.entries.len()), [0, 1, 0, 0]);
}

#[test]
fn an_update_is_applied_or_old_or_follows_a_gap() {
    let hub = relayed();
    let ann = Client::join(&hub, 80);
    link(&hub);
    let room = room(&hub);
    let delta = |epoch, from, to, added: &[(u64, &str)], removed: &[u64]| {
        let added = added.iter().map(|(id, meta)| (*id, entry(meta))).collect();
        hub.apply_presence(&room, OTHER, Delta { epoch, from, to, added, removed: removed.to_vec() })
    };
    let announced = || {
        announce(&hub);
        ann.reader.texts().into_iter().filter(|text| !text.starts_with(['=', 'o'])).collect::<Vec<_>>()
    };
    assert_eq!(announced(), [""; 0]);
    assert_eq!(delta(2, 3, 4, &[(4, "d")], &[]), ApplyOutcome::Gap, "not from the beginning");
    assert_eq!(delta(2, 0, 3, &[(1, "a"), (3, "c")], &[]), ApplyOutcome::Applied);
    assert_eq!(announced(), ["+a+c"]);
    assert_eq!(delta(2, 0, 3, &[(1, "a"), (3, "c")], &[]), ApplyOutcome::Old, "twice");
    assert_eq!(delta(2, 4, 5, &[(5, "e")], &[]), ApplyOutcome::Gap);
    assert_eq!(delta(2, 2, 4, &[(3, "c"), (4, "d")], &[1, 99]), ApplyOutcome::Applied, "overlapping");
    assert_eq!(announced(), ["+d-a"]);
    assert_eq!(delta(1, 0, 9, &[(9, "z")], &[]), ApplyOutcome::Old, "of an earlier epoch");
    assert_eq!(hub.apply_presence(&room, OTHER, snapshot((2, 4), &[])), ApplyOutcome::Old);
    assert_eq!(
        hub.apply_presence(&room, OTHER, snapshot((2, 9), &[(4, "d"), (9, "i")])),
        ApplyOutcome::Applied
    );
    assert_eq!(announced(), ["+i-c"]);
    assert_eq!(delta(3, 1, 2, &[], &[]), ApplyOutcome::Gap, "of a later epoch, not from its beginning");
    assert_eq!(hub.apply_presence(&room, OTHER, snapshot((3, 1), &[(4, "D")])), ApplyOutcome::Applied);
    let mut texts = announced();
    assert!(matches!(texts.pop().as_deref(), Some("+D-d-i" | "+D-i-d")), "ids are new in each epoch");
    assert!(link(&hub).is_empty(), "updates of other nodes are not relayed");
}

#[test]
fn a_removed_node_loses_its_entries_and_may_return() {
    let hub = relayed();
    let ann = Client::join(&hub, 80);
    link(&hub);
    let room = room(&hub);
    hub.apply_presence(&room, OTHER, snapshot((1, 5), &[(1, "far")]));
    hub.apply_presence(&room, NodeId::new(8), snapshot((1, 5), &[(1, "near")]));
    announce(&hub);
    ann.reader.texts();
    let mut nodes = room.remote_nodes();
    nodes.sort();
    assert_eq!(nodes, [OTHER, NodeId::new(8)]);
    hub.remove_node(OTHER);
    hub.remove_node(NodeId::new(9));
    announce(&hub);
    assert_eq!((ann.reader.texts(), room.remote_nodes()), (vec!["-far".to_owned()], vec![NodeId::new(8)]));
    assert_eq!(hub.apply_presence(&room, OTHER, snapshot((1, 5), &[(1, "far")])), ApplyOutcome::Applied);
    announce(&hub);
    assert_eq!(ann.reader.texts(), ["+far"]);

    hub.remove_node(OTHER);
    hub.apply_presence(&room, OTHER, snapshot((1, 6), &[(1, "far"), (6, "new")]));
    announce(&hub);
    assert_eq!(ann.reader.texts(), ["+new"], "a node that returns at once is not announced as gone");
}

// With a part of its entries, those that are gone would stay.
#[test]
fn nothing_of_a_node_is_shown_while_there_is_no_memory_for_all_of_it() {
    let hub = relayed();
    let ann = Client::join(&hub, 80);
    link(&hub);
    let (room, memory) = (room(&hub), ann.reader.outbox.memory());
    let large = "x".repeat(1_000);
    let delta = |from, to, meta: &str, removed: &[u64]| {
        let added = vec![(to, entry(meta))];
        hub.apply_presence(&room, OTHER, Delta { epoch: 1, from, to, added, removed: removed.to_vec() })
    };
    let announced = || {
        announce(&hub);
        ann.reader.texts().into_iter().filter(|text| !text.starts_with(['=', 'o'])).collect::<Vec<_>>()
    };
    assert_eq!(announced(), [""; 0]);
    assert_eq!(delta(0, 1, "a", &[]), ApplyOutcome::Applied);
    assert_eq!(announced(), ["+a"]);
    memory.budget().set(memory.total() + 500, 99);
    assert_eq!(delta(1, 2, &large, &[]), ApplyOutcome::OutOfMemory);
    assert_eq!((announced(), memory.used(MemoryKind::Presence)), (vec!["-a".to_owned()], 0));
    assert_eq!(memory.budget().refused(MemoryKind::Presence), 1);
    assert_eq!(delta(2, 3, "c", &[1]), ApplyOutcome::Gap, "what precedes it is not there");
    memory.budget().set(usize::MAX, 99);
    let all = snapshot((1, 3), &[(2, &large), (3, "c")]);
    assert_eq!(hub.apply_presence(&room, OTHER, all), ApplyOutcome::Applied);
    let shown = memory.used(MemoryKind::Presence);
    // What takes no more than what it replaces is applied in any case.
    memory.budget().set(0, 99);
    assert_eq!(delta(3, 4, "d", &[2]), ApplyOutcome::Applied);
    assert!(memory.used(MemoryKind::Presence) < shown);
}

#[test]
fn a_room_without_presence_records_no_nodes() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    let room = room(&hub);
    assert_eq!(hub.apply_presence(&room, OTHER, snapshot((1, 0), &[])), ApplyOutcome::Applied);
    assert!(room.remote_nodes().is_empty());
}

#[test]
fn the_coalescing_time_can_be_changed_while_running() {
    let hub = hub();
    let due_in = |seconds: u64| {
        hub.set_coalesce(Duration::from_secs(seconds));
        let mut ann = Client::join(&hub, 80);
        announce(&hub);
        ann.track(1);
        match hub.next_due(Instant::now(), Waker::noop()) {
            NextDue::Room(_) => Duration::ZERO,
            NextDue::At(due) => due.saturating_duration_since(Instant::now()),
            NextDue::Idle => panic!("a change is listed"),
        }
    };
    assert_eq!(due_in(0), Duration::ZERO);
    assert!(due_in(100) > Duration::from_secs(90));
}
