//! A hub that is one among several: what departs, what is delivered, and who waits.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use hub::{
    ApplyOutcome, Audience, Bounds, Bundle, Delivery, Delta, Frame, Hub, NodeId, Position, PresenceEntry,
    RelayEvent, Room, Snapshot,
};

use crate::presence::{Client, announce};
use crate::{LOUD, PLAIN, Reader, Say, frame, hub, key, say};

const PLENTY: Bounds = Bounds { frames: 1_000, bytes: 1_000_000 };
const ELSEWHERE: NodeId = NodeId::new(7);

pub(crate) fn relayed() -> Arc<Hub> {
    Hub::relayed(Duration::ZERO, PLENTY)
}

pub(crate) fn departures(hub: &Hub) -> Vec<RelayEvent> {
    match hub.poll_relay(usize::MAX, Waker::noop()) {
        Poll::Ready(departures) => departures,
        Poll::Pending => Vec::new(),
    }
}

/// Admits what has opened, and returns the rest in short words.
fn link(hub: &Hub) -> Vec<String> {
    let rest = departures(hub).into_iter().filter_map(|departure| match departure {
        RelayEvent::RoomOpened(room) => {
            hub.confirm_joins(&room);
            None
        }
        RelayEvent::Frame { key, frame, messages } => {
            let text = String::from_utf8(frame.bytes().to_vec()).expect("words are text");
            Some(format!("{}: {text} ({messages})", key.topic))
        }
        RelayEvent::PresenceChanged(room) => Some(format!("{} has news", room.topic())),
        RelayEvent::RoomClosed { key, final_snapshot } => {
            Some(format!("{} closed{}", key.topic, if final_snapshot.is_some() { ", tell them" } else { "" }))
        }
    });
    rest.collect()
}

fn room(hub: &Hub) -> Arc<Room> {
    hub.room(&key("a")).expect("it has members")
}

fn entry(meta: &str) -> PresenceEntry {
    PresenceEntry { key: "k".into(), meta: meta.into() }
}

fn state(position: (u64, u64), metas: &[(u64, &str)]) -> Snapshot {
    let (epoch, seq) = position;
    let entries = metas.iter().map(|(id, meta)| (*id, entry(meta))).collect();
    Snapshot { position: Position { epoch, seq }, entries }
}

#[test]
fn a_hub_that_is_alone_has_no_departures_and_nobody_waits() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(ann.words(), ["ok"]);
    say(&member, &Say::new("hi"), Audience::Everyone);
    drop(member);
    assert!(departures(&hub).is_empty());
    assert_eq!(hub.relay_dropped(), 0);
}

#[test]
fn the_first_members_wait_until_their_room_is_admitted() {
    let hub = relayed();
    let (ann, bob, eve) = (Reader::new(PLAIN, 8), Reader::new(LOUD, 8), Reader::new(PLAIN, 8));
    let first = hub.join(key("a"), ann.member(), &Frame::concat(&[frame("ok"), frame(" ann")]));
    let _second = hub.join(key("a"), bob.member(), &frame("ok bob"));
    assert_eq!(say(&first, &Say::new("early"), Audience::Everyone), Delivery::default());
    hub.deliver(&key("a"), [Say::new("early too")]);
    assert!(ann.words().is_empty() && bob.words().is_empty());

    assert_eq!(link(&hub), ["a: early. (1)"], "who waits is heard elsewhere");
    assert_eq!((ann.words(), bob.words()), (vec!["ok ann".to_owned()], vec!["ok bob".to_owned()]));
    let _third = hub.join(key("a"), eve.member(), &frame("ok eve"));
    assert_eq!(eve.words(), ["ok eve"], "the room is open");
    say(&first, &Say::new("hi"), Audience::Others);
    assert_eq!((bob.words(), eve.words()), (vec!["HI".to_owned()], vec!["hi".to_owned()]));
    hub.confirm_joins(&room(&hub));
    assert!(ann.words().is_empty(), "once is enough");
}

#[test]
fn who_has_waited_too_long_is_in_whatever_the_link_does() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    let opened_at = room(&hub).opened_at();
    hub.confirm_joins_before(opened_at - Duration::from_nanos(1));
    assert!(ann.words().is_empty());
    hub.confirm_joins_before(opened_at);
    assert_eq!(ann.words(), ["ok"]);
    assert!(
        matches!(&departures(&hub)[..], [RelayEvent::RoomOpened(_)]),
        "the link hears of it all the same"
    );
}

