//! Presence over several nodes: whatever the network does to what they say, and whoever dies, once it is whole
//! again everybody sees the same people.
//!
//! The link here is the shortest one that keeps the rules: it tells everybody the news, answers whoever asks
//! for the whole, and asks where something is missing. The network between is as bad as can be: statements
//! come in any order, twice, or never; nodes cannot reach each other; nodes die and are declared dead while
//! they live.

use std::collections::BTreeSet;
use std::sync::Arc;

use hub::{ApplyOutcome, Hub, NodeId, PresenceUpdate, RoomEvent};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::key;
use crate::presence::{Client, announce};
use crate::relay::{relay_events, relayed};

const NODES: usize = 3;

struct Node {
    id: NodeId,
    hub: Arc<Hub>,
    clients: Vec<Client>,
}

impl Node {
    fn start() -> Self {
        Self { id: NodeId::random(), hub: relayed(), clients: Vec::new() }
    }
}

#[derive(Debug, Clone)]
enum Said {
    PresenceUpdate(PresenceUpdate),
    /// The whole is wanted.
    Ask,
}

#[derive(Debug, Clone)]
struct Packet {
    from: NodeId,
    to: NodeId,
    said: Said,
}

/// The nodes and what is on its way between them.
struct World {
    nodes: Vec<Node>,
    packets: Vec<Packet>,
    /// Pairs that cannot reach each other, the smaller place first.
    cuts: BTreeSet<(usize, usize)>,
}

impl World {
    fn new() -> Self {
        let nodes = (0..NODES).map(|_| Node::start()).collect();
        Self { nodes, packets: Vec::new(), cuts: BTreeSet::new() }
    }

    fn send(&mut self, from: usize, to: usize, said: Said) {
        if from != to && !self.cuts.contains(&(from.min(to), from.max(to))) {
            let (from, to) = (self.nodes[from].id, self.nodes[to].id);
            self.packets.push(Packet { from, to, said });
        }
    }

    fn send_to_all(&mut self, from: usize, said: &Said) {
        (0..NODES).for_each(|to| self.send(from, to, said.clone()));
    }

    /// The link of one node does what is to be done.
    fn link(&mut self, place: usize) {
        for event in relay_events(&self.nodes[place].hub) {
            match event {
                RoomEvent::RoomOpened(room) => {
                    self.nodes[place].hub.confirm_joins(&room);
                    self.send_to_all(place, &Said::Ask);
                }
                RoomEvent::PresenceChanged(room) => {
                    if let Some(news) = room.take_delta() {
                        self.send_to_all(place, &Said::PresenceUpdate(news.into()));
                    }
                }
                RoomEvent::RoomClosed { final_snapshot, .. } => {
                    if let Some(snapshot) = final_snapshot {
                        self.send_to_all(place, &Said::PresenceUpdate(snapshot.into()));
                    }
                }
                RoomEvent::Published { .. } | RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => {}
            }
        }
    }

    /// A packet arrives, if who it is for still lives.
    fn arrive(&mut self, packet: Packet) {
        let place = |id| self.nodes.iter().position(|node| node.id == id);
        let Some(to) = place(packet.to) else { return };
        let from = place(packet.from);
        let hub = Arc::clone(&self.nodes[to].hub);
        let answer = match packet.said {
            Said::Ask => Some(Said::PresenceUpdate(hub.local_snapshot(&key("a")).into())),
            Said::PresenceUpdate(statement) => {
                let heard = hub.room(&key("a")).map(|room| hub.apply_presence(&room, packet.from, statement));
                (heard == Some(ApplyOutcome::Gap)).then_some(Said::Ask)
            }
        };
        if let (Some(from), Some(answer)) = (from, answer) {
            self.send(to, from, answer);
        }
    }

    /// Delivers all there is, and all that follows from it, in an order drawn from `seed`.
    fn settle(&mut self, seed: &mut u64) {
        loop {
            (0..NODES).for_each(|place| self.link(place));
            if self.packets.is_empty() {
                return;
            }
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = (*seed >> 33) as usize % self.packets.len();
            let packet = self.packets.swap_remove(drawn);
            self.arrive(packet);
        }
    }

