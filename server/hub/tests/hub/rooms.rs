//! Joining, publishing, leaving.

use std::thread;

use hub::{Audience, Delivery, Dialect, Privacy, ReplaceKey};

use crate::{LOUD, PLAIN, Reader, Say, frame, hub, key, say};

#[test]
fn everyone_hears_it_in_their_own_dialect_and_it_is_encoded_once_for_each() {
    let hub = hub();
    let readers: Vec<_> = (0..10).map(|i| Reader::new(if i < 5 { PLAIN } else { LOUD }, 8)).collect();
    let members: Vec<_> = readers.iter().map(|r| hub.join(key("a"), r.member(), &frame("ok"))).collect();
    let word = Say::new("hi");
    assert_eq!(say(&members[0], &word, Audience::Others), Delivery { delivered: 9, dropped: 0 });
    assert_eq!(word.encoded.get(), 2);
    assert_eq!(readers[0].words(), ["ok"]);
    assert_eq!(readers[1].words(), ["ok", "hi"]);
    assert_eq!(readers[9].words(), ["ok", "HI"]);
}

#[test]
fn nobody_else_there_means_nothing_is_encoded() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let word = Say::new("hi");
    say(&member, &word, Audience::Others);
    assert_eq!(word.encoded.get(), 0);
    assert_eq!(say(&member, &word, Audience::Everyone).delivered, 1);
}

#[test]
fn a_dialect_without_words_for_it_hears_nothing() {
    let (hub, ann, mute) = (hub(), Reader::new(PLAIN, 8), Reader::new(Dialect::new(2), 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let _mute = hub.join(key("a"), mute.member(), &frame("ok"));
    assert_eq!(say(&member, &Say::new("hi"), Audience::Others), Delivery::default());
    assert_eq!(mute.words(), ["ok"]);
}

#[test]
fn tenants_and_privacies_with_one_topic_are_different_rooms() {
    let (hub, ann, bob, eve) = (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let private = hub::RoomKey { privacy: Privacy::Private, ..key("a") };
    let other = hub::RoomKey { tenant: "u".into(), ..key("a") };
    let _bob = hub.join(private, bob.member(), &frame("ok"));
    let _eve = hub.join(other, eve.member(), &frame("ok"));
    assert_eq!(say(&member, &Say::new("hi"), Audience::Everyone).delivered, 1);
    assert_eq!((bob.words(), eve.words()), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
}

#[test]
fn a_room_comes_with_its_first_member_and_goes_with_its_last() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let first = hub.join(key("a"), ann.member(), &frame("ok"));
    let second = hub.join(key("a"), ann.member(), &frame("ok"));
    assert_eq!((hub.population().rooms, hub.population().members), (1, 2));
    drop(first);
    assert_eq!(hub.publish(&key("a"), &Say::new("hi")).delivered, 1);
    drop(second);
    assert_eq!((hub.population().rooms, hub.population().members), (0, 0));
    assert_eq!(hub.publish(&key("a"), &Say::new("hi")).delivered, 0);
}

#[test]
fn a_slow_reader_misses_messages_and_nobody_else_does() {
    let (hub, ann, slow, bob) =
        (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 3), Reader::new(PLAIN, 100));
    let speaker = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow_member = hub.join(key("a"), slow.member(), &frame("ok"));
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    let dropped: usize = (0..10).map(|_| say(&speaker, &Say::new("hi"), Audience::Others).dropped).sum();
    assert_eq!(dropped, 8, "the reply and two messages fit");
    assert_eq!(bob.words().len(), 11);
    let (words, caught_up) = slow.read();
    assert_eq!((words.len(), caught_up), (3, true));
    assert_eq!(slow_member.take_missed().broadcasts, 8);
    assert_eq!(slow_member.take_missed().broadcasts, 0, "told once");
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
                    say(&member, &Say::new(&format!("{sender}{number}")), Audience::Others);
                }
            });
        }
        scope.spawn(|| {
            let guest = Reader::new(LOUD, 1);
            for _ in 0..MESSAGES {
                drop(hub.join(key("a"), guest.member(), &frame("ok")));
            }
        });
    });
    let words = reader.words();
    for sender in ["x", "y"] {
        let heard: Vec<usize> =
            words.iter().filter_map(|word| word.strip_prefix(sender)?.parse().ok()).collect();
        assert_eq!(heard, (0..MESSAGES).collect::<Vec<_>>());
    }
    drop(listener);
    assert_eq!((hub.population().rooms, hub.population().members), (0, 0));
}

#[test]
fn a_bundle_is_everything_in_order_as_one_frame() {
    let (hub, ann, bob, eve) = (hub(), Reader::new(PLAIN, 8), Reader::new(LOUD, 1), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow = hub.join(key("a"), bob.member(), &frame("ok"));
    let _eve = hub.join(key("a"), eve.member(), &frame("ok"));
    let mut bundle = hub::Bundle::default();
    for word in ["x", "y", "z"] {
        member.gather(&Say::new(word), Audience::Others, &mut bundle);
    }
    assert_eq!(bundle.messages(), 3);
    assert_eq!(member.publish(bundle, Audience::Others), Delivery { delivered: 1, dropped: 1 });
    assert_eq!(eve.words(), ["ok", "xyz"]);
    assert_eq!(slow.take_missed().broadcasts, 3, "counted as messages");
}

#[test]
fn a_slow_reader_receives_the_newest_replaceable_entries_in_order_with_the_messages_of_its_rooms() {
    let (hub, ann, slow) = (hub(), Reader::new(PLAIN, 8), Reader::new(PLAIN, 5));
    let speaker = hub.join(key("a"), ann.member(), &frame("ok"));
    let slow_member = hub.join(key("a"), slow.member(), &frame("ok"));
    let cursor =
        |id: u64, text: &str| slow.outbox.offer_replaceable(ReplaceKey { scope: 1, id }, &frame(text));
    for number in 1..=3 {
        cursor(1, &format!("first at {number}"));
        say(&speaker, &Say::new(&number.to_string()), Audience::Others);
    }
    assert_eq!(slow.words(), ["ok", "first at 3", "1", "2", "3"]);

    for number in 1..=9 {
        cursor(1, &format!("first at {number}"));
        cursor(2, &format!("second at {number}"));
    }
    let deliveries =
        ["4", "5", "6", "7", "8", "9"].map(|word| say(&speaker, &Say::new(word), Audience::Others));
    assert_eq!(deliveries[3], Delivery { delivered: 1, dropped: 2 }, "the cursors are dropped first");
    assert_eq!(deliveries[5], Delivery { delivered: 0, dropped: 1 });
    assert_eq!(slow.read(), (["4", "5", "6", "7", "8"].map(str::to_owned).to_vec(), true));
    assert_eq!(slow_member.take_missed().broadcasts, 1);
}