#[test]
fn a_connection_that_waits_for_one_room_goes_on_in_another() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let open = hub.join(key("a"), ann.member(), &frame("ok a"));
    link(&hub);
    let _waiting = hub.join(key("b"), ann.member(), &frame("ok b"));
    say(&open, &Say::new("hi"), Audience::Everyone);
    assert_eq!(ann.words(), ["ok a", "hi"]);
    link(&hub);
    assert_eq!(ann.words(), ["ok b"]);
}

#[test]
fn who_leaves_while_waiting_is_simply_gone() {
    let (hub, ann, bob) = (relayed(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let leaving = hub.join(key("a"), ann.member(), &frame("ok"));
    let _staying = hub.join(key("a"), bob.member(), &frame("ok"));
    drop(leaving);
    link(&hub);
    assert!(ann.words().is_empty());
    assert_eq!(bob.words(), ["ok"]);

    drop(hub.join(key("b"), ann.member(), &frame("ok")));
    assert!(departures(&hub).is_empty(), "the link need not hear of a room that is gone already");
    assert_eq!(hub.population().rooms, 1);
}

#[test]
fn those_who_wait_are_shown_the_state_when_they_are_in() {
    let hub = relayed();
    let mut ann = Client::join(&hub, 8);
    ann.track(1);
    announce(&hub);
    hub.apply_presence(&room(&hub), ELSEWHERE, state((1, 1), &[(1, "far")]));
    assert!(ann.reader.words().is_empty());
    assert_eq!(link(&hub), ["a has news"]);
    announce(&hub);
    assert_eq!(ann.reader.words(), ["ok", "=+r1+far"]);
}

#[test]
fn a_room_is_told_of_when_it_opens_and_when_it_closes() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert!(matches!(&departures(&hub)[..], [RelayEvent::RoomOpened(room)] if **room.key() == key("a")));
    assert_eq!(hub.rooms().len(), 1);
    drop(member);
    assert_eq!(link(&hub), ["a closed"]);

    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    link(&hub);
    member.track(entry("x"));
    assert_eq!(link(&hub), ["a has news"]);
    drop(member);
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(link(&hub), ["a closed, tell them"]);
    assert!(ann.words().ends_with(&["ok".to_owned()]), "the new room was opened after the old one closed");
    drop(member);
}

#[test]
fn whoever_departs_first_is_heard_first() {
    const MESSAGES: usize = 1_000;
    let bounds = Bounds { frames: u32::MAX, bytes: usize::MAX };
    let (hub, reader) = (Hub::relayed(Duration::ZERO, bounds), Reader::new(PLAIN, u32::MAX));
    let _listener = hub.join(key("a"), reader.member(), &frame("ok"));
    link(&hub);
    thread::scope(|scope| {
        for sender in ["x", "y"] {
            let hub = &hub;
            scope.spawn(move || {
                let own = Reader::new(PLAIN, 1);
                let member = hub.join(key("a"), own.member(), &frame("ok"));
                for number in 0..MESSAGES {
                    say(&member, &Say::new(&format!("{sender}{number}")), Audience::Others);
                }
            });
        }
    });
    let heard: Vec<String> = reader.words()[1..].iter().map(|word| format!("a: {word}. (1)")).collect();
    assert_eq!(heard.len(), 2 * MESSAGES);
    assert_eq!(link(&hub), heard);
}

#[test]
fn what_is_sent_from_outside_departs_even_if_nobody_is_here() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    assert_eq!(hub.publish(&key("a"), &Say::new("x")), Delivery::default());
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(link(&hub), ["a: x. (1)"]);
    assert_eq!(hub.publish(&key("a"), &Say::new("y")).delivered, 1);
    assert_eq!(link(&hub), ["a: y. (1)"]);
}

#[test]
fn a_member_alone_in_its_room_is_encoded_for_the_others_only() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    link(&hub);
    let word = Say::new("hi");
    say(&member, &word, Audience::Others);
    assert_eq!(word.encoded.get(), 1);
    assert_eq!(link(&hub), ["a: hi. (1)"]);
}

