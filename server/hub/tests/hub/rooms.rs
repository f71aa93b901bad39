//! Joining, publishing, leaving.

use std::thread;

use hub::{Audience, Delivery, Dialect, Privacy, ReplaceKey};

use crate::{LOUD, PLAIN, Reader, Text, frame, hub, key, publish};

#[test]
fn members_receive_an_event_in_their_own_dialect_and_each_is_encoded_once() {
    let hub = hub();
    let readers: Vec<_> = (0..10).map(|i| Reader::new(if i < 5 { PLAIN } else { LOUD }, 8)).collect();
    let members: Vec<_> = readers.iter().map(|r| hub.join(key("a"), r.member(), &frame("ok"))).collect();
    let event = Text::new("hi");
    assert_eq!(
        publish(&members[0], &event, Audience::Others),
        Delivery { delivered: 9, ..Delivery::default() }
    );
    assert_eq!(event.encoded.get(), 2);
    assert_eq!(readers[0].texts(), ["ok"]);
    assert_eq!(readers[1].texts(), ["ok", "hi"]);
    assert_eq!(readers[9].texts(), ["ok", "HI"]);
}

#[test]
fn nothing_is_encoded_when_no_other_member_is_there() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let event = Text::new("hi");
    publish(&member, &event, Audience::Others);
    assert_eq!(event.encoded.get(), 0);
    assert_eq!(publish(&member, &event, Audience::Everyone).delivered, 1);
}

#[test]
fn members_of_a_dialect_that_cannot_express_an_event_receive_nothing() {
    let (hub, ann, silent) = (hub(), Reader::new(PLAIN, 8), Reader::new(Dialect::new(2), 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let _silent = hub.join(key("a"), silent.member(), &frame("ok"));
    assert_eq!(publish(&member, &Text::new("hi"), Audience::Others), Delivery::default());
    assert_eq!(silent.texts(), ["ok"]);
}

#[test]
fn a_member_that_receives_no_broadcasts_receives_what_is_published_by_group() {
    let (hub, ann, deaf) = (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let without = hub::Member { receives: hub::Receives::NoBroadcasts, ..deaf.member() };
    let without = hub.join(key("a"), without, &frame("ok"));
    assert_eq!(publish(&member, &Text::new("hi"), Audience::Others), Delivery::default());
    assert_eq!(hub.publish(&key("a"), &Text::new("hi")).delivered, 1);
    without.set_receives(hub::Receives::Everything);
    assert_eq!(publish(&member, &Text::new("allowed"), Audience::Others).delivered, 1);
    assert_eq!(deaf.texts(), ["ok", "allowed"]);
}

#[test]
fn tenants_and_privacies_with_one_topic_are_different_rooms() {
    let (hub, ann, bob, eve) = (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let private = hub::RoomKey { privacy: Privacy::Private, ..key("a") };
    let other = hub::RoomKey { tenant: "u".into(), ..key("a") };
    let _bob = hub.join(private, bob.member(), &frame("ok"));
    let _eve = hub.join(other, eve.member(), &frame("ok"));
    assert_eq!(publish(&member, &Text::new("hi"), Audience::Everyone).delivered, 1);
    assert_eq!((bob.texts(), eve.texts()), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
}

#[test]
fn a_room_opens_with_its_first_member_and_closes_with_its_last() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let first = hub.join(key("a"), ann.member(), &frame("ok"));
    let second = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!((hub.population().rooms, hub.population().members), (1, 2));
    drop(first);
    assert_eq!(hub.publish(&key("a"), &Text::new("hi")).delivered, 1);
    drop(second);
    assert_eq!((hub.population().rooms, hub.population().members), (0, 0));
    assert_eq!(hub.publish(&key("a"), &Text::new("hi")).delivered, 0);
}

#[test]
fn only_the_slow_reader_misses_messages() {
    let (hub, ann, slow, bob) =
        (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 3), Reader::new(PLAIN, 100));
    let publisher = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow_member = hub.join(key("a"), slow.member(), &frame("ok"));
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    let dropped: usize =
        (0..10).map(|_| publish(&publisher, &Text::new("hi"), Audience::Others).dropped).sum();
    assert_eq!(dropped, 8, "the reply and two messages fit");
    assert_eq!(bob.texts().len(), 11);
    let (texts, caught_up) = slow.read();
    assert_eq!((texts.len(), caught_up), (3, true));
    assert_eq!(slow_member.take_missed().broadcasts, 8);
    assert_eq!(slow_member.take_missed().broadcasts, 0, "the number is taken");
}

#[test]
fn order_holds_per_sender_while_members_come_and_go() {
    const MESSAGES: usize = 2_000;
    let (hub, reader) = (hub(), Reader::new(PLAIN, u32::MAX));
    let listener = hub.join(key("a"), reader.member(), &frame("ok"));
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
        scope.spawn(|| {
            let visitor = Reader::new(LOUD, 1);
            for _ in 0..MESSAGES {
                drop(hub.join(key("a"), visitor.member(), &frame("ok")));
            }
        });
    });
    let texts = reader.texts();
    for sender in ["x", "y"] {
        let received: Vec<usize> =
            texts.iter().filter_map(|text| text.strip_prefix(sender)?.parse().ok()).collect();
        assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>());
    }
    drop(listener);
    assert_eq!((hub.population().rooms, hub.population().members), (0, 0));
}

