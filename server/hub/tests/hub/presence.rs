//! Presence: in whatever order changes happen, the views of all clients converge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use hub::{Dialect, Encode, Frame, FrameCache, Hub, Membership, NextDue, PresenceEntry, Room};
use proptest::prelude::*;

use crate::{PLAIN, Reader, Text, frame, hub, key, publish};

/// `+a+b-c`: the entries that joined and left.
struct Diff(String);

impl Encode for Diff {
    fn encode(&self, _topic: &str, _dialect: Dialect) -> Option<Frame> {
        Some(frame(&self.0))
    }
}

fn list(sign: char, entries: &[PresenceEntry]) -> String {
    entries.iter().map(|entry| format!("{sign}{}", entry.meta)).collect()
}

/// The rooms that are listed, whether they are due or not.
pub(crate) fn listed(hub: &Hub) -> Vec<Arc<Room>> {
    let at_last = Instant::now() + Duration::from_secs(1_000_000);
    let next = || match hub.next_due(at_last, Waker::noop()) {
        NextDue::Room(room) => Some(room),
        NextDue::At(_) | NextDue::Idle => None,
    };
    std::iter::from_fn(next).collect()
}

/// Does the work of the announcing task. Returns the number of rooms announced.
pub(crate) fn announce(hub: &Arc<Hub>) -> usize {
    announce_in_pieces(hub, usize::MAX)
}

/// As [`announce`], in pieces of about so many bytes.
pub(crate) fn announce_in_pieces(hub: &Arc<Hub>, bytes: usize) -> usize {
    let rooms = listed(hub);
    for room in &rooms {
        let change = hub.take_presence(room, Instant::now(), bytes);
        for diff in &change.diffs {
            let text = list('+', &diff.joins) + &list('-', &diff.leaves);
            room.announce(&FrameCache::encode(&Diff(text), room.topic(), |_| true));
        }
        for mut part in change.parts {
            let begins = if part.begins_state() { "=" } else { "" };
            let encode = |entries: &[PresenceEntry]| frame(&(begins.to_owned() + &list('+', entries)));
            for request in std::mem::take(&mut part.receivers) {
                let state = part.frame(request.dialect, encode);
                room.send_part(&part, &request, &[state]);
            }
        }
    }
    rooms.len()
}

/// A client that keeps its view as realtime-js does.
pub(crate) struct Client {
    pub(crate) reader: Reader,
    pub(crate) membership: Membership,
    pub(crate) tracked: Option<String>,
    /// The entries it has received, once it has received the state.
    pub(crate) view: Option<BTreeSet<String>>,
}

impl Client {
    pub(crate) fn join(hub: &Arc<Hub>, bound: u32) -> Self {
        let reader = Reader::new(PLAIN, bound);
        let membership = hub.join(key("a"), reader.member(), &frame("ok"));
        membership.request_state("tag");
        Self { reader, membership, tracked: None, view: None }
    }

    pub(crate) fn track(&mut self, reference: usize) {
        let meta = format!("r{reference}");
        self.membership.track(PresenceEntry { key: "k".into(), meta: (*meta).into() });
        self.tracked = Some(meta);
    }

    pub(crate) fn untrack(&mut self) {
        self.membership.untrack();
        self.tracked = None;
    }

    pub(crate) fn read(&mut self) {
        let (texts, caught_up) = self.reader.read();
        for text in texts {
            if text.starts_with('=') {
                self.view = Some(BTreeSet::new());
            }
            let Some(view) = self.view.as_mut().filter(|_| text.starts_with(['=', '+', '-'])) else {
                continue;
            };
            let (joins, leaves) = parse(&text);
            // Joins first, as realtime-js does.
            view.extend(joins);
            view.retain(|name| !leaves.contains(name));
        }
        if caught_up && self.membership.take_missed().presence {
            self.membership.request_state("tag");
        }
    }
}

