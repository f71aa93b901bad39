//! Turns, shares, and what a queue costs when it is empty.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

type Queue = FairQueue<&'static str, u32>;

/// One item of one byte is a turn.
const ONE_EACH: Quantum = Quantum { per_turn: 1, per_item: 0 };

fn queue(frames: u32, bytes: usize) -> Queue {
    FairQueue::new(Bounds { frames, bytes }, ONE_EACH)
}

fn taken(queue: &mut Queue) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn parties_take_turns_and_each_line_keeps_its_order() {
    let mut queue = queue(100, 100);
    for number in 0..4 {
        queue.offer(&"a", 1, number).expect("room");
    }
    for number in 10..12 {
        queue.offer(&"b", 1, number).expect("room");
    }
    queue.insert(&"c", 20);
    assert_eq!(taken(&mut queue), [0, 10, 20, 1, 11, 2, 3]);
}

#[test]
fn turns_are_of_equal_size_whatever_the_items_are() {
    let mut queue =
        FairQueue::new(Bounds { frames: 10_000, bytes: 100_000 }, Quantum { per_turn: 100, per_item: 0 });
    for _ in 0..10 {
        queue.offer(&"large", 1_000, 1_000).expect("room");
    }
    for _ in 0..500 {
        queue.offer(&"small", 10, 10).expect("room");
    }
    let mut bytes = HashMap::<u32, u32>::new();
    while bytes.get(&10).is_none_or(|small| *small < 5_000) {
        let size = queue.pop().expect("both have items");
        *bytes.entry(size).or_default() += size;
    }
    let large = bytes[&1_000];
    assert!((4_000..=6_000).contains(&large), "{large} bytes beside 5,000 in small items");
}

#[test]
fn work_charged_afterwards_counts_like_the_size() {
    let mut queue = FairQueue::new(Bounds { frames: 100, bytes: 100 }, Quantum { per_turn: 10, per_item: 1 });
    for number in 0..100 {
        queue.insert(&"costly", number);
        queue.insert(&"cheap", 1_000 + number);
    }
    let (mut costly, mut cheap) = (0, 0);
    while cheap < 60 {
        if queue.pop().expect("both have items") < 1_000 {
            costly += 1;
            queue.charge(&"costly", 19);
        } else {
            cheap += 1;
        }
    }
    assert!((2..=4).contains(&costly), "{costly} items of cost 20 beside 60 of cost 1");
}

#[test]
fn a_debt_outlives_the_items_of_its_party_for_a_while() {
    let quantum = Quantum { per_turn: 10, per_item: 1 };
    let mut queue = FairQueue::new(Bounds { frames: 0, bytes: 0 }, quantum);
    let mut order = Vec::new();
    // The costly item is always the first to be queued, and never waits behind another one of its party.
    for round in 0..4 {
        queue.insert(&"costly", 100);
        for number in 0..5 {
            queue.insert(&"cheap", round * 10 + number);
        }
        for _ in 0..6 {
            let item = queue.pop().expect("there are six");
            order.push(item);
            if item == 100 {
                queue.charge(&"costly", 29);
            }
        }
    }
    let places = order.iter().enumerate().filter(|(_, item)| **item == 100).map(|(place, _)| place % 6);
    assert_eq!(places.collect::<Vec<_>>(), [0, 5, 5, 5], "{order:?}");
}

#[test]
fn debts_are_bounded_in_number_and_size() {
    let quantum = Quantum { per_turn: 1, per_item: 1 };
    let mut queue = FairQueue::<u32, u32>::new(Bounds { frames: 0, bytes: 0 }, quantum);
    queue.charge(&9_999, usize::MAX);
    queue.charge(&9_999, usize::MAX);
    queue.insert(&9_999, 1);
    for number in 0..2_000 {
        queue.insert(&20_000, 100 + number);
    }
    let served: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(served.iter().position(|item| *item == 1), Some(1_024), "so many turns it waits at most");
    for party in 0..10_000 {
        queue.charge(&party, usize::MAX);
    }
    assert!((512..=1_024).contains(&queue.finish_times.len()), "{}", queue.finish_times.len());
}

// Where one has passed at each call, all of them were looked at in each.
#[test]
fn finish_times_are_looked_at_rarely_although_one_has_passed_at_each_call() {
    let quantum = Quantum { per_turn: 1, per_item: 1 };
    let mut queue = FairQueue::<u32, u32>::new(Bounds { frames: 0, bytes: 0 }, quantum);
    queue.insert_all(&20_000, 0..5_000);
    let mut looked_at_all = 0;
    for party in 0..4_000 {
        let before = queue.finish_times.len();
        assert_eq!(queue.pop(), Some(party), "so a turn has passed");
        queue.charge(&party, usize::MAX);
        looked_at_all += usize::from(queue.finish_times.len() <= before);
    }
    assert!((4..=16).contains(&looked_at_all), "{looked_at_all} times in 4,000 calls");
}

#[test]
fn one_party_gets_half_and_another_always_finds_room() {
    let mut queue = queue(100, usize::MAX);
    let accepted =
        |queue: &mut Queue, party| (0..1_000).filter(|item| queue.offer(&party, 0, *item).is_ok()).count();
    assert_eq!(accepted(&mut queue, "a"), 50);
    assert_eq!(accepted(&mut queue, "b"), 25);
    assert!(accepted(&mut queue, "c") >= 12);
    assert!(queue.len() <= 100);
}