#[test]
fn a_bundle_is_delivered_in_order_as_one_frame() {
    let (hub, ann, bob, eve) = (hub(), Reader::new(PLAIN, 8), Reader::new(LOUD, 1), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow = hub.join(key("a"), bob.member(), &frame("ok"));
    let _eve = hub.join(key("a"), eve.member(), &frame("ok"));
    let mut bundle = hub::Bundle::default();
    for text in ["x", "y", "z"] {
        member.gather(&Text::new(text), Audience::Others, &mut bundle);
    }
    assert_eq!(bundle.messages(), 3);
    assert_eq!(
        member.publish(bundle, Audience::Others),
        Delivery { delivered: 1, dropped: 1, evicted: 0, unrelayed: 0 }
    );
    assert_eq!(eve.texts(), ["ok", "xyz"]);
    assert_eq!(slow.take_missed().broadcasts, 3, "counted as messages");
}

#[test]
fn a_slow_reader_receives_the_newest_replaceable_entries_in_order_with_the_messages_of_its_rooms() {
    let (hub, ann, slow) = (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 5));
    let publisher = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow_member = hub.join(key("a"), slow.member(), &frame("ok"));
    let cursor =
        |id: u64, text: &str| slow.outbox.offer_replaceable(ReplaceKey { scope: 1, id }, &frame(text));
    for number in 1..=3 {
        cursor(1, &format!("first at {number}"));
        publish(&publisher, &Text::new(&number.to_string()), Audience::Others);
    }
    assert_eq!(slow.texts(), ["ok", "first at 3", "1", "2", "3"]);

    for number in 1..=9 {
        cursor(1, &format!("first at {number}"));
        cursor(2, &format!("second at {number}"));
    }
    let deliveries =
        ["4", "5", "6", "7", "8", "9"].map(|text| publish(&publisher, &Text::new(text), Audience::Others));
    for delivery in &deliveries[3..5] {
        let expected = Delivery { delivered: 1, dropped: 0, evicted: 1, unrelayed: 0 };
        assert_eq!(*delivery, expected, "the cursors are dropped first, one for each");
    }
    assert_eq!(deliveries[5], Delivery { delivered: 0, dropped: 1, evicted: 0, unrelayed: 0 });
    assert_eq!(slow.read(), (["4", "5", "6", "7", "8"].map(str::to_owned).to_vec(), true));
    assert_eq!(slow_member.take_missed().broadcasts, 1);
}

#[test]
fn entries_evicted_by_a_bundle_are_counted_one_by_one() {
    let (hub, ann, slow) = (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 3));
    let publisher = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow_member = hub.join(key("a"), slow.member(), &frame("ok"));
    for id in 1..=2 {
        slow.outbox.offer_replaceable(ReplaceKey { scope: 1, id }, &frame("cursor"));
    }
    let publish_two = || {
        let mut bundle = hub::Bundle::default();
        for text in ["x", "y"] {
            publisher.gather(&Text::new(text), Audience::Others, &mut bundle);
        }
        (bundle.messages(), publisher.publish(bundle, Audience::Others))
    };
    let deliveries = [publish_two(), publish_two(), publish_two()];
    let expected = [
        Delivery { delivered: 1, dropped: 0, evicted: 1, unrelayed: 0 },
        Delivery { delivered: 1, dropped: 0, evicted: 1, unrelayed: 0 },
        Delivery { delivered: 0, dropped: 1, evicted: 0, unrelayed: 0 },
    ];
    assert_eq!(deliveries, expected.map(|delivery| (2, delivery)));
    assert_eq!(slow_member.take_missed().broadcasts, 2, "counted as messages");
}
