//! A hub with a relay: what it reports to the link, what is delivered to it, and which joins are pending.

mod messages;
mod replication;

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hub::{
    Audience, Bounds, Delivery, Frame, Hub, HubBuilder, NodeId, Position, PresenceEntry, Room, RoomEvent,
    Snapshot,
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
        RoomEvent::Published { key, frame, messages, .. } => {
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
