//! A hub with a relay: what it reports to the link, what is delivered to it, and which joins are pending.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use hub::{
    ApplyOutcome, Audience, Bounds, Bundle, Delivery, Delta, Frame, Hub, HubBuilder, MemoryKind, NextDue,
    NodeId, Position, PresenceEntry, Room, RoomEvent, RoomKey, Snapshot,
};

use crate::presence::{Client, announce};
use crate::{LOUD, PLAIN, Reader, Text, frame, hub, key, publish};

const LARGE: Bounds = Bounds { frames: 1_000, bytes: 1_000_000 };
const EVERYTHING: Bounds = Bounds { frames: u32::MAX, bytes: usize::MAX };
const OTHER: NodeId = NodeId::new(7);

pub(crate) fn relayed() -> Arc<Hub> {
    HubBuilder::new(Duration::ZERO).relayed(LARGE).build()
}

pub(crate) fn relay_events(hub: &Hub) -> Vec<RoomEvent> {
    some_relay_events(hub, EVERYTHING)
}

fn some_relay_events(hub: &Hub, max: Bounds) -> Vec<RoomEvent> {
    match hub.poll_relay(max, Waker::noop()) {
        Poll::Ready(events) => events,
        Poll::Pending => Vec::new(),
    }
}

/// Confirms the joins of opened rooms, and returns the other events as short texts.
pub(crate) fn link(hub: &Hub) -> Vec<String> {
    let rest = relay_events(hub).into_iter().filter_map(|event| match event {
        RoomEvent::RoomOpened(room) => {
            hub.confirm_joins(&room);
            None
        }
        RoomEvent::Published { key, frame, messages } => {
            let text = String::from_utf8(frame.bytes().to_vec()).expect("frames are text");
            Some(format!("{}: {text} ({messages})", key.topic))
        }
        RoomEvent::PresenceChanged(room) => Some(format!("{} changed", room.topic())),
        RoomEvent::RoomClosed { key, final_snapshot } => {
            let snapshot = if final_snapshot.is_some() { " with a snapshot" } else { "" };
            Some(format!("{} closed{snapshot}", key.topic))
        }
        RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => panic!("the relay receives {event:?}"),
    });
    rest.collect()
}

fn room(hub: &Hub) -> Arc<Room> {
    hub.room(&key("a")).expect("the room has members")
}

fn entry(meta: &str) -> PresenceEntry {
    PresenceEntry { key: "k".into(), meta: meta.into() }
}

fn snapshot(position: (u64, u64), metas: &[(u64, &str)]) -> Snapshot {
    let (epoch, seq) = position;
    let entries = metas.iter().map(|(id, meta)| (*id, entry(meta))).collect();
    Snapshot { position: Position { epoch, seq }, entries }
}

#[test]
fn a_hub_without_relay_has_no_events_for_it_and_no_pending_joins() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(ann.texts(), ["ok"]);
    publish(&member, &Text::new("hi"), Audience::Everyone);
    drop(member);
    assert!(relay_events(&hub).is_empty());
    assert_eq!(hub.relay_dropped(), 0);
}

#[test]
fn joins_are_pending_until_their_room_is_confirmed() {
    let hub = relayed();
    let (ann, bob, eve) = (Reader::new(PLAIN, 8), Reader::new(LOUD, 8), Reader::new(PLAIN, 8));
    let first = hub.join(key("a"), ann.member(), &Frame::concat(&[frame("ok"), frame(" ann")]));
    let _second = hub.join(key("a"), bob.member(), &frame("ok bob"));
    assert_eq!(publish(&first, &Text::new("early"), Audience::Everyone), Delivery::default());
    hub.deliver(&key("a"), [Text::new("early too")]);
    assert!(ann.texts().is_empty() && bob.texts().is_empty());

    assert_eq!(link(&hub), ["a: early. (1)"], "a member with a pending join can publish");
    assert_eq!((ann.texts(), bob.texts()), (vec!["ok ann".to_owned()], vec!["ok bob".to_owned()]));
    let _third = hub.join(key("a"), eve.member(), &frame("ok eve"));
    assert_eq!(eve.texts(), ["ok eve"], "the room is confirmed");
    publish(&first, &Text::new("hi"), Audience::Others);
    assert_eq!((bob.texts(), eve.texts()), (vec!["HI".to_owned()], vec!["hi".to_owned()]));
    hub.confirm_joins(&room(&hub));
    assert!(ann.texts().is_empty(), "confirming again has no effect");
}

