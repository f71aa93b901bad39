//! Observers: each receives what it is interested in, within its bounds, and what none wants costs nothing.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hub::{Audience, Bounds, HubBuilder, Interests, MESSAGE_BYTES, Observer, PresenceEntry, RoomEvent};

use crate::{PLAIN, Reader, Text, frame, key, publish};

const LARGE: Bounds = Bounds { frames: 1_000, bytes: 1_000_000 };
const ALL: Interests = Interests { rooms: true, members: true, messages: true, presence: true };
const MEMBERS: Interests = Interests { rooms: false, members: true, messages: false, presence: false };

fn taken(observer: &Observer) -> Vec<RoomEvent> {
    match observer.poll(LARGE, Waker::noop()) {
        Poll::Ready(events) => events,
        Poll::Pending => Vec::new(),
    }
}

fn texts(observer: &Observer) -> Vec<String> {
    let text = |event| match event {
        RoomEvent::RoomOpened(room) => format!("{} opened", room.topic()),
        RoomEvent::MemberJoined(key) => format!("{} joined", key.topic),
        RoomEvent::Published { key, frame, messages, .. } => {
            format!("{}: {} ({messages})", key.topic, String::from_utf8_lossy(frame.bytes()))
        }
        RoomEvent::PresenceChanged(room) => format!("{} changed", room.topic()),
        RoomEvent::MemberLeft(key) => format!("{} left", key.topic),
        RoomEvent::RoomClosed { key, .. } => format!("{} closed", key.topic),
    };
    taken(observer).into_iter().map(text).collect()
}

/// What an observer counts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    joins: u32,
    leaves: u32,
    messages: u32,
}

impl Counts {
    fn add(&mut self, observer: &Observer) {
        for event in taken(observer) {
            match event {
                RoomEvent::MemberJoined(_) => self.joins += 1,
                RoomEvent::MemberLeft(_) => self.leaves += 1,
                RoomEvent::Published { messages, .. } => self.messages += messages,
                RoomEvent::RoomOpened(_) | RoomEvent::PresenceChanged(_) | RoomEvent::RoomClosed { .. } => {}
            }
        }
    }
}

