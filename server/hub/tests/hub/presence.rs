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
    let rooms = listed(hub);
    for room in &rooms {
        let change = room.take_presence(Instant::now());
        let text = list('+', &change.joins) + &list('-', &change.leaves);
        let diff = if text.is_empty() {
            FrameCache::default()
        } else {
            FrameCache::encode(&Diff(text), room.topic(), |_| true)
        };
        let state = format!("={}", list('+', &change.present));
        room.announce(&diff);
        for request in &change.requests {
            room.send_state(request, &frame(&state));
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
    #[test]
    fn every_view_converges_to_what_is_tracked(steps in steps()) {
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
                Step::Announce => { announce(&hub); }
            }
        }
        loop {
            clients.iter_mut().for_each(Client::read);
            if announce(&hub) == 0 {
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