#[test]
fn joins_pending_for_too_long_are_confirmed_without_the_link() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    let opened_at = room(&hub).opened_at();
    hub.confirm_joins_until(opened_at - Duration::from_nanos(1));
    assert!(ann.texts().is_empty());
    hub.confirm_joins_until(opened_at);
    assert_eq!(ann.texts(), ["ok"]);
    assert!(
        matches!(&relay_events(&hub)[..], [RoomEvent::RoomOpened(_)]),
        "the link receives the event all the same"
    );
}

#[test]
fn a_join_pending_in_one_room_does_not_affect_another() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let open = hub.join(key("a"), ann.member(), &frame("ok a"));
    link(&hub);
    let _waiting = hub.join(key("b"), ann.member(), &frame("ok b"));
    publish(&open, &Text::new("hi"), Audience::Everyone);
    assert_eq!(ann.texts(), ["ok a", "hi"]);
    link(&hub);
    assert_eq!(ann.texts(), ["ok b"]);
}

#[test]
fn leaving_a_room_discards_a_pending_join() {
    let (hub, ann, bob) = (relayed(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let leaving = hub.join(key("a"), ann.member(), &frame("ok"));
    let _staying = hub.join(key("a"), bob.member(), &frame("ok"));
    drop(leaving);
    link(&hub);
    assert!(ann.texts().is_empty());
    assert_eq!(bob.texts(), ["ok"]);

    drop(hub.join(key("b"), ann.member(), &frame("ok")));
    assert!(relay_events(&hub).is_empty(), "a room that closed before it was taken is not reported");
    assert_eq!(hub.population().rooms, 1);
}

#[test]
fn the_presence_state_follows_a_confirmed_join() {
    let hub = relayed();
    let mut ann = Client::join(&hub, 8);
    ann.track(1);
    announce(&hub);
    hub.apply_presence(&room(&hub), OTHER, snapshot((1, 1), &[(1, "far")]));
    assert!(ann.reader.texts().is_empty());
    assert_eq!(link(&hub), ["a changed"]);
    announce(&hub);
    assert_eq!(ann.reader.texts(), ["ok", "=+r1+far"]);
}

#[test]
fn a_room_is_reported_when_it_opens_and_when_it_closes() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert!(matches!(&relay_events(&hub)[..], [RoomEvent::RoomOpened(room)] if **room.key() == key("a")));
    assert_eq!(hub.rooms().len(), 1);
    drop(member);
    assert_eq!(link(&hub), ["a closed"]);

    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    link(&hub);
    member.track(entry("x"));
    assert_eq!(link(&hub), ["a changed"]);
    drop(member);
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(link(&hub), ["a closed with a snapshot"]);
    assert!(ann.texts().ends_with(&["ok".to_owned()]), "the new room opened after the old one closed");
    drop(member);
}

#[test]
fn the_relay_receives_messages_in_the_order_of_the_members() {
    const MESSAGES: usize = 1_000;
    let (hub, reader) =
        (HubBuilder::new(Duration::ZERO).relayed(EVERYTHING).build(), Reader::new(PLAIN, u32::MAX));
    let _listener = hub.join(key("a"), reader.member(), &frame("ok"));
    link(&hub);
    thread::scope(|scope| {
        for sender in ["x", "y"] {
            let hub = &hub;
            scope.spawn(move || {
                let own = Reader::new(PLAIN, 1);
                let member = hub.join(key("a"), own.member(), &frame("ok"));
                for number in 0..MESSAGES {
                    publish(&member, &Text::new(&format!("{sender}{number}")), Audience::Others);
                }
            });
        }
    });
    let received: Vec<String> = reader.texts()[1..].iter().map(|text| format!("a: {text}. (1)")).collect();
    assert_eq!(received.len(), 2 * MESSAGES);
    assert_eq!(link(&hub), received);
}

#[test]
fn messages_from_outside_are_relayed_without_members_on_this_node() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    assert_eq!(hub.publish(&key("a"), &Text::new("x")), Delivery::default());
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(link(&hub), ["a: x. (1)"]);
    assert_eq!(hub.publish(&key("a"), &Text::new("y")).delivered, 1);
    assert_eq!(link(&hub), ["a: y. (1)"]);
}

#[test]
fn a_message_of_the_only_member_is_encoded_for_the_relay_only() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    link(&hub);
    let event = Text::new("hi");
    publish(&member, &event, Audience::Others);
    assert_eq!(event.encoded.get(), 1);
    assert_eq!(link(&hub), ["a: hi. (1)"]);
}