/// `=+a+b-c` → the entries that joined, and those that left.
fn parse(text: &str) -> (Vec<String>, Vec<String>) {
    let signs = text.match_indices(['+', '-']);
    let parts = signs.map(|(at, sign)| (sign, text[at + 1..].split(['+', '-']).next().unwrap_or_default()));
    let (joins, leaves): (Vec<_>, Vec<_>) = parts.partition(|(sign, _)| *sign == "+");
    let names = |parts: Vec<(&str, &str)>| parts.into_iter().map(|(_, name)| name.to_owned()).collect();
    (names(joins), names(leaves))
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(usize),
    Track(usize),
    Untrack(usize),
    Publish(usize),
    Read(usize),
    Announce,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..6_usize;
    let step = prop_oneof![
        2 => Just(Step::Join),
        1 => who.clone().prop_map(Step::Leave),
        4 => who.clone().prop_map(Step::Track),
        1 => who.clone().prop_map(Step::Untrack),
        3 => who.clone().prop_map(Step::Publish),
        2 => who.prop_map(Step::Read),
        2 => Just(Step::Announce),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    // With pieces of one entry, of a few, and of all.
    #[test]
    fn every_view_converges_to_what_is_tracked(steps in steps(), bytes in prop::sample::select(vec![1, 50, 1_000])) {
        let hub = hub();
        let mut clients: Vec<Client> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let count = clients.len();
            let pick = |who: usize| (count > 0).then(|| who % count);
            match step {
                // Small outboxes, so that diffs are dropped and states are requested again.
                Step::Join => clients.push(Client::join(&hub, 3)),
                Step::Leave(who) => drop(pick(who).map(|who| clients.remove(who))),
                Step::Track(who) => if let Some(who) = pick(who) { clients[who].track(number) },
                Step::Untrack(who) => if let Some(who) = pick(who) { clients[who].untrack() },
                Step::Publish(who) => if let Some(who) = pick(who) {
                    publish(&clients[who].membership, &Text::new("hi"), hub::Audience::Others);
                },
                Step::Read(who) => if let Some(who) = pick(who) { clients[who].read() },
                Step::Announce => { announce_in_pieces(&hub, bytes); }
            }
        }
        loop {
            clients.iter_mut().for_each(Client::read);
            if announce_in_pieces(&hub, bytes) == 0 {
                break;
            }
        }
        let present: BTreeSet<String> = clients.iter().filter_map(|client| client.tracked.clone()).collect();
        for client in &clients {
            prop_assert_eq!(client.view.as_ref(), Some(&present));
        }
    }
}

#[test]
fn a_burst_of_changes_is_one_diff_with_the_newest_state_of_each() {
    let hub = hub();
    let (mut ann, bob) = (Client::join(&hub, 100), Client::join(&hub, 100));
    announce(&hub);
    bob.reader.texts();
    for number in 0..50 {
        ann.track(number);
    }
    announce(&hub);
    assert_eq!(bob.reader.texts(), ["+r49"]);
    ann.track(50);
    announce(&hub);
    assert_eq!(bob.reader.texts(), ["+r50-r49"], "an update is both, in one diff");
}

#[test]
fn a_member_that_has_had_no_state_receives_no_diffs() {
    let hub = hub();
    let reader = Reader::new(PLAIN, 100);
    let membership = hub.join(key("a"), reader.member(), &frame("ok"));
    let mut ann = Client::join(&hub, 100);
    ann.track(1);
    announce(&hub);
    assert_eq!(reader.texts(), ["ok"]);
    assert!(membership.take_missed().presence, "it lacks the state");
    membership.request_state("tag");
    announce(&hub);
    assert_eq!(reader.texts(), ["=+r1"]);
    assert!(!membership.take_missed().presence);
    ann.track(2);
    announce(&hub);
    assert_eq!(reader.texts(), ["+r2-r1"]);
}

