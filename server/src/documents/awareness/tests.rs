//! What clients show of themselves, as the server keeps it.

use hub::NodeId;

use super::of_nodes::ReceivedOfNode;
use super::*;

const LIMITS: AwarenessLimits = AwarenessLimits { clients: 4, clients_per_member: 2, state_bytes: 8 };
const ONE: MemberId = MemberId(1);
const OTHER: MemberId = MemberId(2);

fn state(client: u64, clock: u32, state: &'static str) -> SentState {
    SentState { client, clock, state: Some(Bytes::from_static(state.as_bytes())) }
}

fn removal(client: u64, clock: u32) -> SentState {
    SentState { client, clock, state: None }
}

fn receive(awareness: &mut Awareness, member: MemberId, sent: SentState, now: Instant) -> Vec<SentState> {
    awareness.receive(member, [sent], &LIMITS, now).changed
}

#[test]
fn only_what_is_newer_is_sent_on() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    assert_eq!(receive(&mut awareness, ONE, state(7, 0, "{}"), now), [state(7, 0, "{}")]);
    assert_eq!(receive(&mut awareness, ONE, state(7, 1, "{}"), now), [state(7, 1, "{}")]);
    assert_eq!(receive(&mut awareness, ONE, state(7, 1, "1"), now), [], "the clock is the same");
    assert_eq!(
        receive(&mut awareness, ONE, removal(7, 1), now),
        [removal(7, 1)],
        "a removal needs no newer one"
    );
    assert_eq!(receive(&mut awareness, ONE, removal(8, 1), now), [], "nothing to remove");
}

#[test]
fn an_echo_of_what_another_shows_changes_nothing() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    receive(&mut awareness, ONE, state(7, 1, "{}"), now);
    receive(&mut awareness, OTHER, state(8, 1, "{}"), now);
    assert_eq!(receive(&mut awareness, OTHER, state(7, 2, "{}"), now), []);
    assert_eq!(receive(&mut awareness, OTHER, removal(7, 2), now), []);
    assert_eq!(awareness.states().len(), 2);
}

#[test]
fn a_client_that_connects_again_with_the_same_clock_is_seen_at_once() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    receive(&mut awareness, ONE, state(7, 5, "{}"), now);
    assert_eq!(awareness.remove_member(ONE, now), [removal(7, 6)]);
    assert_eq!(receive(&mut awareness, OTHER, state(7, 5, "{}"), now), [state(7, 7, "{}")]);
}

#[test]
fn a_late_echo_of_one_who_has_left_does_not_bring_it_back() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    receive(&mut awareness, ONE, state(7, 5, "{}"), now);
    receive(&mut awareness, OTHER, state(8, 1, "{}"), now);
    awareness.remove_member(ONE, now);
    assert_eq!(receive(&mut awareness, OTHER, state(7, 5, "{}"), now), []);
}

#[test]
fn states_that_are_not_renewed_are_removed_and_forgotten_later() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    receive(&mut awareness, ONE, state(7, 1, "{}"), now);
    assert_eq!(awareness.expire(now + TIME_TO_LIVE / 2), []);
    assert_eq!(awareness.expire(now + TIME_TO_LIVE), [removal(7, 2)]);
    assert!(awareness.states().is_empty() && !awareness.is_empty());
    awareness.expire(now + TIME_TO_LIVE + REMEMBERED);
    assert!(awareness.is_empty());
}

#[test]
fn there_are_limits_of_size_and_number() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    let mut send = |member, states: Vec<SentState>| awareness.receive(member, states, &LIMITS, now).refused;
    assert_eq!(send(ONE, vec![state(1, 1, "\"1234567\"")]), 1, "nine bytes");
    assert_eq!(send(ONE, vec![state(1, 1, "1"), state(2, 1, "1"), state(3, 1, "1")]), 1);
    assert_eq!(send(OTHER, vec![state(3, 1, "1"), state(4, 1, "1"), state(5, 1, "1")]), 1);
    assert_eq!(awareness.states().len(), 4);
}

const NODE: NodeId = NodeId::new(1);
const OTHER_NODE: NodeId = NodeId::new(2);

fn of_node(awareness: &mut Awareness, node: NodeId, sent: SentState, now: Instant) -> ReceivedOfNode {
    awareness.receive_of_node(node, vec![sent], &LIMITS, now)
}

#[test]
fn what_a_lost_node_has_shown_is_removed_and_shown_again_once_the_node_has_raised_the_clock() {
    let (mut here, mut there, now) = (Awareness::default(), Awareness::default(), Instant::now());
    receive(&mut there, ONE, state(7, 3, "{}"), now);
    for own in there.own_states() {
        assert_eq!(of_node(&mut here, NODE, own.clone(), now).changed, [own]);
    }
    assert_eq!(of_node(&mut here, NODE, state(7, 3, "{}"), now), ReceivedOfNode::default(), "it is known");
    assert_eq!(here.own_states(), []);
    assert_eq!(here.remove_node(OTHER_NODE, now), []);
    assert_eq!(here.remove_node(NODE, now), [removal(7, 3)]);
    assert_eq!(of_node(&mut here, NODE, state(7, 3, "{}"), now), ReceivedOfNode::default(), "it is old");
    let renewed = there.renew_own(now);
    assert_eq!(renewed, [state(7, 4, "{}")]);
    assert_eq!(of_node(&mut here, NODE, renewed[0].clone(), now).changed, renewed);
}

#[test]
fn a_client_that_has_moved_to_this_node_stays_when_the_other_one_removes_it() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    of_node(&mut awareness, NODE, state(7, 3, "{}"), now);
    assert_eq!(receive(&mut awareness, ONE, state(7, 3, "{}"), now), [state(7, 4, "{}")]);
    assert_eq!(awareness.remove_node(NODE, now), []);
    let received = of_node(&mut awareness, NODE, removal(7, 4), now);
    assert_eq!((received.changed, received.kept), (vec![], vec![state(7, 5, "{}")]));
    assert_eq!(awareness.states(), [state(7, 5, "{}")]);
    assert_eq!(of_node(&mut awareness, NODE, removal(7, 2), now), ReceivedOfNode::default(), "it is old");
}

#[test]
fn other_nodes_cannot_fill_the_table_beyond_its_limit() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    for client in 0..9 {
        of_node(&mut awareness, NODE, state(client, 1, "{}"), now);
    }
    assert_eq!(awareness.states().len(), LIMITS.clients);
}

#[test]
fn a_clock_that_could_not_be_raised_is_refused() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    let received = awareness.receive(ONE, [state(7, u32::MAX, "{}")], &LIMITS, now);
    assert_eq!((received.changed, received.refused), (vec![], 1));
    assert_eq!(receive(&mut awareness, OTHER, state(7, 1, "{}"), now), [state(7, 1, "{}")]);
}

#[test]
fn what_is_kept_is_counted_until_it_is_forgotten() {
    let (mut awareness, now) = (Awareness::default(), Instant::now());
    receive(&mut awareness, ONE, state(7, 1, "12345678"), now);
    let with_state = awareness.bytes();
    receive(&mut awareness, ONE, state(7, 2, "1"), now);
    assert_eq!(awareness.bytes(), with_state - 7);
    awareness.remove_member(ONE, now);
    assert_eq!(awareness.bytes(), with_state - 8);
    awareness.expire(now + REMEMBERED);
    assert_eq!(awareness.bytes(), 0);
}
