//! Numbered messages at their receivers: each has to receive all that are for it, in order; and when the last one has received
//! each.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::connection::Listener;
use crate::message::opcode;

/// The event of the messages, of which members receive binary frames of kind 4.
pub const EVENT: &str = "m";

const KIND: u8 = 4;

/// The first bytes of such a frame: its kind, the sizes of topic, event and metadata, the encoding of the payload.
const HEAD: usize = 5;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The message with this number.
    Number(u32),
    /// Nothing that is measured.
    Other,
    /// What must not arrive.
    Unexpected,
}

/// What has arrived.
pub struct Arrivals {
    /// The next number that each member expects.
    next: Vec<u32>,
    /// From one number of a member to the next.
    step: u32,
    /// How many receivers have a number.
    received: Vec<u32>,
    /// When the last receiver had a number.
    complete: Vec<Option<Instant>>,
    complete_count: usize,
    /// What a frame is, by its opcode and body.
    read: fn(u8, &[u8]) -> Content,
    receivers: u32,
    fault: Option<String>,
}

impl Arrivals {
    /// Of `messages` to all of so many receivers among the `members`. Numbers begin at 0.
    pub fn at_all(members: usize, receivers: usize, messages: usize, read: fn(u8, &[u8]) -> Content) -> Self {
        Self {
            next: vec![0; members],
            step: 1,
            received: vec![0; messages],
            complete: vec![None; messages],
            complete_count: 0,
            read,
            receivers: receivers as u32,
            fault: None,
        }
    }

    /// Of `messages` that are for one member each, in turn.
    pub fn in_turn(members: usize, messages: usize, read: fn(u8, &[u8]) -> Content) -> Self {
        let (next, step) = ((0..members as u32).collect(), members as u32);
        Self { next, step, ..Self::at_all(0, 1, messages, read) }
    }

    /// Whether all receivers have all messages, or something else has arrived that ends the run.
    pub fn is_over(&self) -> bool {
        self.complete_count == self.received.len() || self.fault.is_some()
    }

    /// How many messages all their receivers have.
    pub fn count(&self) -> usize {
        self.complete_count
    }

    /// The same as a sentence.
    pub fn progress(&self) -> String {
        format!("{} of {} messages have reached their receivers", self.complete_count, self.received.len())
    }

    /// When each message had reached its last receiver, by its number. Checks that nothing was lost, repeated, out of order or
    /// unexpected.
    pub fn times(&self) -> Result<Vec<Instant>> {
        ensure!(self.fault.is_none(), "unexpected: {}", self.fault.as_deref().unwrap_or_default());
        let times: Vec<Instant> = self.complete.iter().copied().flatten().collect();
        ensure!(times.len() == self.received.len(), self.progress());
        Ok(times)
    }

    #[cold]
    fn note_fault(&mut self, member: usize, body: &[u8]) {
        let expected = self.next[member];
        let body = String::from_utf8_lossy(&body[..body.len().min(300)]);
        self.fault.get_or_insert(format!("member {member} expects number {expected} and receives {body}"));
    }
}

impl Listener for Arrivals {
    fn frame(&mut self, member: usize, kind: u8, body: &[u8]) {
        let number = match (self.read)(kind, body) {
            Content::Number(number) if number == self.next[member] => number,
            Content::Other => return,
            Content::Number(_) | Content::Unexpected => return self.note_fault(member, body),
        };
        let Some(received) = self.received.get_mut(number as usize) else {
            return self.note_fault(member, body);
        };
        self.next[member] += self.step;
        *received += 1;
        if *received == self.receivers {
            self.complete[number as usize] = Some(Instant::now());
            self.complete_count += 1;
        }
    }
}

/// The payload of a broadcast.
fn payload(kind: u8, body: &[u8]) -> Option<&[u8]> {
    let head = body.first_chunk::<HEAD>().filter(|head| kind == opcode::BINARY && head[0] == KIND)?;
    body.get(HEAD + head[1..4].iter().map(|size| usize::from(*size)).sum::<usize>()..)
}

/// A broadcast whose payload PostgreSQL has written.
pub fn broadcast_from_database(kind: u8, body: &[u8]) -> Content {
    payload(kind, body).and_then(number_of_row).map_or(Content::Unexpected, Content::Number)
}

/// A frame of the floor.
pub fn broadcast_of_floor(kind: u8, body: &[u8]) -> Content {
    payload(kind, body)
        .map_or(Content::Unexpected, |payload| Content::Number(crate::message::number(payload)))
}

/// The number in a payload that PostgreSQL has written: the first key of a `jsonb` object.
fn number_of_row(payload: &[u8]) -> Option<u32> {
    leading_number(payload.strip_prefix(br#"{"n": "#)?)
}

/// The number whose digits are followed by something else.
pub fn leading_number(text: &[u8]) -> Option<u32> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(number: u32) -> Vec<u8> {
        let payload = format!(r#"{{"n": {number}, "id": "x"}}"#);
        [&[KIND, 5, 1, 2, 1], b"topicm{}".as_slice(), payload.as_bytes()].concat()
    }

    fn two_of_two() -> Arrivals {
        Arrivals::at_all(2, 2, 2, broadcast_from_database)
    }

    #[test]
    fn a_message_is_complete_when_the_last_member_has_it() {
        let mut arrivals = two_of_two();
        for (member, number, complete) in [(0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 2)] {
            arrivals.frame(member, opcode::BINARY, &body(number));
            assert_eq!(arrivals.count(), complete);
        }
        assert_eq!(arrivals.times().expect("all have all").len(), 2);
    }

    #[test]
    fn messages_for_one_member_each_arrive_there_in_order() {
        let mut arrivals = Arrivals::in_turn(2, 4, broadcast_from_database);
        for (member, number) in [(1, 1), (0, 0), (0, 2), (1, 3)] {
            arrivals.frame(member, opcode::BINARY, &body(number));
        }
        arrivals.times().expect("each has its own");
        let mut arrivals = Arrivals::in_turn(2, 4, broadcast_from_database);
        arrivals.frame(0, opcode::BINARY, &body(1));
        assert!(arrivals.times().is_err(), "it is for the other one");
    }

    #[test]
    fn what_is_lost_repeated_or_unexpected_fails_the_run() {
        for second in [body(0), body(2), b"[null,null,\"t\",\"system\",{}]".to_vec()] {
            let mut arrivals = two_of_two();
            arrivals.frame(0, opcode::BINARY, &body(0));
            arrivals.frame(0, opcode::BINARY, &second);
            assert!(arrivals.is_over() && arrivals.times().is_err(), "{second:?}");
        }
    }
}