    /// The network is whole: everything late has come, the dead are known to be dead, and everybody asks.
    fn heal(&mut self, seed: &mut u64) {
        self.cuts.clear();
        self.settle(seed);
        let alive: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        for place in 0..NODES {
            let hub = Arc::clone(&self.nodes[place].hub);
            for room in hub.rooms() {
                room.remote_nodes()
                    .into_iter()
                    .filter(|node| !alive.contains(node))
                    .for_each(|node| hub.remove_node(node));
                self.send_to_all(place, &Said::Ask);
            }
        }
        self.settle(seed);
        for node in &mut self.nodes {
            loop {
                node.clients.iter_mut().for_each(Client::read);
                if announce(&node.hub) == 0 {
                    break;
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join(usize, u32),
    Leave(usize, Index),
    Track(usize, Index),
    Untrack(usize, Index),
    Read(usize, Index),
    Announce(usize),
    Link(usize),
    Arrive(Index),
    Twice(Index),
    Never(Index),
    Cut(usize, usize),
    Mend(usize, usize),
    /// One node takes another for dead, rightly or not.
    Forget(usize, usize),
    /// A node dies at once and another starts in its place.
    Die(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 0..NODES;
    let which = any::<Index>;
    // Small outboxes drop diffs; in large ones every diff counts.
    let bound = prop_oneof![Just(3_u32), Just(10_000_u32)];
    let step = prop_oneof![
        3 => (node(), bound).prop_map(|(node, bound)| Step::Join(node, bound)),
        3 => (node(), which()).prop_map(|(node, who)| Step::Leave(node, who)),
        6 => (node(), which()).prop_map(|(node, who)| Step::Track(node, who)),
        2 => (node(), which()).prop_map(|(node, who)| Step::Untrack(node, who)),
        2 => (node(), which()).prop_map(|(node, who)| Step::Read(node, who)),
        3 => node().prop_map(Step::Announce),
        6 => node().prop_map(Step::Link),
        10 => which().prop_map(Step::Arrive),
        2 => which().prop_map(Step::Twice),
        2 => which().prop_map(Step::Never),
        1 => (node(), node()).prop_map(|(a, b)| Step::Cut(a, b)),
        1 => (node(), node()).prop_map(|(a, b)| Step::Mend(a, b)),
        3 => (node(), node()).prop_map(|(a, b)| Step::Forget(a, b)),
        1 => node().prop_map(Step::Die),
    ];
    prop::collection::vec(step, 0..200)
}

fn take(world: &mut World, step: Step, number: usize) {
    fn pick<'c>(world: &'c mut World, node: usize, who: &Index) -> Option<&'c mut Client> {
        let clients = &mut world.nodes[node].clients;
        if clients.is_empty() { None } else { Some(who.get_mut(clients)) }
    }
    match step {
        Step::Join(node, bound) => {
            let node = &mut world.nodes[node];
            node.clients.push(Client::join(&node.hub, bound));
        }
        Step::Leave(node, who) => {
            let clients = &mut world.nodes[node].clients;
            if !clients.is_empty() {
                drop(clients.remove(who.index(clients.len())));
            }
        }
        Step::Track(node, who) => {
            if let Some(client) = pick(world, node, &who) {
                client.track(number);
            }
        }
        Step::Untrack(node, who) => {
            if let Some(client) = pick(world, node, &who) {
                client.untrack();
            }
        }
        Step::Read(node, who) => {
            if let Some(client) = pick(world, node, &who) {
                client.read();
            }
        }
        Step::Announce(node) => drop(announce(&world.nodes[node].hub)),
        Step::Link(node) => world.link(node),
        Step::Arrive(_) | Step::Twice(_) | Step::Never(_) if world.packets.is_empty() => {}
        Step::Arrive(which) => {
            let packet = world.packets.remove(which.index(world.packets.len()));
            world.arrive(packet);
        }
        Step::Twice(which) => world.packets.push(which.get(&world.packets).clone()),
        Step::Never(which) => drop(world.packets.remove(which.index(world.packets.len()))),
        Step::Cut(a, b) => drop(world.cuts.insert((a.min(b), a.max(b)))),
        Step::Mend(a, b) => drop(world.cuts.remove(&(a.min(b), a.max(b)))),
        Step::Forget(a, b) => world.nodes[a].hub.remove_node(world.nodes[b].id),
        Step::Die(node) => world.nodes[node] = Node::start(),
    }
}

proptest! {
    #[test]
    fn all_nodes_converge_to_who_is_there(steps in steps(), mut seed in any::<u64>()) {
        let mut world = World::new();
        for (number, step) in steps.into_iter().enumerate() {
            take(&mut world, step, number);
        }
        world.heal(&mut seed);
        let clients = world.nodes.iter().flat_map(|node| &node.clients);
        let present: BTreeSet<String> = clients.clone().filter_map(|client| client.tracked.clone()).collect();
        for client in clients {
            prop_assert_eq!(client.view.as_ref(), Some(&present), "what was told bit by bit");
        }
        for node in &world.nodes {
            let mut guest = Client::join(&node.hub, 100);
            relay_events(&node.hub).into_iter().for_each(|event| match event {
                RoomEvent::RoomOpened(room) => node.hub.confirm_joins(&room),
                other => panic!("{other:?} was left over"),
            });
            announce(&node.hub);
            guest.read();
            if !node.clients.is_empty() {
                prop_assert_eq!(guest.view.as_ref(), Some(&present), "what is there");
            }
        }
    }
}
