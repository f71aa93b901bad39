//! Messages for the other nodes: their order, their bounds, and those that tenants have.

use std::thread;
use std::time::Duration;

use hub::{Audience, Bounds, Bundle, Delivery, HubBuilder, RoomEvent, RoomKey};

use super::{EVERYTHING, entry, link, relay_events, relayed, some_relay_events};
use crate::{LOUD, PLAIN, Reader, Text, frame, key, publish};

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
