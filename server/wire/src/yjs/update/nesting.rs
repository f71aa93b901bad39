//! How deeply the shared types of a document are within each other.
//!
//! yrs deletes and collects what a type contains by recursion, with about 400 bytes of the stack for each level (2 KiB in a build
//! for tests): some thousand levels, 30 KB of an update, end the process. Clients of Yjs fail likewise. Which type an item is
//! in may follow from many others: it is that of the item beside it, whose own follows from the next.

use std::collections::HashMap;
use std::ops::Range;

use super::DocumentUpdate;
use super::content::ContentKind;
use super::item::{Id, Item, Position};
use super::sections::{Struct, StructKind};

/// How many shared types of a document may be within each other. Lists within lists have some ten; 250 take 100 KB of a stack
/// of 2 MiB.
pub const TYPE_DEPTH_MAX: usize = 250;

/// How many shared types are within each other at most in `updates` of a document, which may be more than there are.
///
/// With the `state` of the document the result is that of all together; the items that it has are not replaced by those of the
/// updates. Without it what it may have counts as nothing, so that the sum of both results is a bound.
///
/// Several updates may have versions of an item that contradict each other, of which a document keeps any; so all count.
/// Time and memory are linear in the structs, about 80 bytes each, but for the search for the items that one refers to.
pub fn type_depth(state: Option<&DocumentUpdate<'_>>, updates: &[&DocumentUpdate<'_>]) -> usize {
    let types: usize = updates.iter().map(|update| update.shared_types()).sum();
    if types == 0 && state.is_none_or(|state| state.shared_types() == 0) {
        return 0;
    }
    let mut nodes = Nodes::default();
    let state_clients = state.map(|state| nodes.read(state));
    nodes.state = state_clients.unwrap_or_default();
    for update in updates {
        let clients = nodes.read(update);
        nodes.updates.push(clients);
    }
    let depth = nodes.depth();
    // Items of one update that depend on each other are never part of the document, unless that has one of them already.
    // Between several updates that follows from versions, and any type may be within any other.
    let may_be_applied = state.is_none() || updates.len() > 1;
    if nodes.is_circular && may_be_applied { depth + types } else { depth }
}

/// For each client the nodes, in the order of their clocks.
type Clients = HashMap<u64, Range<usize>>;

/// The structs of a document and of updates.
#[derive(Default)]
struct Nodes {
    all: Vec<Node>,
    state: Clients,
    updates: Vec<Clients>,
    is_circular: bool,
}

#[derive(Clone, Copy)]
struct Node {
    id: Id,
    length: u32,
    place: Position,
    is_type: bool,
    visit: Visit,
    /// How many types it is in.
    depth: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    /// Its depth is known once those are that it depends on.
    Begun,
    Done,
}

impl Node {
    /// `None` if there is nothing.
    fn new(read: &Struct) -> Option<Self> {
        let (place, is_type) = match read.kind {
            StructKind::Skipped => return None,
            // What is within it is collected, too.
            StructKind::Collected => (Position::Named, false),
            StructKind::Item(Item { place, content }) => (place, content.kind == ContentKind::SharedType),
        };
        (read.length > 0).then_some(Self {
            id: read.id,
            length: read.length,
            place,
            is_type,
            visit: Visit::New,
            depth: 0,
        })
    }
}

impl Nodes {
    fn read(&mut self, update: &DocumentUpdate<'_>) -> Clients {
        let mut clients = Clients::with_capacity(update.sections().len());
        self.all.reserve(update.structs());
        update.structs_again(|read| {
            if let Some(node) = Node::new(read) {
                let index = self.all.len();
                clients.entry(node.id.client).or_insert(index..index).end = index + 1;
                self.all.push(node);
            }
        });
        clients
    }

    /// How many types are within each other at most.
    fn depth(&mut self) -> usize {
        let mut max = 0;
        for index in 0..self.all.len() {
            let node = self.all[index];
            // One that the document has is not replaced.
            if node.is_type && self.find(&self.state, node.id).is_none_or(|known| known == index) {
                self.measure(index);
                max = max.max(self.all[index].depth as usize + 1);
            }
        }
        max
    }

    /// Finds how many types a node is in, after those that it depends on.
    fn measure(&mut self, index: usize) {
        let (mut path, mut others) = (vec![index], Vec::new());
        while let Some(&index) = path.last() {
            let node = self.all[index];
            others.clear();
            if node.visit != Visit::Done {
                self.find_others(node.place, &mut others);
            }
            match node.visit {
                Visit::New => {
                    self.all[index].visit = Visit::Begun;
                    self.is_circular |= others.iter().any(|&other| self.all[other].visit == Visit::Begun);
                    path.extend(others.iter().filter(|&&other| self.all[other].visit == Visit::New));
                }
                Visit::Begun => {
                    let level = u32::from(matches!(node.place, Position::Within(_)));
                    let depths = others.iter().map(|&other| self.all[other].depth + level);
                    self.all[index].depth = depths.max().unwrap_or(0);
                    self.all[index].visit = Visit::Done;
                    path.pop();
                }
                Visit::Done => _ = path.pop(),
            }
        }
    }

    /// Adds the nodes that one at `place` refers to.
    fn find_others(&self, place: Position, others: &mut Vec<usize>) {
        let ids = match place {
            Position::Named => [None, None],
            Position::Within(id) => [Some(id), None],
            Position::Beside(left, right) => [left, right],
        };
        for id in ids.into_iter().flatten() {
            match self.find(&self.state, id) {
                Some(known) => others.push(known),
                None => others.extend(self.updates.iter().filter_map(|clients| self.find(clients, id))),
            }
        }
    }

    fn find(&self, clients: &Clients, id: Id) -> Option<usize> {
        let range = clients.get(&id.client)?.clone();
        let begin = range.start;
        let after = self.all[range].partition_point(|node| node.id.clock <= id.clock);
        let index = begin + after.checked_sub(1)?;
        let node = &self.all[index];
        (id.clock - node.id.clock < node.length).then_some(index)
    }
}
