//! Presence over several nodes: after any losses, delays and restarts, once the network is whole again all
//! clients see the same entries.
//!
//! The link here is the smallest correct one: it sends deltas to all nodes, answers requests for snapshots,
//! and requests one after a gap. The network between is as bad as possible: updates arrive in any order,
//! twice, or never; nodes cannot reach each other; nodes crash, and are taken for crashed while they run.

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
enum Content {
    PresenceUpdate(PresenceUpdate),
    /// A request for a snapshot.
    Request,
}

#[derive(Debug, Clone)]
struct Packet {
    from: NodeId,
    to: NodeId,
    content: Content,
}

/// The nodes, and the packets in transit between them.
struct World {
    nodes: Vec<Node>,
    packets: Vec<Packet>,
    /// Pairs of nodes that cannot reach each other, the smaller index first.
    cuts: BTreeSet<(usize, usize)>,
}

impl World {
    fn new() -> Self {
        let nodes = (0..NODES).map(|_| Node::start()).collect();
        Self { nodes, packets: Vec::new(), cuts: BTreeSet::new() }
    }

    fn send(&mut self, from: usize, to: usize, content: Content) {
        if from != to && !self.cuts.contains(&(from.min(to), from.max(to))) {
            let (from, to) = (self.nodes[from].id, self.nodes[to].id);
            self.packets.push(Packet { from, to, content });
        }
    }

    fn send_to_all(&mut self, from: usize, content: &Content) {
        (0..NODES).for_each(|to| self.send(from, to, content.clone()));
    }

    /// Handles the relay events of one node.
    fn link(&mut self, node: usize) {
        for event in relay_events(&self.nodes[node].hub) {
            match event {
                RoomEvent::RoomOpened(room) => {
                    self.nodes[node].hub.confirm_joins(&room);
                    self.send_to_all(node, &Content::Request);
                }
                RoomEvent::PresenceChanged(room) => {
                    if let Some(delta) = room.take_delta() {
                        self.send_to_all(node, &Content::PresenceUpdate(delta.into()));
                    }
                }
                RoomEvent::RoomClosed { final_snapshot, .. } => {
                    if let Some(snapshot) = final_snapshot {
                        self.send_to_all(node, &Content::PresenceUpdate(snapshot.into()));
                    }
                }
                RoomEvent::Published { .. } | RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => {}
            }
        }
    }

    /// Handles a packet, if its receiver is still running.
    fn receive(&mut self, packet: Packet) {
        let index = |id| self.nodes.iter().position(|node| node.id == id);
        let Some(to) = index(packet.to) else { return };
        let from = index(packet.from);
        let hub = Arc::clone(&self.nodes[to].hub);
        let reply = match packet.content {
            Content::Request => Some(Content::PresenceUpdate(hub.local_snapshot(&key("a")).into())),
            Content::PresenceUpdate(update) => {
                let outcome = hub.room(&key("a")).map(|room| hub.apply_presence(&room, packet.from, update));
                (outcome == Some(ApplyOutcome::Gap)).then_some(Content::Request)
            }
        };
        if let (Some(from), Some(reply)) = (from, reply) {
            self.send(to, from, reply);
        }
    }

    /// Delivers all packets, and those that follow from them, in an order drawn from `seed`.
    fn settle(&mut self, seed: &mut u64) {
        loop {
            (0..NODES).for_each(|node| self.link(node));
            if self.packets.is_empty() {
                return;
            }
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = (*seed >> 33) as usize % self.packets.len();
            let packet = self.packets.swap_remove(drawn);
            self.receive(packet);
        }
    }

    /// Makes the network whole: late packets arrive, crashed nodes are removed, and all nodes request
    /// snapshots.
    fn heal(&mut self, seed: &mut u64) {
        self.cuts.clear();
        self.settle(seed);
        let running: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        for index in 0..NODES {
            let hub = Arc::clone(&self.nodes[index].hub);
            for room in hub.rooms() {
                room.remote_nodes()
                    .into_iter()
                    .filter(|node| !running.contains(node))
                    .for_each(|node| hub.remove_node(node));
                self.send_to_all(index, &Content::Request);
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
    Deliver(Index),
    Duplicate(Index),
    Lose(Index),
    Cut(usize, usize),
    Reconnect(usize, usize),
    /// One node removes another, whether or not it has crashed.
    Remove(usize, usize),
    /// A node crashes and another starts in its place.
    Crash(usize),
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
        10 => which().prop_map(Step::Deliver),
        2 => which().prop_map(Step::Duplicate),
        2 => which().prop_map(Step::Lose),
        1 => (node(), node()).prop_map(|(a, b)| Step::Cut(a, b)),
        1 => (node(), node()).prop_map(|(a, b)| Step::Reconnect(a, b)),
        3 => (node(), node()).prop_map(|(a, b)| Step::Remove(a, b)),
        1 => node().prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 0..200)
}

fn apply(world: &mut World, step: Step, number: usize) {
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
        Step::Deliver(_) | Step::Duplicate(_) | Step::Lose(_) if world.packets.is_empty() => {}
        Step::Deliver(which) => {
            let packet = world.packets.remove(which.index(world.packets.len()));
            world.receive(packet);
        }
        Step::Duplicate(which) => world.packets.push(which.get(&world.packets).clone()),
        Step::Lose(which) => drop(world.packets.remove(which.index(world.packets.len()))),
        Step::Cut(a, b) => drop(world.cuts.insert((a.min(b), a.max(b)))),
        Step::Reconnect(a, b) => drop(world.cuts.remove(&(a.min(b), a.max(b)))),
        Step::Remove(a, b) => world.nodes[a].hub.remove_node(world.nodes[b].id),
        Step::Crash(node) => world.nodes[node] = Node::start(),
    }
}

proptest! {
    #[test]
    fn all_nodes_converge_to_what_is_tracked(steps in steps(), mut seed in any::<u64>()) {
        let mut world = World::new();
        for (number, step) in steps.into_iter().enumerate() {
            apply(&mut world, step, number);
        }
        world.heal(&mut seed);
        let clients = world.nodes.iter().flat_map(|node| &node.clients);
        let present: BTreeSet<String> = clients.clone().filter_map(|client| client.tracked.clone()).collect();
        for client in clients {
            prop_assert_eq!(client.view.as_ref(), Some(&present), "after diffs");
        }
        for node in &world.nodes {
            let mut newcomer = Client::join(&node.hub, 100);
            relay_events(&node.hub).into_iter().for_each(|event| match event {
                RoomEvent::RoomOpened(room) => node.hub.confirm_joins(&room),
                other => panic!("{other:?} was left over"),
            });
            announce(&node.hub);
            newcomer.read();
            if !node.clients.is_empty() {
                prop_assert_eq!(newcomer.view.as_ref(), Some(&present), "in a new state");
            }
        }
    }
}