#[test]
fn bytes_are_shared_like_items() {
    let mut queue = queue(u32::MAX, 1_000);
    let accepted = |queue: &mut Queue, party, bytes| {
        (0..1_000).filter(|item| queue.offer(&party, bytes, *item).is_ok()).count()
    };
    assert_eq!(accepted(&mut queue, "a", 100), 5);
    assert_eq!(accepted(&mut queue, "b", 10), 25);
    assert!(queue.bytes() <= 1_000);
}

#[test]
fn any_item_fits_an_empty_queue() {
    let mut queue = queue(1, 1);
    assert_eq!(queue.offer(&"a", 1_000, 1), Ok(()));
    assert_eq!(queue.offer(&"b", 0, 2), Err(2));
    queue.insert(&"b", 3);
    assert_eq!(taken(&mut queue), [1, 3]);
    assert_eq!(queue.offer(&"b", 1_000, 4), Ok(()));
}

#[test]
fn a_party_with_nothing_finds_room_for_what_is_no_larger_than_what_is_free() {
    let mut queue = queue(100, 1_000);
    while queue.offer(&"a", 100, 1).is_ok() {}
    let free = 1_000 - queue.bytes();
    assert_eq!(queue.offer(&"b", free + 1, 2), Err(2));
    assert_eq!(queue.offer(&"b", free, 3), Ok(()));
}

#[test]
fn removed_items_free_their_share() {
    let mut queue = queue(4, 100);
    for party in ["a", "b"] {
        queue.offer(&party, 1, 1).expect("room");
        queue.insert(&party, 2);
    }
    assert_eq!(queue.remove_unless(|item| *item == 2), [1, 1]);
    assert_eq!((queue.len(), queue.bytes()), (2, 0));
    assert_eq!(queue.remove_unless(|_| false), [2, 2]);
    assert!(queue.is_empty() && queue.pop().is_none());
    assert_eq!(queue.offer(&"a", 100, 3), Ok(()));
}

#[test]
fn parties_without_items_cost_nothing() {
    let mut queue = FairQueue::new(Bounds { frames: 100_000, bytes: 100_000 }, ONE_EACH);
    for party in 0..50_000 {
        queue.insert(&party, party);
    }
    while queue.len() > 25_000 {
        queue.pop();
    }
    queue.remove_unless(|_| false);
    assert!(queue.lines.is_empty() && queue.lines.capacity() <= SPARE_CAPACITY);
    assert!(queue.by_party.is_empty() && queue.by_party.capacity() <= 2 * SPARE_CAPACITY);
    assert!(queue.turns.capacity() <= SPARE_CAPACITY);
    assert!(queue.spare.len() <= SPARE_LINES);
}

proptest! {
    /// Whatever is queued and taken: no line loses its order, no item its place, and the bounds hold.
    #[test]
    fn every_accepted_item_is_taken_once_in_the_order_of_its_line(
        steps in proptest::collection::vec((0..5_u32, 0..40_usize), 1..400)
    ) {
        let bounds = Bounds { frames: 20, bytes: 200 };
        let mut queue = FairQueue::new(bounds, Quantum { per_turn: 30, per_item: 3 });
        let mut accepted = HashMap::<u32, VecDeque<usize>>::new();
        for (number, (party, bytes)) in steps.into_iter().enumerate() {
            // Party 4 stands for the consumer.
            if party == 4 {
                if let Some((party, number)) = queue.pop() {
                    prop_assert_eq!(accepted.get_mut(&party).and_then(VecDeque::pop_front), Some(number));
                }
            } else if queue.offer(&party, bytes, (party, number)).is_ok() {
                accepted.entry(party).or_default().push_back(number);
            }
            prop_assert!(queue.len() <= 20 && queue.bytes() <= 200);
            prop_assert_eq!(queue.len(), accepted.values().map(VecDeque::len).sum::<usize>());
        }
        while let Some((party, number)) = queue.pop() {
            prop_assert_eq!(accepted.get_mut(&party).and_then(VecDeque::pop_front), Some(number));
        }
        prop_assert!(accepted.values().all(VecDeque::is_empty));
    }
}

#[test]
fn parties_with_one_item_at_a_time_do_not_starve_one_with_many() {
    // Fewer than finish times are kept of, and more.
    for others in [24, 3_000] {
        let quantum = Quantum { per_turn: 250, per_item: 2 };
        let mut queue = FairQueue::new(Bounds { frames: 0, bytes: 0 }, quantum);
        queue.insert_all(&u32::MAX, std::iter::repeat_n(u32::MAX, 400));
        (0..others).for_each(|party| queue.insert(&party, party));
        let mut served = 0;
        // Each has another item as soon as one was served.
        for _ in 0..400 * (others + 1) {
            match queue.pop() {
                Some(u32::MAX) => served += 1,
                Some(party) => queue.insert(&party, party),
                None => panic!("the others never end"),
            }
        }
        assert_eq!(served, 400, "beside {others}");
    }
}