#[test]
fn a_bundle_departs_as_one_frame_and_arrives_as_one() {
    let (hub, ann, bob) = (relayed(), Reader::new(PLAIN, 8), Reader::new(LOUD, 2));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow = hub.join(key("a"), bob.member(), &frame("ok"));
    link(&hub);
    let mut bundle = Bundle::default();
    for word in ["x", "y", "z"] {
        member.gather(&Say::new(word), Audience::Others, &mut bundle);
    }
    member.publish(bundle, Audience::Others);
    assert_eq!(link(&hub), ["a: x.y.z. (3)"]);

    let words = ["u", "v"].map(Say::new);
    let told =
        hub.deliver(&key("a"), words.each_ref().map(|word| Say { word: word.word, encoded: 0.into() }));
    assert_eq!(told, Delivery { delivered: 1, dropped: 1 });
    assert_eq!(
        (ann.words(), bob.words()),
        (vec!["ok".into(), "uv".into()], vec!["OK".to_lowercase(), "XYZ".into()])
    );
    assert_eq!(slow.take_missed().broadcasts, 2);
    assert!(link(&hub).is_empty(), "what arrives does not depart again");
    assert_eq!(hub.deliver(&key("nobody"), [Say::new("hi")]), Delivery::default());
}

#[test]
fn what_does_not_fit_is_dropped_for_the_others_alone_and_counted() {
    let hub = Hub::relayed(Duration::ZERO, Bounds { frames: 2, bytes: 100 });
    let (ann, bob) = (Reader::new(PLAIN, 80), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    link(&hub);
    let dropped: usize =
        ["1", "2", "3"].map(|word| say(&member, &Say::new(word), Audience::Others).dropped).iter().sum();
    member.track(entry("x"));
    let _other = hub.join(key("b"), ann.member(), &frame("ok"));
    assert_eq!((dropped, hub.relay_dropped()), (0, 1));
    assert_eq!(bob.words(), ["ok", "1", "2", "3"]);
    assert_eq!(link(&hub), ["a: 1. (1)", "a: 2. (1)", "a has news"]);

    let long = "x".repeat(200);
    say(&member, &Say::new(&long), Audience::Others);
    say(&member, &Say::new("4"), Audience::Others);
    assert_eq!(hub.relay_dropped(), 2, "the bytes are full");
    assert_eq!(link(&hub), [format!("a: {long}. (1)")], "one always fits");
}

#[test]
fn nothing_is_kept_or_encoded_for_others_who_cannot_be_reached() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    link(&hub);
    say(&member, &Say::new("before"), Audience::Others);
    hub.pause_relay();
    let word = Say::new("during");
    say(&member, &word, Audience::Others);
    hub.publish(&key("b"), &word);
    assert_eq!((word.encoded.get(), hub.relay_dropped()), (0, 3));
    member.track(entry("x"));
    assert_eq!(link(&hub), ["a has news"], "it is the link's to make good");
    hub.resume_relay();
    say(&member, &Say::new("after"), Audience::Others);
    assert_eq!(link(&hub), ["a: after. (1)"]);
}

#[test]
fn news_are_listed_once_and_hold_what_has_changed() {
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
    assert_eq!(link(&hub), ["a has news"]);
    let first = room.take_delta().expect("there are some");
    let metas: Vec<_> = first.added.iter().map(|(_id, entry)| &*entry.meta).collect();
    assert_eq!((metas, first.removed.len(), first.from), (vec!["ann 49"], 0, 0));
    assert_eq!(room.take_delta(), None);

    bob.track(entry("bob"));
    bob.untrack();
    link(&hub);
    assert_eq!(room.take_delta(), None, "what came and went is nobody's business");
    ann.track(entry("ann"));
    assert_eq!(link(&hub), ["a has news"]);
    let second = room.take_delta().expect("an update");
    assert_eq!((second.from, second.added.len(), second.removed), (first.to, 1, vec![first.added[0].0]));
    assert_eq!(room.local_snapshot().entries, second.added);
}

#[test]
fn what_somebody_was_told_outside_the_news_is_taken_back_in_the_news() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let room = room(&hub);
    member.track(entry("x"));
    let told = room.local_snapshot();
    member.untrack();
    let news = room.take_delta().expect("the one who was told has to hear of it");
    assert_eq!((news.added.len(), news.removed), (0, vec![told.entries[0].0]));
    assert!(news.from < told.position.seq && told.position.seq < news.to);
}

