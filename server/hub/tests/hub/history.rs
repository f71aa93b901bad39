//! What rooms keep of their messages: in which order, within which bounds, and at whose expense.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hub::{
    Audience, Bundle, Dialect, Encode, Frame, History, HistoryBounds, HistoryQuery, Hub, Keep, Membership,
    MemoryBudget, MemoryKind, RoomEvent, TenantMemory,
};
use proptest::prelude::*;

use crate::relay::{relay_events, relayed};
use crate::{PLAIN, Reader, Text, frame, hub, key};

const BOUNDS: HistoryBounds = HistoryBounds { messages: 5, bytes: 1_000, age: Duration::from_secs(60) };
const ALL: HistoryQuery = HistoryQuery { since: None, after: Vec::new(), limit: usize::MAX };

fn history() -> Arc<History> {
    bounded(&TenantMemory::unlimited())
}

fn bounded(memory: &Arc<TenantMemory>) -> Arc<History> {
    let history = History::new(memory);
    history.set_bounds(Some(BOUNDS));
    history
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

fn keep(history: &Arc<History>, id: u128) -> Keep<'_> {
    Keep { history, id, sent_at: now(), encode: encode_kept }
}

/// A message in another dialect, from its text with a full stop.
pub(crate) fn encode_kept(kept: &Frame, topic: &str, dialect: Dialect) -> Option<Frame> {
    let text = std::str::from_utf8(kept.bytes()).expect("frames are text");
    Text::new(text.strip_suffix('.').expect("it is one of the relay")).encode(topic, dialect)
}

/// Publishes from outside the room. The message is kept as its text with a full stop.
fn publish(hub: &Hub, history: &Arc<History>, room: &str, id: u128) {
    let text = id.to_string();
    hub.publish_kept(&key(room), &Text::new(&text), keep(history, id));
}

fn publish_all(hub: &Hub, history: &Arc<History>, room: &str, ids: impl IntoIterator<Item = u128>) {
    ids.into_iter().for_each(|id| publish(hub, history, room, id));
}

/// The ids of what is read, and whether it is complete.
fn read(history: &History, room: &str, query: HistoryQuery) -> (Vec<u128>, bool) {
    let read = history.read(&key(room), &query);
    (read.messages.iter().map(|message| message.id).collect(), read.is_complete)
}

fn ids(history: &History, room: &str) -> Vec<u128> {
    read(history, room, ALL).0
}

#[test]
fn messages_are_kept_in_the_order_in_which_members_receive_them() {
    const MESSAGES: u128 = 500;
    let (hub, history, reader) = (hub(), history(), Reader::new(PLAIN, u32::MAX));
    history.set_bounds(Some(HistoryBounds { messages: 10_000, bytes: 1 << 20, ..BOUNDS }));
    let _listener = hub.join(key("a"), reader.member(), &frame("ok"));
    thread::scope(|scope| {
        for sender in [0, 1 << 32] {
            let (hub, history) = (&hub, &history);
            scope.spawn(move || {
                let own = Reader::new(PLAIN, 1);
                let member = hub.join(key("a"), own.member(), &frame("ok"));
                for id in sender..sender + MESSAGES {
                    publish_as(&member, history, id);
                }
            });
        }
    });
    let received: Vec<u128> = reader.texts()[1..].iter().map(|text| text.parse().expect("an id")).collect();
    assert_eq!(received.len(), 2 * MESSAGES as usize);
    assert_eq!(ids(&history, "a"), received);
}

fn publish_as(member: &Membership, history: &Arc<History>, id: u128) {
    let mut bundle = Bundle::default();
    member.gather_kept(&Text::new(&id.to_string()), Audience::Others, &mut bundle, keep(history, id));
    member.publish(bundle, Audience::Others);
}

