//! A bounded queue that parties share fairly, such as the tenants of a node.
//!
//! Each party has a line of its own, in which the order is kept. The lines take turns: a line is served until it has used
//! its quantum, and what it uses beyond that delays its next turn. When a turn begins is a *virtual time* (start-time fair
//! queueing, Goyal et al., 1996): how much each line had used that never paused. Up to when a party was served is known
//! also when it has no items any more (`finish_times.rs`), so that parties with one item at a time do not come again and
//! again before those with many. So a party with little in the queue waits for one turn of each other party at most, however
//! much they have queued.
//!
//! A line may grow to its share of the bounds, by items and by bytes ([`share`]). A party that has nothing queued finds room
//! for one item that is no larger than what all others have left free, and in an empty queue for one of any size. A larger
//! one is refused until others have been served.
//!
//! Queueing takes constant time, and taking an item what a heap of the lines takes, the logarithm of their number; other
//! operations visit every item. In steady state nothing is allocated. A party without items costs nothing, or the time up to when it
//! was served.

mod finish_times;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;

use slab::Slab;

use self::finish_times::FinishTimes;
use crate::bounds::Bounds;
use crate::shares::{HALF, share};

/// What one line may use more than its quantum, in quanta: so many turns it then waits at most.
const DEBT_MAX: u64 = 1_024;

/// Memory kept for lines that have items again: so many of them, each of up to so many items.
const SPARE_LINES: usize = 32;
const SPARE_CAPACITY: usize = 1_024;

/// What a queued message takes in addition to its content, about: its place in the queue, its handles and its head.
pub const MESSAGE_BYTES: usize = 256;

/// What a turn is. Both are in the unit of the costs: bytes, or a time.
#[derive(Debug, Clone, Copy)]
pub struct Quantum {
    /// What a line may use in one turn.
    pub per_turn: u32,
    /// What each item costs in addition to its size.
    pub per_item: u32,
}

/// A queue of `T`, shared by parties that `K` identifies. It is not locked: its owner does that.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    bounds: Bounds,
    quantum: Quantum,
    /// The items of all lines that count against the bounds.
    load: Load,
    /// All items.
    len: usize,
    by_party: HashMap<K, usize>,
    /// The lines that have items.
    lines: Slab<Line<K, T>>,
    /// The same lines, each once, in the order of their turns.
    turns: BinaryHeap<Reverse<Turn>>,
    /// Turns ordered so far.
    ordered: u64,
    /// The virtual time: when the present turn has begun. No line has an earlier one.
    now: u64,
    finish_times: FinishTimes<K>,
    spare: Vec<VecDeque<Item<T>>>,
}

#[derive(Debug)]
struct Line<K, T> {
    party: K,
    items: VecDeque<Item<T>>,
    load: Load,
    /// When its turn begins, in virtual time.
    start: u64,
    /// What it has used of this turn.
    used: u64,
}

/// The turn of a line. If the line begins later by now, it is ordered again when it comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    start: u64,
    /// Among those that begin at the same time, the first that was ordered comes first.
    order: u64,
    line: usize,
}

#[derive(Debug)]
struct Item<T> {
    value: T,
    /// What it counts against the bounds. `None` if it does not.
    bytes: Option<usize>,
}

/// How much of the bounds is used. [`Load::fits`] alone decides what is refused.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    items: usize,
    bytes: usize,
}

impl Load {
    /// Whether `bytes` more fit into a line with this load, in a queue with `total`.
    fn fits(self, bytes: usize, total: Self, bounds: Bounds) -> bool {
        let free_items = (bounds.frames as usize).saturating_sub(total.items);
        let free_bytes = bounds.bytes.saturating_sub(total.bytes);
        let is_within = free_items > 0 && bytes <= free_bytes;
        let is_share = self.items == 0
            || (self.items < share(free_items, HALF) && self.bytes + bytes <= share(free_bytes, HALF));
        // Whatever its size, one item fits an empty queue.
        total.items == 0 || (is_within && is_share)
    }

    fn add(&mut self, bytes: Option<usize>) {
        self.items += usize::from(bytes.is_some());
        self.bytes += bytes.unwrap_or_default();
    }

