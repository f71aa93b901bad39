//! Turns, barriers and what is reported of dropped messages.

use std::collections::{HashMap, HashSet};

use futures_util::FutureExt;

use super::*;

const ALL: Bounds = Bounds { frames: u32::MAX, bytes: usize::MAX };

fn room(tenant: &str, number: usize) -> Channel {
    Channel::Room(format!("{tenant}:phoenix:public:{number}").into())
}

fn message(channel: Channel, text: &'static str) -> ReceivedMessage {
    ReceivedMessage { channel, message: Bytes::from_static(text.as_bytes()) }
}

/// The messages as text, and what has been dropped.
fn taken(inbox: &Inbox, max: Bounds) -> (Vec<String>, Vec<InboxOverflow>) {
    let arrivals = inbox.take(max).now_or_never().and_then(Result::ok).unwrap_or_default();
    let (mut texts, mut overflows) = (Vec::new(), Vec::new());
    for arrival in arrivals {
        match arrival {
            Arrival::Message(received) => {
                texts.push(String::from_utf8(received.message.to_vec()).expect("text"))
            }
            Arrival::Overflow(overflow) => overflows.push(overflow),
        }
    }
    (texts, overflows)
}

/// What is dropped of messages on these channels when none of them fits.
fn overflow(channels: impl IntoIterator<Item = Channel>) -> Vec<InboxOverflow> {
    let inbox = Inbox::new(Bounds { frames: 1, bytes: 1 });
    inbox.put(message(room("t", 0), ""));
    channels.into_iter().for_each(|channel| inbox.put(message(channel, "")));
    taken(&inbox, ALL).1
}

#[test]
fn an_overflow_names_the_rooms_in_which_messages_are_missing() {
    assert_eq!(overflow([]), []);
    let rooms = |numbers: &[usize]| {
        let names = numbers.iter().map(|number| match room("t", *number) {
            Channel::Room(name) => name,
            Channel::Nodes => unreachable!("a room"),
        });
        let rooms = TenantRooms::Only(names.collect::<HashSet<_>>());
        AffectedRooms::Of(HashMap::from([("t".into(), rooms)]))
    };
    let reported = overflow([room("t", 1), room("t", 2), room("t", 1)]);
    // The first is reported at the place where it was dropped, and the others after it.
    let expected = [
        InboxOverflow { messages: 1, rooms: rooms(&[1]) },
        InboxOverflow { messages: 2, rooms: rooms(&[1, 2]) },
    ];
    assert_eq!(reported, expected);
}

#[test]
fn an_overflow_in_many_rooms_of_a_tenant_concerns_no_other_tenant() {
    let others = room("other", 1);
    let channels = (0..2_000).map(|number| room("t", number)).chain([others.clone()]);
    let overflows = overflow(channels);
    let Some(AffectedRooms::Of(tenants)) = overflows.last().map(|overflow| &overflow.rooms) else {
        panic!("not all tenants are affected: {overflows:?}");
    };
    let Channel::Room(others) = others else { unreachable!("a room") };
    assert_eq!(tenants["t"], TenantRooms::All);
    assert_eq!(tenants["other"], TenantRooms::Only(HashSet::from([others])));
    let of_a_node = overflow([room("t", 1)].into_iter().chain((0..5_000).map(|_| Channel::Nodes)));
    assert_eq!(of_a_node.last().map(|overflow| &overflow.rooms), Some(&AffectedRooms::All));
}

#[test]
fn tenants_take_turns_and_one_that_sends_too_much_loses_its_own_messages() {
    let inbox = Inbox::new(Bounds { frames: 100, bytes: 1 << 20 });
    for _ in 0..1_000 {
        inbox.put(message(room("busy", 1), "busy"));
    }
    for _ in 0..10 {
        inbox.put(message(room("quiet", 1), "quiet"));
    }
    let (first, mut overflows) = taken(&inbox, Bounds { frames: 75, bytes: usize::MAX });
    assert_eq!(first.iter().filter(|text| *text == "quiet").count(), 10, "{first:?}");
    overflows.extend(taken(&inbox, ALL).1);
    assert_eq!(overflows.iter().map(|overflow| overflow.messages).sum::<u64>(), 950);
}

#[test]
fn a_message_to_all_nodes_is_taken_after_all_that_has_arrived_before_it() {
    let inbox = Inbox::new(Bounds { frames: 1_000, bytes: 1 << 20 });
    for _ in 0..200 {
        inbox.put(message(room("busy", 1), "before"));
    }
    inbox.put(message(room("quiet", 1), "before"));
    inbox.put(message(Channel::Nodes, "barrier"));
    inbox.put(message(room("quiet", 1), "after"));
    inbox.put(message(Channel::Nodes, "second barrier"));
    let (texts, _) = taken(&inbox, ALL);
    let position = |text: &str| texts.iter().position(|other| other == text).expect("taken");
    assert!(texts[..position("barrier")].iter().filter(|text| *text == "before").count() == 201, "{texts:?}");
    assert!(position("after") < 200, "a tenant with little to take does not wait for the others");
    assert!(position("after") < position("second barrier"));
}

#[test]
fn messages_to_all_nodes_have_room_while_a_tenant_fills_the_inbox() {
    let inbox = Inbox::new(Bounds { frames: 2, bytes: 64 });
    for _ in 0..10 {
        inbox.put(message(room("busy", 1), "busy"));
        inbox.put(message(Channel::Nodes, "n"));
    }
    let (texts, overflows) = taken(&inbox, ALL);
    assert_eq!(texts.iter().filter(|text| *text == "n").count(), 8, "an eighth of the bytes");
    assert!(overflows.iter().any(|overflow| overflow.rooms == AffectedRooms::All));
}