#[test]
fn what_is_said_of_a_closed_room_lies_between_its_epochs() {
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
fn statements_are_new_old_or_after_a_gap() {
    let hub = relayed();
    let ann = Client::join(&hub, 80);
    link(&hub);
    let room = room(&hub);
    let news = |epoch, from, to, added: &[(u64, &str)], removed: &[u64]| {
        let added = added.iter().map(|(id, meta)| (*id, entry(meta))).collect();
        hub.apply_presence(&room, ELSEWHERE, Delta { epoch, from, to, added, removed: removed.to_vec() })
    };
    let told = || {
        announce(&hub);
        ann.reader.words().into_iter().filter(|word| !word.starts_with(['=', 'o'])).collect::<Vec<_>>()
    };
    assert_eq!(told(), [""; 0]);
    assert_eq!(news(2, 3, 4, &[(4, "d")], &[]), ApplyOutcome::Gap, "not from the beginning");
    assert_eq!(news(2, 0, 3, &[(1, "a"), (3, "c")], &[]), ApplyOutcome::Applied);
    assert_eq!(told(), ["+a+c"]);
    assert_eq!(news(2, 0, 3, &[(1, "a"), (3, "c")], &[]), ApplyOutcome::Old, "twice");
    assert_eq!(news(2, 4, 5, &[(5, "e")], &[]), ApplyOutcome::Gap);
    assert_eq!(news(2, 2, 4, &[(3, "c"), (4, "d")], &[1, 99]), ApplyOutcome::Applied, "overlapping");
    assert_eq!(told(), ["+d-a"]);
    assert_eq!(news(1, 0, 9, &[(9, "z")], &[]), ApplyOutcome::Old, "of an earlier life");
    assert_eq!(hub.apply_presence(&room, ELSEWHERE, state((2, 4), &[])), ApplyOutcome::Old);
    assert_eq!(
        hub.apply_presence(&room, ELSEWHERE, state((2, 9), &[(4, "d"), (9, "i")])),
        ApplyOutcome::Applied
    );
    assert_eq!(told(), ["+i-c"]);
    assert_eq!(news(3, 1, 2, &[], &[]), ApplyOutcome::Gap, "of a later life, not from its beginning");
    assert_eq!(hub.apply_presence(&room, ELSEWHERE, state((3, 1), &[(4, "D")])), ApplyOutcome::Applied);
    let mut words = told();
    assert!(matches!(words.pop().as_deref(), Some("+D-d-i" | "+D-i-d")), "an id means something else now");
    assert!(link(&hub).is_empty(), "nothing of it departs");
}

#[test]
fn a_node_that_is_gone_takes_along_what_it_showed_and_may_come_back() {
    let hub = relayed();
    let ann = Client::join(&hub, 80);
    link(&hub);
    let room = room(&hub);
    hub.apply_presence(&room, ELSEWHERE, state((1, 5), &[(1, "far")]));
    hub.apply_presence(&room, NodeId::new(8), state((1, 5), &[(1, "near")]));
    announce(&hub);
    ann.reader.words();
    let mut nodes = room.remote_nodes();
    nodes.sort();
    assert_eq!(nodes, [ELSEWHERE, NodeId::new(8)]);
    hub.remove_node(ELSEWHERE);
    hub.remove_node(NodeId::new(9));
    announce(&hub);
    assert_eq!((ann.reader.words(), room.remote_nodes()), (vec!["-far".to_owned()], vec![NodeId::new(8)]));
    assert_eq!(hub.apply_presence(&room, ELSEWHERE, state((1, 5), &[(1, "far")])), ApplyOutcome::Applied);
    announce(&hub);
    assert_eq!(ann.reader.words(), ["+far"]);

    hub.remove_node(ELSEWHERE);
    hub.apply_presence(&room, ELSEWHERE, state((1, 6), &[(1, "far"), (6, "new")]));
    announce(&hub);
    assert_eq!(ann.reader.words(), ["+new"], "a node that was away for a moment was not away");
}

#[test]
fn a_room_without_presence_remembers_nobody() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 8));
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    let room = room(&hub);
    assert_eq!(hub.apply_presence(&room, ELSEWHERE, state((1, 0), &[])), ApplyOutcome::Applied);
    assert!(room.remote_nodes().is_empty());
}

#[test]
fn how_long_changes_are_gathered_may_be_set_while_it_runs() {
    let hub = hub();
    let due_in = |seconds: u64| {
        hub.set_coalesce(Duration::from_secs(seconds));
        let mut ann = Client::join(&hub, 80);
        announce(&hub);
        ann.track(1);
        let Poll::Ready(rooms) = hub.poll_due(Waker::noop()) else { panic!("a change is listed") };
        rooms[0].0.saturating_duration_since(Instant::now())
    };
    assert_eq!(due_in(0), Duration::ZERO);
    assert!(due_in(100) > Duration::from_secs(90));
}