    fn subtract(&mut self, bytes: Option<usize>) {
        self.items -= usize::from(bytes.is_some());
        self.bytes -= bytes.unwrap_or_default();
    }
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// An empty queue.
    pub fn new(bounds: Bounds, quantum: Quantum) -> Self {
        Self {
            bounds,
            quantum,
            load: Load::default(),
            len: 0,
            by_party: HashMap::new(),
            lines: Slab::new(),
            turns: BinaryHeap::new(),
            ordered: 0,
            now: 0,
            finish_times: FinishTimes::default(),
            spare: Vec::new(),
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of those items that count against the bounds.
    pub fn bytes(&self) -> usize {
        self.load.bytes
    }

    /// Queues an item behind the others of `party`.
    ///
    /// # Errors
    /// The item, if the share of `party` is used up.
    pub fn offer(&mut self, party: &K, bytes: usize, value: T) -> Result<(), T> {
        let number = self.by_party.get(party).copied();
        let load = number.map(|number| self.lines[number].load).unwrap_or_default();
        if !load.fits(bytes, self.load, self.bounds) {
            return Err(value);
        }
        let number = number.unwrap_or_else(|| self.begin_line(party));
        let (line, bytes) = (&mut self.lines[number], Some(bytes));
        line.load.add(bytes);
        line.items.push_back(Item { value, bytes });
        self.load.add(bytes);
        self.len += 1;
        Ok(())
    }

    /// Queues an item that does not count against the bounds and is never refused: the caller bounds these by other
    /// means, such as one for each room.
    pub fn insert(&mut self, party: &K, value: T) {
        self.insert_all(party, std::iter::once(value));
    }

    /// Queues several such items in their order.
    pub fn insert_all(&mut self, party: &K, values: impl Iterator<Item = T>) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        let number = self.by_party.get(party).copied().unwrap_or_else(|| self.begin_line(party));
        let items = &mut self.lines[number].items;
        let before = items.len();
        items.extend(values.map(|value| Item { value, bytes: None }));
        self.len += items.len() - before;
    }

    /// A line without items, whose turn begins now, or when what the party had before has been served.
    fn begin_line(&mut self, party: &K) -> usize {
        let items = self.spare.pop().unwrap_or_default();
        let start = self.finish_times.take(party).max(self.now);
        let line =
            self.lines.insert(Line { party: party.clone(), items, load: Load::default(), start, used: 0 });
        self.by_party.insert(party.clone(), line);
        let order = self.next_order();
        self.turns.push(Reverse(Turn { start, order, line }));
        line
    }

    fn next_order(&mut self) -> u64 {
        self.ordered += 1;
        self.ordered
    }

    /// Takes the next item of the line whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let number = self.next_line()?;
        let line = &mut self.lines[number];
        let item = line.items.pop_front().expect("a line with a turn has items");
        line.load.subtract(item.bytes);
        self.load.subtract(item.bytes);
        self.len -= 1;
        let is_last = line.items.is_empty();
        let cost = item.bytes.unwrap_or_default().saturating_add(self.quantum.per_item as usize);
        self.charge_line(number, cost);
        if is_last {
            self.turns.pop();
            self.end_line(number);
        }
        Some(item.value)
    }

    /// The line whose turn it is, first in `turns` now.
    fn next_line(&mut self) -> Option<usize> {
        loop {
            let order = self.next_order();
            let mut first = self.turns.peek_mut()?;
            let Reverse(turn) = *first;
            let start = self.lines[turn.line].start;
            if turn.start == start {
                self.now = start;
                return Some(turn.line);
            }
            *first = Reverse(Turn { start, order, ..turn });
        }
    }

    /// Charges `party` for work that an item has caused after it was taken, whether or not it has further ones.
    pub fn charge(&mut self, party: &K, cost: usize) {
        if let Some(number) = self.by_party.get(party) {
            self.charge_line(*number, cost);
        } else {
            let start = self.finish_times.take(party).max(self.now);
            self.keep_finish_time(party.clone(), start.saturating_add(cost as u64));
        }
    }

    fn charge_line(&mut self, number: usize, cost: usize) {
        let latest = self.latest_start();
        let Line { start, used, .. } = &mut self.lines[number];
        *used = used.saturating_add(cost as u64);
        if *used >= u64::from(self.quantum.per_turn.max(1)) {
            *start = start.saturating_add(std::mem::take(used)).min(latest);
        }
    }

    fn latest_start(&self) -> u64 {
        self.now.saturating_add(DEBT_MAX * u64::from(self.quantum.per_turn.max(1)))
    }

    /// Keeps when the next turn of a party without items begins.
    fn keep_finish_time(&mut self, party: K, start: u64) {
        let turn_end = self.now.saturating_add(u64::from(self.quantum.per_turn));
        self.finish_times.insert(party, start.min(self.latest_start()), (self.now, turn_end));
    }

    /// Removes a line without items, which is not in `turns` any more.
    fn end_line(&mut self, number: usize) {
        let line = self.lines.remove(number);
        self.by_party.remove(&line.party);
        if self.spare.len() < SPARE_LINES && line.items.capacity() <= SPARE_CAPACITY {
            self.spare.push(line.items);
        }
        self.keep_finish_time(line.party, line.start.saturating_add(line.used));
        if self.lines.is_empty() {
            self.by_party.shrink_to(SPARE_CAPACITY);
            self.turns.shrink_to(SPARE_CAPACITY);
            if self.lines.capacity() > SPARE_CAPACITY {
                self.lines = Slab::new();
            }
        }
    }

    /// All items, those of each line in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.lines.iter().flat_map(|(_, line)| line.items.iter().map(|item| &item.value))
    }

    /// Removes all items that are not to be kept, and returns them, so that they can be dropped without the lock.
    pub fn remove_unless(&mut self, mut keep: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut removed = Vec::new();
        for (_, line) in &mut self.lines {
            let kept = VecDeque::with_capacity(line.items.len());
            for item in std::mem::replace(&mut line.items, kept) {
                if keep(&item.value) {
                    line.items.push_back(item);
                } else {
                    line.load.subtract(item.bytes);
                    self.load.subtract(item.bytes);
                    removed.push(item.value);
                }
            }
        }
        self.len -= removed.len();
        let is_empty = |(number, line): (usize, &Line<K, T>)| line.items.is_empty().then_some(number);
        let ended: Vec<_> = self.lines.iter().filter_map(is_empty).collect();
        self.turns.retain(|Reverse(turn)| !self.lines[turn.line].items.is_empty());
        ended.into_iter().for_each(|number| self.end_line(number));
        removed
    }
}

#[cfg(test)]
mod tests;
