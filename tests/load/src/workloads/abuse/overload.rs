//! A thousand sockets of a tenant, in rooms of ten, send ten times what its limits allow: broadcasts and joins.
//!
//! A tenth of it is within the limits; the server has to deliver that, and to refuse the rest cheaply.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::attacker::{Attacker, Pace};
use super::{Attack, Nodes};
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::{self, Broadcast, Encoding, PAYLOAD, Privacy, opcode};
use crate::report::Goal;
use crate::server::{Target, topic};
use crate::setup::NOISY_RATE;
use crate::swarm::Swarm;

/// How many times its limits it sends.
const TIMES_ITS_LIMIT: u32 = 10;
/// Sockets in one room.
const MEMBERS_PER_ROOM: usize = 10;

pub const OVERLOAD: Attack = Attack {
    nodes: Nodes::One,
    variables: || Ok(Vec::new()),
    attacker: |targets, fewer| Ok(Box::new(Overload::enter(targets[0], 1000 / fewer)?)),
    presence: Goal::None,
    effect: "joins refused/s",
    // The burst allowance is that of ten seconds, and is used up at ten times the rate.
    before: Duration::from_millis(1_500),
};

/// Each of its sockets in turn sends a broadcast and a join in one write.
struct Overload {
    swarm: Swarm,
    refused: Refused,
    calls: Vec<Vec<u8>>,
    next: usize,
    pace: Pace,
}

/// Counts refused joins.
#[derive(Default)]
struct Refused(u64);

impl Listener for Refused {
    fn frame(&mut self, _: usize, kind: u8, body: &[u8]) {
        const REFUSED: &[u8] = b"ClientJoinRateLimitReached";
        let refused = || body.windows(REFUSED.len()).any(|window| window == REFUSED);
        self.0 += u64::from(kind == opcode::TEXT && refused());
    }
}

impl Overload {
    fn enter(target: &Target, sockets: usize) -> Result<Self> {
        let (mut swarm, mut refused) = (Swarm::new()?, Refused::default());
        let room = |member: usize| (member / MEMBERS_PER_ROOM) as u32;
        let entries = (0..sockets)
            .map(|member| target.noisy_tenant(room(member), member))
            .collect::<Result<Vec<_>>>()?;
        swarm.enter(target.address, entries, &mut refused, Deadline::after(Duration::from_secs(20)))?;
        let calls = |member: usize| {
            let mut bytes = Vec::new();
            Broadcast::phoenix(Encoding::Binary, &topic(room(member)), PAYLOAD).append_to(&mut bytes, 0, 0);
            // Another room than the one it sends to, which it would lose when the join is refused.
            let join =
                message::join(&topic(1_000 + room(member)), &json!({"enabled": false}), Privacy::Public);
            bytes.extend(message::client_frame(opcode::TEXT, join.as_bytes()));
            bytes
        };
        let calls = (0..sockets).map(calls).collect();
        let pace = Pace::per_second(NOISY_RATE * TIMES_ITS_LIMIT);
        Ok(Self { swarm, refused, calls, next: 0, pace })
    }
}

impl Attacker for Overload {
    fn start(&mut self) {
        self.pace.restart();
    }

    fn attack(&mut self) -> Result<u64> {
        for _ in 0..self.pace.due() {
            self.swarm.send(self.next, &self.calls[self.next])?;
            self.next = (self.next + 1) % self.calls.len();
        }
        self.swarm.turn(Some(Duration::from_millis(1)), &mut self.refused)?;
        Ok(std::mem::take(&mut self.refused.0))
    }

    fn rest(&mut self) -> Result<()> {
        self.swarm.turn(Some(Duration::from_millis(5)), &mut self.refused)
    }
}