#[test]
fn the_messages_of_a_bundle_are_kept_one_by_one() {
    let (hub, history, ann) = (hub(), history(), Reader::new(PLAIN, 8));
    let member = hub.join(key("a"), ann.member(), &frame("ok"));
    let mut bundle = Bundle::default();
    for id in [1, 2] {
        member.gather_kept(&Text::new(&id.to_string()), Audience::Others, &mut bundle, keep(&history, id));
    }
    member.gather(&Text::new("not kept"), Audience::Others, &mut bundle);
    assert!(ids(&history, "a").is_empty(), "not before it is published");
    member.publish(bundle, Audience::Others);
    let messages = history.read(&key("a"), &ALL).messages;
    let texts: Vec<_> = messages.iter().map(|message| message.frame.bytes()).collect();
    assert_eq!(texts, [b"1.", b"2."]);
}

#[test]
fn what_is_kept_is_relayed_with_its_bounds() {
    let (hub, history) = (relayed(), history());
    hub.publish(&key("a"), &Text::new("x"));
    publish(&hub, &history, "a", 1);
    let kept: Vec<_> = relay_events(&hub)
        .iter()
        .map(|event| match event {
            RoomEvent::Published { frame, kept, .. } => (frame.bytes().to_vec(), *kept),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kept, [(b"x.".to_vec(), None), (b"1.".to_vec(), Some(BOUNDS))]);
}

#[test]
fn a_room_keeps_its_newest_messages_within_the_bounds() {
    let (hub, history) = (hub(), history());
    publish_all(&hub, &history, "a", 1..=9);
    publish(&hub, &history, "b", 1);
    assert_eq!(ids(&history, "a"), [5, 6, 7, 8, 9]);
    assert_eq!(ids(&history, "b"), [1]);
    history.set_bounds(Some(HistoryBounds { bytes: 4, ..BOUNDS }));
    publish(&hub, &history, "a", 10);
    assert_eq!(ids(&history, "a"), [10], "each of them has two or three bytes");
    assert_eq!(history.counts().messages, 2);
    history.set_bounds(None);
    publish(&hub, &history, "a", 11);
    assert_eq!((ids(&history, "a"), history.counts().messages), (vec![], 0));
}

#[test]
fn a_message_that_is_too_large_takes_what_is_before_it_along() {
    let (hub, history) = (hub(), history());
    publish_all(&hub, &history, "a", 1..=2);
    hub.publish_kept(&key("a"), &Text::new(&"x".repeat(1_000)), keep(&history, 3));
    publish(&hub, &history, "a", 4);
    assert_eq!(read(&history, "a", HistoryQuery { after: vec![2], ..ALL }), (vec![4], false));
    assert_eq!(history.counts().dropped, 1);
}

#[test]
fn a_reader_learns_whether_it_has_missed_anything() {
    let (hub, history) = (hub(), history());
    publish_all(&hub, &history, "a", 1..=7);
    let after = |id, limit| read(&history, "a", HistoryQuery { after: vec![id], limit, since: None });
    assert_eq!(after(7, 9), (vec![], true));
    assert_eq!(after(5, 2), (vec![6, 7], true));
    assert_eq!(after(4, 2), (vec![6, 7], false), "more than it asks for");
    assert_eq!(after(2, 9), (vec![3, 4, 5, 6, 7], false), "2 is not kept any more");
    let all_but =
        |ids: &[u128], limit| read(&history, "a", HistoryQuery { after: ids.to_vec(), limit, since: None });
    assert_eq!(all_but(&[6, 4], 9), (vec![5, 7], true), "5 was published by another node at the same time");
    assert_eq!(all_but(&[4, 6, 2, 99], 9), (vec![5, 7], true), "of those that are kept");
    assert_eq!(all_but(&[4, 6, 7], 9), (vec![], true), "5 may be older than what the reader names");
    assert_eq!(all_but(&[6, 4], 1), (vec![7], false));
    assert_eq!(all_but(&[6, 7, 99], 9), (vec![], true));
    assert_eq!(read(&history, "a", HistoryQuery { limit: 4, ..ALL }), (vec![4, 5, 6, 7], false));
    assert_eq!(read(&history, "b", HistoryQuery { after: vec![2], ..ALL }), (vec![], false));
    assert_eq!(read(&history, "b", ALL), (vec![], true));
}

#[test]
fn messages_are_read_since_a_time_and_dropped_at_their_age() {
    let (hub, history, memory) = (hub(), history(), TenantMemory::unlimited());
    let (now, clock) = (now(), AtomicU64::new(0));
    let publish = |history: &Arc<History>, room: &str, seconds_ago: u64| {
        let id = u128::from(clock.fetch_add(1, Ordering::Relaxed));
        let keep = Keep { history, id, sent_at: now - seconds_ago * 1_000, encode: encode_kept };
        hub.publish_kept(&key(room), &Text::new("x"), keep);
    };
    publish(&history, "a", 50);
    publish(&history, "a", 30);
    publish(&history, "a", 10);
    let since = |ago: u64| read(&history, "a", HistoryQuery { since: Some(now - ago * 1_000), ..ALL });
    assert_eq!((since(30), since(9)), ((vec![1, 2], true), (vec![], true)));

    let history = bounded(&memory);
    publish(&history, "a", 70);
    publish(&history, "b", 61);
    publish(&history, "a", 10);
    assert_eq!(ids(&history, "a"), [5], "also if it was not dropped yet");
    history.sweep(Duration::MAX);
    assert_eq!(history.counts().messages, 1);
    history.sweep(Duration::from_secs(5));
    assert_eq!((history.counts().messages, memory.used(MemoryKind::History)), (0, 0));
}

#[test]
fn the_oldest_messages_of_all_rooms_give_way_when_memory_is_used_up() {
    let memory = TenantMemory::new(&MemoryBudget::new(1 << 20, 50));
    let (hub, history) = (hub(), bounded(&memory));
    for room in 0..2_000 {
        publish(&hub, &history, &room.to_string(), 1);
    }
    let kept = history.counts();
    assert!(kept.messages > 100 && kept.dropped as usize == 2_000 - kept.messages, "{kept:?}");
    assert_eq!(memory.budget().refused(MemoryKind::History), kept.dropped);
    let oldest = 2_000 - kept.messages;
    assert_eq!(
        (ids(&history, &(oldest - 1).to_string()), ids(&history, &oldest.to_string())),
        (vec![], vec![1])
    );

    let used = memory.used(MemoryKind::History);
    let needed = memory.try_charge(MemoryKind::Receiving, used).expect("as much is free");
    history.sweep(Duration::MAX);
    let left = memory.used(MemoryKind::History);
    assert!(left < used, "{left} of {used}");
    assert!(memory.has_room_for(left - 4_096), "as much as is kept is free again");
    drop((needed, history));
    assert_eq!(memory.used(MemoryKind::History), 0);
}

proptest! {
    /// Whatever is published: each room keeps the newest messages without gaps and within the bounds, and what is charged
    /// is what is kept.
    #[test]
    fn each_room_keeps_its_newest_messages(
        steps in proptest::collection::vec((0..4_u8, 1..300_usize), 1..200),
        messages in 1..20_usize, bytes in 50..400_usize,
    ) {
        let memory = TenantMemory::unlimited();
        let (hub, history) = (hub(), bounded(&memory));
        history.set_bounds(Some(HistoryBounds { messages, bytes, ..BOUNDS }));
        let mut published: BTreeMap<String, Vec<(u128, usize)>> = BTreeMap::new();
        for (id, (room, length)) in (0..).zip(steps) {
            let room = room.to_string();
            hub.publish_kept(&key(&room), &Text::new(&"x".repeat(length)), keep(&history, id));
            published.entry(room).or_default().push((id, length + 1));
        }
        let mut kept_in_all = 0;
        for (room, published) in &published {
            let mut left = bytes;
            let fits = |(_, length): &&(u128, usize)| left.checked_sub(*length).map(|rest| left = rest).is_some();
            let mut expected: Vec<_> = published.iter().rev().take(messages).take_while(fits).map(|(id, _)| *id).collect();
            expected.reverse();
            prop_assert_eq!(&ids(&history, room), &expected);
            kept_in_all += expected.len();
        }
        prop_assert_eq!(history.counts().messages, kept_in_all);
        let charged = memory.used(MemoryKind::History);
        prop_assert!(charged >= kept_in_all * 192, "{charged}");
        history.set_bounds(None);
        prop_assert_eq!(memory.used(MemoryKind::History), 0);
    }
}