#[test]
fn a_bundle_is_relayed_and_delivered_as_one_frame() {
    let (hub, ann, bob) = (relayed(), Reader::new(PLAIN, 8), Reader::new(LOUD, 2));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow = hub.join(key("a"), bob.member(), &frame("ok"));
    link(&hub);
    let mut bundle = Bundle::default();
    for text in ["x", "y", "z"] {
        member.gather(&Text::new(text), Audience::Others, &mut bundle);
    }
    member.publish(bundle, Audience::Others);
    assert_eq!(link(&hub), ["a: x.y.z. (3)"]);

    let events = ["u", "v"].map(Text::new);
    let delivery = hub.deliver(&key("a"), events);
    assert_eq!(delivery, Delivery { delivered: 1, dropped: 1, ..Delivery::default() });
    assert_eq!(
        (ann.texts(), bob.texts()),
        (vec!["ok".into(), "uv".into()], vec!["OK".to_lowercase(), "XYZ".into()])
    );
    assert_eq!(slow.take_missed().broadcasts, 2);
    assert!(link(&hub).is_empty(), "what is received is not relayed again");
    assert_eq!(hub.deliver(&key("empty"), [Text::new("hi")]), Delivery::default());
}

#[test]
fn what_does_not_fit_is_dropped_for_the_relay_alone_and_counted() {
    let hub = HubBuilder::new(Duration::ZERO).relayed(Bounds { frames: 4, bytes: 2_000 }).build();
    let (ann, bob) = (Reader::new(PLAIN, 80), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    link(&hub);
    let deliveries = ["1", "2", "3"].map(|text| publish(&member, &Text::new(text), Audience::Others));
    member.track(entry("x"));
    let _other = hub.join(key("b"), ann.member(), &frame("ok"));
    assert_eq!(deliveries.map(|delivery| (delivery.dropped, delivery.unrelayed)), [(0, 0), (0, 0), (0, 1)]);
    assert_eq!(hub.relay_dropped(), 1);
    assert_eq!(bob.texts(), ["ok", "1", "2", "3"]);
    assert_eq!(link(&hub), ["a: 1. (1)", "a: 2. (1)", "a changed"]);

    let long = "x".repeat(1_000);
    publish(&member, &Text::new(&long), Audience::Others);
    publish(&member, &Text::new("4"), Audience::Others);
    assert_eq!(hub.relay_dropped(), 2, "the bytes are used up");
    assert_eq!(link(&hub), [format!("a: {long}. (1)")], "a single frame always fits");
}

#[test]
fn a_tenant_that_fills_the_relay_loses_its_own_messages_and_waits_for_its_turns() {
    let hub = HubBuilder::new(Duration::ZERO).relayed(Bounds { frames: 100, bytes: 4_000_000 }).build();
    let (ann, eve) = (Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let other = hub.join(RoomKey { tenant: "other".into(), ..key("b") }, eve.member(), &frame("ok"));
    link(&hub);
    let long = "x".repeat(20_000);
    let long = Text::new(&long);
    let unrelayed: u32 = (0..1_000).map(|_| publish(&other, &long, Audience::Others).unrelayed).sum();
    for number in 0..10 {
        let published = publish(&member, &Text::new(&number.to_string()), Audience::Others);
        assert_eq!(published.unrelayed, 0, "message {number}");
    }
    assert_eq!((unrelayed, hub.relay_dropped()), (950, 950));
    let four_at_once = Bounds { frames: 4, bytes: usize::MAX };
    let is_mine = |event: &RoomEvent| matches!(event, RoomEvent::Published { key, .. } if *key.topic == *"a");
    let (mut taken, mut mine) = (0, 0);
    while mine < 10 {
        let events = some_relay_events(&hub, four_at_once);
        taken += events.len();
        mine += events.iter().filter(|event| is_mine(event)).count();
    }
    assert!(taken <= 15, "{} of the other tenant before mine", taken - mine);
    assert_eq!(taken + relay_events(&hub).len(), 60, "nothing that was accepted is lost");
}

#[test]
fn a_paused_relay_keeps_and_encodes_no_messages() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    link(&hub);
    publish(&member, &Text::new("before"), Audience::Others);
    hub.pause_relay();
    let event = Text::new("during");
    publish(&member, &event, Audience::Others);
    hub.publish(&key("b"), &event);
    assert_eq!((event.encoded.get(), hub.relay_dropped()), (0, 3));
    member.track(entry("x"));
    assert_eq!(link(&hub), ["a changed"], "presence is still reported");
    hub.resume_relay();
    publish(&member, &Text::new("after"), Audience::Others);
    assert_eq!(link(&hub), ["a: after. (1)"]);
}

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
