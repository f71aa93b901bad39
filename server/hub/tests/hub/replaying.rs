//! Members that receive earlier messages before those of the room, and none twice.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hub::{
    Audience, Bundle, Dialect, Encode, Frame, History, HistoryBounds, HistoryQuery, Hub, Keep, Membership,
    MemoryBudget, MemoryKind, Receives, Repeats, Replayed, TenantMemory,
};

use crate::history::encode_kept;
use crate::relay::{relay_events, relayed};
use crate::{LOUD, PLAIN, Reader, Text, frame, hub, key};

/// An event with an id.
struct Numbered(u128);

impl Encode for Numbered {
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame> {
        Text::new(&format!("n{}", self.0)).encode(topic, dialect)
    }

    fn id(&self) -> Option<u128> {
        Some(self.0)
    }
}

/// Messages that may be published again.
fn repeating(ids: Vec<u128>) -> Replayed {
    Replayed { ids, repeats: Repeats::Possible { within: Duration::from_secs(60) } }
}

fn publish(hub: &Hub, ids: impl IntoIterator<Item = u128>) {
    for id in ids {
        hub.publish(&key("a"), &Numbered(id));
    }
}

#[test]
fn what_is_published_during_a_replay_follows_it_without_what_was_replayed() {
    let (hub, ann, bob) = (hub(), Reader::new(PLAIN, 100), Reader::new(LOUD, 100));
    let ann_in = hub.join_replaying(key("a"), ann.member());
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    publish(&hub, 1..=4);
    hub.publish(&key("a"), &Text::new("without an id"));
    assert!(ann.texts().is_empty(), "not even a reply");
    assert_eq!(bob.texts(), ["ok", "N1", "N2", "N3", "N4", "WITHOUT AN ID"]);
    ann_in.end_replay(&frame("replayed: 0, 2, 3, 9"), repeating(vec![9, 0, 3, 2]));
    publish(&hub, [3, 5, 9, 6]);
    assert_eq!(ann.texts(), ["replayed: 0, 2, 3, 9", "n1", "n4", "without an id", "n5", "n6"]);
    assert_eq!(ann_in.take_missed().broadcasts, 0);
}

#[test]
fn a_bundle_is_delivered_without_the_messages_that_were_replayed() {
    let (hub, ann, bob) = (hub(), Reader::new(PLAIN, 100), Reader::new(PLAIN, 100));
    let ann_in = hub.join_replaying(key("a"), ann.member());
    let sender = hub.join(key("a"), bob.member(), &frame("ok"));
    let send = || {
        let mut bundle = Bundle::default();
        for text in ["a", "b"] {
            sender.gather(&Text::new(text), Audience::Others, &mut bundle);
        }
        [1, 2, 3].iter().for_each(|id| sender.gather(&Numbered(*id), Audience::Others, &mut bundle));
        sender.gather(&Text::new("c"), Audience::Others, &mut bundle);
        sender.publish(bundle, Audience::Others).delivered
    };
    assert_eq!(send(), 1);
    ann_in.end_replay(&frame("replayed: 2"), repeating(vec![2]));
    assert_eq!(ann.texts(), ["replayed: 2", "ab", "n1", "n3", "c"]);
    assert_eq!(send(), 1);
    assert_eq!(ann.texts(), ["ab", "n1", "n3", "c"]);
    publish(&hub, [2]);
    assert!(ann.texts().is_empty());
}

// The ids were kept, and looked up for each message, as long as the member stayed.
#[test]
fn what_was_replayed_is_forgotten_once_it_can_no_longer_be_published_again() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 100));
    let ann_in = hub.join_replaying(key("a"), ann.member());
    publish(&hub, [1]);
    let repeats = Repeats::Possible { within: Duration::ZERO };
    ann_in.end_replay(&frame("replayed: 1, 2"), Replayed { ids: vec![1, 2], repeats });
    publish(&hub, [2]);
    assert_eq!(ann.texts(), ["replayed: 1, 2", "n2"]);
}

