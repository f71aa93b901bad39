//! A tenant sends 12 MB a second from one node to the other, within its limits.

use std::time::Duration;

use anyhow::Result;

use super::attacker::{Attacker, Pace};
use super::{Attack, Nodes};
use crate::connection::Listener;
use crate::frames::Part;
use crate::machine::Deadline;
use crate::message::{Broadcast, Encoding};
use crate::report::Goal;
use crate::server::{Target, topic};
use crate::swarm::Swarm;

/// Messages a second; 500 are allowed.
const RATE: u32 = 400;
/// Bytes of each.
const SIZE: usize = 30_000;

pub const FLOOD: Attack = Attack {
    nodes: Nodes::Two,
    variables: || Ok(Vec::new()),
    attacker: |targets, _| Ok(Box::new(Flood::enter(targets)?)),
    presence: Goal::None,
    effect: "messages over the bus/s",
    before: Duration::from_millis(200),
};

/// Member 0 sends on the first node, member 1 receives on the last.
struct Flood {
    swarm: Swarm,
    received: Received,
    message: Vec<u8>,
    pace: Pace,
}

#[derive(Default)]
struct Received(u64);

impl Listener for Received {
    fn frame(&mut self, _: usize, _: u8, body: &[u8]) {
        self.0 += u64::from(body.len() > SIZE);
    }

    fn part(&mut self, _: usize, _: Part<'_>) {}
}

impl Flood {
    fn enter(targets: &[&Target]) -> Result<Self> {
        let (mut swarm, mut received) = (Swarm::new()?, Received::default());
        for (member, target) in [targets[0], targets[targets.len() - 1]].into_iter().enumerate() {
            let deadline = Deadline::after(Duration::from_secs(20));
            swarm.enter(target.address, [target.noisy_tenant(0, member)?], &mut received, deadline)?;
        }
        let mut message = Vec::new();
        Broadcast::phoenix(Encoding::Text, &topic(0), SIZE).append_to(&mut message, 0, 0);
        Ok(Self { swarm, received, message, pace: Pace::per_second(RATE) })
    }
}

impl Attacker for Flood {
    fn start(&mut self) {
        self.pace.restart();
    }

    fn attack(&mut self) -> Result<u64> {
        for _ in 0..self.pace.due() {
            self.swarm.send(0, &self.message)?;
        }
        self.swarm.turn(Some(Duration::from_millis(1)), &mut self.received)?;
        Ok(std::mem::take(&mut self.received.0))
    }

    fn rest(&mut self) -> Result<()> {
        self.swarm.turn(Some(Duration::from_millis(5)), &mut self.received)
    }
}
