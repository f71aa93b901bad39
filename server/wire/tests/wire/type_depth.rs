//! How deeply the shared types of a document are within each other, by the updates that it is made of.

use wire::lib0::Lib0Write;
use wire::yjs::{DocumentUpdate, type_depth};

/// Structs of one client, from a clock on.
fn section(client: u8, clock: u8, structs: &[&[u8]]) -> Vec<u8> {
    [&[structs.len() as u8, client, clock][..], structs.concat().as_slice()].concat()
}

fn update(sections: &[Vec<u8>]) -> Vec<u8> {
    [&[sections.len() as u8][..], sections.concat().as_slice(), &[0]].concat()
}

fn depth(state: Option<&[u8]>, updates: &[&[u8]]) -> usize {
    let decoded = |bytes| DocumentUpdate::decode(bytes).expect("an update");
    let (state, updates) = (state.map(decoded), updates.iter().copied().map(decoded).collect::<Vec<_>>());
    type_depth(state.as_ref(), &updates.iter().collect::<Vec<_>>())
}

/// A shared type in the root `t`.
const IN_ROOT: &[u8] = &[7, 1, 1, b't', 0];

/// A shared type within an item.
fn within(client: u8, clock: u8) -> Vec<u8> {
    vec![7, 0, client, clock, 0]
}

/// A shared type to the right of an item.
fn after(client: u8, clock: u8) -> Vec<u8> {
    vec![0x87, client, clock, 0]
}

/// A shared type to the left of an item.
fn before(client: u8, clock: u8) -> Vec<u8> {
    vec![0x47, client, clock, 0]
}

#[test]
fn types_within_types_are_counted() {
    let flat = update(&[section(1, 0, &[IN_ROOT, IN_ROOT, &after(1, 1)])]);
    let deep = update(&[section(1, 0, &[IN_ROOT, &within(1, 0), &within(1, 1), IN_ROOT])]);
    let text = update(&[section(1, 0, &[&[4, 1, 1, b't', 1, b'x']])]);
    assert_eq!((depth(None, &[&flat]), depth(None, &[&deep]), depth(None, &[&text])), (1, 3, 0));
}

#[test]
fn an_item_beside_another_one_is_in_the_same_type() {
    let text_in_second = [4, 0, 1, 1, 2, b'h', b'i'];
    let structs: [&[u8]; 5] = [IN_ROOT, &within(1, 0), &text_in_second, &after(1, 3), &before(1, 2)];
    assert_eq!(depth(None, &[&update(&[section(1, 0, &structs)])]), 3);
    let by_another = update(&[section(1, 0, &structs[..3]), section(2, 0, &[&after(1, 3), &within(2, 0)])]);
    assert_eq!(depth(None, &[&by_another]), 4);
}

#[test]
fn what_an_update_refers_to_is_in_the_state() {
    let state = update(&[section(1, 0, &[IN_ROOT, &within(1, 0)])]);
    let next = update(&[section(2, 0, &[&within(1, 1), &within(2, 0)])]);
    assert_eq!((depth(None, &[&next]), depth(Some(&state), &[&next])), (2, 4));
    let version = update(&[section(1, 1, &[IN_ROOT])]);
    assert_eq!(depth(Some(&state), &[&version]), 2, "an item that the document has is not replaced");
}

#[test]
fn of_versions_that_contradict_each_other_the_deepest_counts() {
    let one = update(&[section(1, 0, &[IN_ROOT]), section(2, 0, &[IN_ROOT, &within(2, 0)])]);
    let other = update(&[section(1, 0, &[&within(2, 1)])]);
    assert_eq!(depth(Some(&[0, 0]), &[&one, &other]), 3);
}

#[test]
fn types_within_each_other_in_a_circle_count_where_a_part_may_be_known() {
    let circle = update(&[section(1, 0, &[&within(2, 0)]), section(2, 0, &[&within(1, 0)])]);
    assert!(depth(None, &[&circle]) >= 2, "the document may know one of them");
    let state = update(&[section(1, 0, &[IN_ROOT])]);
    assert_eq!(depth(Some(&state), &[&circle]), 2);
    let (one, other) =
        (update(&[section(1, 0, &[&within(2, 0)])]), update(&[section(2, 0, &[&within(1, 0)])]));
    assert!(depth(Some(&[0, 0]), &[&one, &other]) >= 2);
}

#[test]
fn a_chain_of_any_length_is_followed() {
    let mut bytes = vec![1];
    bytes.var_uint(100_001);
    bytes.extend([1, 0]);
    bytes.extend(IN_ROOT);
    for clock in 0..100_000 {
        bytes.extend([7, 0, 1]);
        bytes.var_uint(clock);
        bytes.push(0);
    }
    bytes.push(0);
    assert_eq!(depth(None, &[&bytes]), 100_001);
}