#[test]
fn a_replay_and_what_a_member_may_receive_do_not_depend_on_each_other() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 100));
    let ann_in = hub.join_replaying(key("a"), ann.member());
    ann_in.set_receives(Receives::NoBroadcasts);
    publish(&hub, [1]);
    ann_in.set_receives(Receives::Everything);
    publish(&hub, [2]);
    ann_in.end_replay(&frame("ok"), repeating(vec![7]));
    ann_in.set_receives(Receives::Everything);
    publish(&hub, [7, 8]);
    assert_eq!(ann.texts(), ["ok", "n2", "n8"]);
    drop(ann_in);
    // Another member has the place of the first one, and nothing of its replay.
    let bob = Reader::new(PLAIN, 100);
    let _bob = hub.join(key("a"), bob.member(), &frame("ok"));
    publish(&hub, [7]);
    assert_eq!(bob.texts(), ["ok", "n7"]);
}

#[test]
fn what_waits_for_a_replay_is_bounded_and_what_does_not_fit_is_counted() {
    let (hub, ann) = (hub(), Reader::new(PLAIN, 8));
    let ann_in = hub.join_replaying(key("a"), ann.member());
    publish(&hub, 1..=6);
    ann_in.end_replay(&frame("ok"), repeating(Vec::new()));
    let (texts, has_caught_up) = ann.read();
    assert_eq!((&texts[..], has_caught_up), (&["ok", "n1", "n2", "n3", "n4"].map(String::from)[..], true));
    assert_eq!(ann_in.take_missed().broadcasts, 2);
    publish(&hub, [7]);
    assert_eq!(ann.texts(), ["n7"]);
}

#[test]
fn what_waits_is_charged_and_given_back_when_the_member_leaves() {
    let memory = TenantMemory::new(&MemoryBudget::new(100_000, 50));
    let bounds = hub::Bounds { frames: 1_000, bytes: 1_000_000 };
    let outbox = Arc::new(hub::Outbox::new(bounds, Arc::clone(&memory)));
    let member = hub::Member { outbox, ..Reader::new(PLAIN, 1).member() };
    let (hub, text) = (hub(), "x".repeat(1_000));
    let ann_in = hub.join_replaying(key("a"), member);
    for _ in 0..100 {
        hub.publish(&key("a"), &Text::new(&text));
    }
    assert!((10_000..50_000).contains(&memory.used(MemoryKind::Sending)), "as much as there is");
    assert!(memory.budget().refused(MemoryKind::Sending) > 0 && ann_in.take_missed().broadcasts > 0);
    drop(ann_in);
    assert_eq!(memory.used(MemoryKind::Sending), 0);
}

#[test]
fn a_replay_begins_when_the_join_is_confirmed() {
    let (hub, ann) = (relayed(), Reader::new(PLAIN, 100));
    let ann_in = hub.join_replaying(key("a"), ann.member());
    let mut confirmation = pin!(ann_in.confirmation());
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(confirmation.as_mut().poll(&mut context), Poll::Pending);
    hub.deliver(&key("a"), [Numbered(1)]);
    hub.confirm_joins(&hub.room(&key("a")).expect("it is open"));
    assert_eq!(confirmation.poll(&mut context), Poll::Ready(()));
    hub.deliver(&key("a"), [Numbered(2), Numbered(3)]);
    ann_in.end_replay(&frame("replayed: 1, 2"), repeating(vec![1, 2]));
    hub.deliver(&key("a"), [Numbered(2), Numbered(4)]);
    assert_eq!(ann.texts(), ["replayed: 1, 2", "n3", "n4"]);
    drop(relay_events(&hub));
}

// A message is encoded for the dialects of the members that there are, and kept when it is published. A member of another
// dialect that had joined and read in between missed it.
#[test]
fn a_member_that_joins_between_the_encoding_and_the_publication_receives_the_message() {
    let history = History::new(&TenantMemory::unlimited());
    let age = Duration::from_secs(60);
    history.set_bounds(Some(HistoryBounds { messages: 10, bytes: 1_000, age }));
    let (hub, [ann, bob, carl]) = (hub(), [PLAIN, LOUD, PLAIN].map(|dialect| Reader::new(dialect, 100)));
    let sender = hub.join(key("a"), ann.member(), &frame("ok"));
    let mut bundle = Bundle::default();
    for id in [1, 2, 3] {
        let keep = Keep { history: &history, id, sent_at: u64::MAX, encode: encode_kept };
        sender.gather_kept(&Numbered(id), Audience::Others, &mut bundle, keep);
    }
    let dan = Reader::new(LOUD, 100);
    let dan_in = hub.join_replaying(key("a"), dan.member());
    dan_in.end_replay(&frame("replayed: none"), Replayed { ids: Vec::new(), repeats: Repeats::Excluded });
    let [bob_in, carl_in] = [&bob, &carl].map(|reader| hub.join_replaying(key("a"), reader.member()));
    bob_in.end_replay(&frame("replayed: 0, 2"), repeating(vec![0, 2]));
    assert_eq!(sender.publish(bundle, Audience::Others).delivered, 3);
    carl_in.end_replay(&frame("replayed: 3"), repeating(vec![3]));
    assert_eq!(bob.texts(), ["replayed: 0, 2", "N1", "N3"]);
    assert_eq!(carl.texts(), ["replayed: 3", "n1", "n2"]);
    assert_eq!(dan.texts(), ["replayed: none", "N1", "N2", "N3"], "although its replay is over");
}

