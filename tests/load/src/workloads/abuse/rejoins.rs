//! Two connections that rejoin ninety rooms again and again, and receive what is present there.
//!
//! With small states, the presence of others was late, because all tenants had one line. With states of half a
//! megabyte, everything else was.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::attacker::{Attacker, Pace};
use super::{Attack, GOAL, MakeAttacker, Nodes, Variables};
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::{self, Privacy, client_frame, opcode};
use crate::server::{Target, topic};
use crate::swarm::Swarm;

/// Rooms that each of them rejoins.
const ROOMS: usize = 90;
/// Connections that rejoin.
const REJOINERS: usize = 2;
/// Joins a second, if it receives the replies in time: twice what it may have.
const RATE: u32 = 5_000;
/// Joins that it may have in a second: the default, instead of what all runs have.
const JOINS: (&str, &str) = ("REALTIME__TENANTS__NOISY__LIMITS__MAX_JOINS_PER_SECOND", "2500");

const SMALL: Held = Held { holders: 2, bytes: 100 };
const LARGE: Held = Held { holders: 6, bytes: 80_000 };

pub const REJOINS: Attack = attack(Nodes::One, |targets, fewer| enter(targets, SMALL, fewer));
pub const STATES: Attack = attack(Nodes::One, |targets, fewer| enter(targets, LARGE, fewer));
pub const REJOINS_ON_TWO_NODES: Attack = attack(Nodes::Two, |targets, fewer| enter(targets, SMALL, fewer));
pub const STATES_ON_TWO_NODES: Attack = attack(Nodes::Two, |targets, fewer| enter(targets, LARGE, fewer));

const fn attack(nodes: Nodes, attacker: MakeAttacker) -> Attack {
    Attack {
        nodes,
        variables,
        attacker,
        presence: GOAL,
        effect: "rejoins/s",
        before: Duration::from_millis(200),
    }
}

fn variables() -> Result<Variables> {
    Ok(vec![(JOINS.0, JOINS.1.to_owned())])
}

/// What is present in each room.
#[derive(Clone, Copy)]
struct Held {
    /// Members that track.
    holders: usize,
    /// What each of them tracks.
    bytes: usize,
}

/// Rejoiners come first, then those who hold the presence. All are on the first node.
struct Rejoins {
    swarm: Swarm,
    replies: Replies,
    /// A join of each room, and a heartbeat, whose reply ends the round.
    round: Vec<u8>,
    rooms: usize,
    /// Of rounds.
    pace: Pace,
}

/// Which members have a reply to their heartbeat.
struct Replies(Vec<bool>);

impl Listener for Replies {
    fn frame(&mut self, member: usize, _: u8, body: &[u8]) {
        if body.starts_with(br#"[null,"3","phoenix","phx_reply""#) {
            self.0[member] = true;
        }
    }
}

fn enter(targets: &[&Target], held: Held, fewer: usize) -> Result<Box<dyn Attacker>> {
    let (members, rooms) = (REJOINERS + held.holders, ROOMS / fewer);
    let (mut swarm, mut replies) = (Swarm::new()?, Replies(vec![false; members]));
    let deadline = Deadline::after(Duration::from_secs(20));
    // No member of a room of presence yet.
    let entries =
        (0..members).map(|member| targets[0].noisy_tenant(1_000, member)).collect::<Result<Vec<_>>>()?;
    swarm.enter(targets[0].address, entries, &mut replies, deadline)?;
    let joins = |enabled: bool, room: usize| {
        let join = message::join(&topic(room as u32), &json!({"enabled": enabled}), Privacy::Public);
        client_frame(opcode::TEXT, join.as_bytes())
    };
    for holder in REJOINERS..members {
        for room in 0..rooms {
            swarm.send(holder, &joins(false, room))?;
            swarm.send(holder, &track(room, held.bytes))?;
            swarm.turn(Some(Duration::ZERO), &mut replies)?;
        }
        swarm.send(holder, &heartbeat())?;
        swarm.turn_until(&mut replies, deadline, |_| "no reply".to_owned(), |replies| replies.0[holder])?;
    }
    replies.0[..REJOINERS].fill(true);
    let round = (0..rooms).flat_map(|room| joins(true, room)).chain(heartbeat()).collect();
    let pace = Pace::per_second(RATE / rooms as u32);
    Ok(Box::new(Rejoins { swarm, replies, round, rooms, pace }))
}

fn heartbeat() -> Vec<u8> {
    client_frame(opcode::TEXT, br#"[null,"3","phoenix","heartbeat",{}]"#)
}

fn track(room: usize, bytes: usize) -> Vec<u8> {
    let track = json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(bytes)}});
    let text = format!(r#"["1","2","{}","presence",{track}]"#, topic(room as u32));
    client_frame(opcode::TEXT, text.as_bytes())
}

impl Attacker for Rejoins {
    fn start(&mut self) {
        self.pace.restart();
    }

    fn attack(&mut self) -> Result<u64> {
        let mut rejoins = 0;
        for _ in 0..self.pace.due() {
            let Some(member) = (0..REJOINERS).find(|member| self.replies.0[*member]) else { break };
            self.replies.0[member] = false;
            self.swarm.send(member, &self.round)?;
            rejoins += self.rooms as u64;
        }
        self.swarm.turn(Some(Duration::from_millis(1)), &mut self.replies)?;
        Ok(rejoins)
    }

    fn rest(&mut self) -> Result<()> {
        self.swarm.turn(Some(Duration::from_millis(5)), &mut self.replies)
    }
}