#[test]
fn an_observer_counts_beside_the_relay() {
    let mut builder = HubBuilder::new(Duration::ZERO).relayed(LARGE);
    let interests = Interests { members: true, messages: true, ..Interests::default() };
    let (observer, hub) = (builder.observe(interests, LARGE), builder.build());
    let (ann, bob) = (Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let first = hub.join(key("a"), ann.member(), &frame("ok"));
    let second = hub.join(key("a"), bob.member(), &frame("ok"));
    let event = Text::new("hi");
    publish(&first, &event, Audience::Others);
    assert_eq!(event.encoded.get(), 2, "once for the members, once for both observers");
    hub.publish(&key("a"), &Text::new("from outside"));
    hub.publish(&key("empty"), &Text::new("from outside"));
    hub.deliver(&key("a"), [Text::new("from another node")]);
    drop(second);
    let mut counts = Counts::default();
    counts.add(&observer);
    assert_eq!(counts, Counts { joins: 2, leaves: 1, messages: 3 });
    drop(first);
    counts.add(&observer);
    assert_eq!(counts.leaves, 2);

    let relayed = crate::relay::relay_events(&hub);
    let messages: u32 = relayed
        .iter()
        .map(|event| match event {
            RoomEvent::Published { messages, .. } => *messages,
            RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => panic!("the relay receives {event:?}"),
            _ => 0,
        })
        .sum();
    assert_eq!((messages, observer.dropped(), hub.relay_dropped()), (3, 0, 0));
}

#[test]
fn an_observer_without_relay_sees_the_life_of_a_room_in_order() {
    let mut builder = HubBuilder::new(Duration::ZERO);
    let (observer, hub) = (builder.observe(ALL, LARGE), builder.build());
    let ann = Reader::new(PLAIN, 8);
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!(ann.texts(), ["ok"], "joins are pending for a relay only");
    publish(&member, &Text::new("hi"), Audience::Everyone);
    member.track(PresenceEntry { key: "k".into(), meta: "1".into() });
    member.track(PresenceEntry { key: "k".into(), meta: "2".into() });
    assert_eq!(texts(&observer), ["a opened", "a joined", "a: hi. (1)", "a changed"]);
    member.track(PresenceEntry { key: "k".into(), meta: "3".into() });
    assert_eq!(texts(&observer), ["a changed"]);
    drop(member);
    assert_eq!(texts(&observer), ["a left", "a closed"]);
    assert_eq!(observer.dropped(), 0);
}

#[test]
fn a_full_observer_is_counted_and_does_not_affect_the_sender() {
    let mut builder = HubBuilder::new(Duration::ZERO);
    let small = builder.observe(ALL, Bounds { frames: 4, bytes: 1_000_000 });
    let narrow = builder.observe(ALL, Bounds { frames: 1_000, bytes: 12 + 7 * MESSAGE_BYTES });
    let (large, hub) = (builder.observe(ALL, LARGE), builder.build());
    let (ann, bob) = (Reader::new(PLAIN, 80), Reader::new(PLAIN, 80));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    let dropped: usize =
        (0..3).map(|_| publish(&member, &Text::new("12345"), Audience::Others).dropped).sum();
    assert_eq!((dropped, bob.texts().len()), (0, 4));
    drop(member);
    assert_eq!(texts(&small), ["a opened", "a joined", "a joined"]);
    assert_eq!(texts(&narrow), ["a opened", "a joined", "a joined", "a: 12345. (1)", "a left"]);
    assert_eq!(texts(&large).len(), 7);
    assert_eq!([small.dropped(), narrow.dropped(), large.dropped()], [4, 2, 0]);
}

#[test]
fn what_no_observer_wants_is_not_encoded() {
    let mut builder = HubBuilder::new(Duration::ZERO);
    let (members, hub) = (builder.observe(MEMBERS, LARGE), builder.build());
    let ann = Reader::new(PLAIN, 8);
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let event = Text::new("hi");
    publish(&member, &event, Audience::Others);
    hub.publish(&key("empty"), &event);
    assert_eq!(event.encoded.get(), 0);
    drop(member);
    assert_eq!(texts(&members), ["a joined", "a left"]);
    assert_eq!(members.dropped(), 0, "messages that it does not want are not counted");
}

#[test]
fn a_paused_observer_keeps_and_encodes_nothing_while_another_receives() {
    let mut builder = HubBuilder::new(Duration::ZERO);
    let paused = builder.observe(ALL, LARGE);
    let (other, hub) = (builder.observe(ALL, LARGE), builder.build());
    let ann = Reader::new(PLAIN, 8);
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    paused.pause();
    let event = Text::new("hi");
    publish(&member, &event, Audience::Others);
    assert_eq!(event.encoded.get(), 1, "for the other observer");
    other.pause();
    publish(&member, &event, Audience::Others);
    assert_eq!(event.encoded.get(), 1);
    assert_eq!((texts(&paused), paused.dropped()), (vec!["a opened".to_owned()], 3));
    assert_eq!((texts(&other), other.dropped()), (vec!["a opened".to_owned()], 3));
    paused.resume();
    drop(member);
    assert_eq!(texts(&paused), ["a left", "a closed"]);
}

#[test]
fn an_observer_waits_with_a_waker() {
    struct Flag(std::sync::atomic::AtomicBool);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let mut builder = HubBuilder::new(Duration::ZERO);
    let (observer, hub) = (builder.observe(MEMBERS, LARGE), builder.build());
    let flag = Arc::new(Flag(false.into()));
    assert!(observer.poll(LARGE, &Waker::from(Arc::clone(&flag))).is_pending());
    let ann = Reader::new(PLAIN, 8);
    let _member = hub.join(key("a"), ann.member(), &frame("ok"));
    assert!(flag.0.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(texts(&observer), ["a joined"]);
}