// A message is kept and delivered under one lock, so that a member that reads it receives it before its replay ends.
#[test]
fn a_member_misses_nothing_and_receives_nothing_twice_while_others_publish() {
    const MESSAGES: u128 = 2_000;
    let history = History::new(&TenantMemory::unlimited());
    let age = Duration::from_secs(60);
    history.set_bounds(Some(HistoryBounds { messages: 10_000, bytes: 1 << 20, age }));
    let (hub, query) = (hub(), HistoryQuery { since: None, after: Vec::new(), limit: usize::MAX });
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for id in 1..=MESSAGES {
                let keep = Keep { history: &history, id, sent_at: u64::MAX, encode: encode_kept };
                hub.publish_kept(&key("a"), &Numbered(id), keep);
            }
        });
        while !publisher.is_finished() {
            let reader = Reader::new(PLAIN, u32::MAX);
            let member = hub.join_replaying(key("a"), reader.member());
            let read: Vec<u128> =
                history.read(&key("a"), &query).messages.iter().map(|message| message.id).collect();
            member.end_replay(&frame(""), Replayed { ids: read.clone(), repeats: Repeats::Excluded });
            let until = read.last().map_or(1, |last| last + 1);
            let received = reader.texts().into_iter().skip(1);
            let received: Vec<u128> = received.map(|text| text[1..].parse().expect("a number")).collect();
            let expected: Vec<u128> = (until..until + received.len() as u128).collect();
            assert_eq!(received, expected, "after {} that were read", read.len());
        }
    });
}

// The message is kept and then encoded for the member, who may read it and end its replay in between: it arrived a second time.
#[test]
fn a_message_that_is_read_while_it_is_encoded_for_the_reader_is_not_delivered_again() {
    thread_local! {
        static READER: RefCell<Option<(Membership, Arc<History>)>> = const { RefCell::new(None) };
    }
    fn encode_after_replay(kept: &Frame, topic: &str, dialect: Dialect) -> Option<Frame> {
        READER.with_borrow(|reader| {
            let reader = reader.as_ref().filter(|_| dialect == LOUD);
            let Some((member, history)) = reader else { return };
            let query = HistoryQuery { since: None, after: Vec::new(), limit: 1 };
            let read = history.read(&key("a"), &query).messages;
            let ids = read.iter().map(|message| message.id).collect();
            member.end_replay(&frame("replayed"), Replayed { ids, repeats: Repeats::Excluded });
        });
        encode_kept(kept, topic, dialect)
    }
    let history = History::new(&TenantMemory::unlimited());
    let age = Duration::from_secs(60);
    history.set_bounds(Some(HistoryBounds { messages: 10, bytes: 1_000, age }));
    let (hub, [ann, bob]) = (hub(), [PLAIN, LOUD].map(|dialect| Reader::new(dialect, 100)));
    let sender = hub.join(key("a"), ann.member(), &frame("ok"));
    let mut bundle = Bundle::default();
    let keep = Keep { history: &history, id: 1, sent_at: u64::MAX, encode: encode_after_replay };
    sender.gather_kept(&Numbered(1), Audience::Others, &mut bundle, keep);
    let bob_in = hub.join_replaying(key("a"), bob.member());
    READER.set(Some((bob_in, Arc::clone(&history))));
    assert_eq!(sender.publish(bundle, Audience::Others).delivered, 0);
    assert_eq!(bob.texts(), ["replayed"]);
    // From then on nothing is held against it.
    publish(&hub, [1]);
    assert_eq!(bob.texts(), ["N1"]);
    READER.take();
}
