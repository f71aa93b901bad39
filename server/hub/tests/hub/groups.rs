//! Delivery groups: members of one room receive different frames of one event, each encoded once.

use std::cell::RefCell;
use std::time::Duration;

use hub::{
    Audience, Bounds, Delivery, Dialect, EncodeByGroup, Frame, Group, Hub, HubBuilder, Member, Membership,
};

use crate::{LOUD, PLAIN, Reader, Text, frame, hub, key, publish};

const FIRST: Group = Group::new(1);
const SECOND: Group = Group::new(2);

/// A row change that carries the ids of a group's subscriptions. The default group has none and receives
/// nothing.
#[derive(Default)]
struct Change {
    encoded: RefCell<Vec<(Dialect, Group)>>,
}

impl EncodeByGroup for Change {
    fn encode(&self, topic: &str, dialect: Dialect, group: Group) -> Option<Frame> {
        self.encoded.borrow_mut().push((dialect, group));
        let text = format!("{topic}: row for {}", group.get());
        match dialect {
            Dialect::RELAY => Some(frame("row")),
            _ if group == Group::DEFAULT => None,
            LOUD => Some(frame(&text.to_uppercase())),
            _ => Some(frame(&text)),
        }
    }
}

fn join(hub: &std::sync::Arc<Hub>, reader: &Reader, group: Group) -> Membership {
    hub.join(key("a"), Member { group, ..reader.member() }, &frame("ok"))
}

#[test]
fn two_groups_receive_different_frames_of_one_event_each_encoded_once() {
    let hub = hub();
    let readers: Vec<_> = (0..8).map(|i| Reader::new(if i < 6 { PLAIN } else { LOUD }, 8)).collect();
    let groups = [FIRST, FIRST, FIRST, SECOND, SECOND, Group::DEFAULT, FIRST, FIRST];
    let members: Vec<_> =
        readers.iter().zip(groups).map(|(reader, group)| join(&hub, reader, group)).collect();
    let change = Change::default();
    assert_eq!(hub.publish_by_group(&key("a"), &change), Delivery { delivered: 7, ..Delivery::default() });
    let mut encoded = change.encoded.take();
    encoded.sort();
    assert_eq!(encoded, [(PLAIN, Group::DEFAULT), (PLAIN, FIRST), (PLAIN, SECOND), (LOUD, FIRST)]);
    let texts: Vec<_> = readers.iter().map(|reader| reader.texts()[1..].join(", ")).collect();
    let [first, second, loud] = ["a: row for 1", "a: row for 2", "A: ROW FOR 1"];
    assert_eq!(texts, [first, first, first, second, second, "", loud, loud]);

    let event = Text::new("hi");
    publish(&members[0], &event, Audience::Others);
    assert_eq!(event.encoded.get(), 2, "a broadcast is the same for all groups");
    assert_eq!((readers[3].texts(), readers[5].texts()), (vec!["hi".to_owned()], vec!["hi".to_owned()]));
}

#[test]
fn nothing_is_encoded_for_groups_without_members() {
    let (hub, reader) = (hub(), Reader::new(PLAIN, 8));
    let first = join(&hub, &reader, FIRST);
    let second = join(&hub, &reader, SECOND);
    drop(first);
    let change = Change::default();
    hub.publish_by_group(&key("a"), &change);
    assert_eq!(change.encoded.take(), [(PLAIN, SECOND)]);
    drop(second);
    assert_eq!(hub.publish_by_group(&key("a"), &change), Delivery::default());
    assert!(change.encoded.take().is_empty());
}

#[test]
fn an_event_encoded_by_group_reaches_observers_and_full_outboxes_are_counted() {
    let bounds = Bounds { frames: 10, bytes: 1_000 };
    let hub = HubBuilder::new(Duration::ZERO).relayed(bounds).build();
    let (ann, slow) = (Reader::new(PLAIN, 8), Reader::new(PLAIN, 1));
    let _first = join(&hub, &ann, FIRST);
    let second = join(&hub, &slow, SECOND);
    crate::relay::link(&hub);
    assert_eq!(
        hub.publish_by_group(&key("a"), &Change::default()),
        Delivery { delivered: 1, dropped: 1, evicted: 0, unrelayed: 0 }
    );
    hub.publish_by_group(&key("elsewhere"), &Change::default());
    assert_eq!(crate::relay::link(&hub), ["a: row (1)", "elsewhere: row (1)"]);
    assert_eq!(second.take_missed().broadcasts, 1);
}