#[test]
fn an_entry_that_came_and_went_unannounced_is_never_sent() {
    let hub = hub();
    let bob = Client::join(&hub, 100);
    announce(&hub);
    bob.reader.texts();
    let mut ann = Client::join(&hub, 100);
    ann.track(1);
    drop(ann);
    announce(&hub);
    assert_eq!(bob.reader.texts(), Vec::<String>::new());
}

/// Entries that are announced: one per client.
fn crowd(hub: &Arc<Hub>, references: std::ops::Range<usize>) -> Vec<Client> {
    let mut crowd: Vec<Client> = references.clone().map(|_| Client::join(hub, 1_000)).collect();
    for (client, reference) in crowd.iter_mut().zip(references) {
        client.track(reference);
        announce(hub);
    }
    crowd
}

/// What the room sends one member in pieces of two entries, read by read.
fn pieces(hub: &Arc<Hub>, client: &mut Client) -> Vec<Vec<String>> {
    let mut pieces = Vec::new();
    while announce_in_pieces(hub, 45) > 0 {
        let (texts, caught_up) = client.reader.read();
        pieces.push(texts);
        if caught_up && client.membership.take_missed().presence {
            client.membership.request_state("tag");
        }
    }
    pieces
}

#[test]
fn a_large_state_is_sent_in_parts_each_when_the_outbox_is_empty() {
    let hub = hub();
    let _crowd = crowd(&hub, 1..6);
    let mut bob = Client::join(&hub, 1_000);
    announce_in_pieces(&hub, 45);
    announce_in_pieces(&hub, 45);
    let (texts, caught_up) = bob.reader.read();
    assert_eq!((texts, caught_up), (vec!["ok".into(), "=+r1+r2".into()], true), "one part until it is read");
    bob.membership.request_state("tag");
    assert_eq!(pieces(&hub, &mut bob), [["+r3+r4"], ["+r5"]]);
    assert!(!bob.membership.take_missed().presence);
}

// The member receives every diff from the first part on. What is announced later is in the diffs and not in the parts; what
// is removed is in no later part.
#[test]
fn changes_between_the_parts_of_a_state_are_diffs() {
    let hub = hub();
    let mut crowd = crowd(&hub, 1..6);
    let mut bob = Client::join(&hub, 1_000);
    announce_in_pieces(&hub, 45);
    bob.read();
    crowd[0].track(10);
    crowd[3].untrack();
    crowd[4].track(50);
    let mut carl = Client::join(&hub, 1_000);
    carl.track(60);
    drop(crowd.remove(1));
    let mut view = bob.view.clone().expect("the first part");
    let mut added = Vec::new();
    for text in pieces(&hub, &mut bob).concat() {
        let (joins, leaves) = parse(&text);
        view.extend(joins.clone());
        view.retain(|name| !leaves.contains(name));
        added.extend(joins);
    }
    added.sort();
    assert_eq!(added, ["r10", "r3", "r50", "r60"], "each once, and none that is removed before its part");
    assert_eq!(view, added.into_iter().collect());
}

#[test]
fn members_that_request_the_same_part_share_its_frame_while_one_has_it_queued() {
    let hub = hub();
    let crowd = crowd(&hub, 1..6);
    let queued = |client: &Client| {
        let mut burst = hub::Burst::default();
        client.reader.outbox.take(&mut burst, Waker::noop());
        burst.iter().last().expect("a state").clone()
    };
    let (ann, bob) = (Client::join(&hub, 100), Client::join(&hub, 100));
    announce_in_pieces(&hub, 45);
    // Bob has not read his when carl joins.
    let carl = Client::join(&hub, 100);
    announce_in_pieces(&hub, 45);
    let first = queued(&ann);
    let address = |frame: &Frame| frame.bytes().as_ptr();
    assert_eq!([&first, &queued(&bob), &queued(&carl)].map(address), [address(&first); 3]);
    drop(crowd);
}
