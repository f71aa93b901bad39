//! Numbered messages at their receivers: each has to receive all, in order; and when the last one has received each.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::connection::Listener;
use crate::message::opcode;

/// The event of the messages, of which members receive binary frames of kind 4.
pub const EVENT: &str = "m";

const KIND: u8 = 4;

/// The first bytes of such a frame: its kind, the sizes of topic, event and metadata, the encoding of the payload.
const HEAD: usize = 5;

/// What has arrived.
pub struct Arrivals {
    /// The next number that each member expects.
    next: Vec<u32>,
    /// Members that have received a number.
    received: Vec<u32>,
    /// When the last member has received a number.
    pub complete: Vec<Instant>,
    /// The number in a payload.
    number: fn(&[u8]) -> Option<u32>,
    receivers: u32,
    fault: Option<String>,
}

impl Arrivals {
    /// Of `messages` at so many receivers among the `members`. Numbers begin at 0.
    pub fn new(members: usize, receivers: usize, messages: usize, number: fn(&[u8]) -> Option<u32>) -> Self {
        Self {
            next: vec![0; members],
            received: vec![0; messages],
            complete: Vec::with_capacity(messages),
            number,
            receivers: receivers as u32,
            fault: None,
        }
    }

    /// Whether all members have received all messages, or something else has arrived that ends the run.
    pub fn is_over(&self) -> bool {
        self.complete.len() == self.received.len() || self.fault.is_some()
    }

    /// How many messages all members have received.
    pub fn progress(&self) -> String {
        format!("{} of {} messages have reached all members", self.complete.len(), self.received.len())
    }

    /// Checks that nothing was lost, repeated, out of order or unexpected.
    pub fn check(&self) -> Result<()> {
        ensure!(self.fault.is_none(), "unexpected: {}", self.fault.as_deref().unwrap_or_default());
        ensure!(self.complete.len() == self.received.len(), self.progress());
        Ok(())
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
        let number = payload(kind, body).and_then(self.number);
        let Some(number) = number.filter(|number| *number == self.next[member]) else {
            return self.note_fault(member, body);
        };
        self.next[member] += 1;
        let Some(received) = self.received.get_mut(number as usize) else {
            return self.note_fault(member, body);
        };
        *received += 1;
        // Each member receives in order, so messages are complete in order.
        if *received == self.receivers {
            self.complete.push(Instant::now());
        }
    }
}

/// The payload of a broadcast.
fn payload(kind: u8, body: &[u8]) -> Option<&[u8]> {
    let head = body.first_chunk::<HEAD>().filter(|head| kind == opcode::BINARY && head[0] == KIND)?;
    body.get(HEAD + head[1..4].iter().map(|size| usize::from(*size)).sum::<usize>()..)
}

/// The number in a payload that PostgreSQL has written: the first key of a `jsonb` object.
pub fn number_of_row(payload: &[u8]) -> Option<u32> {
    let digits = payload.strip_prefix(br#"{"n": "#)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(number: u32) -> Vec<u8> {
        let payload = format!(r#"{{"n": {number}, "id": "x"}}"#);
        [&[KIND, 5, 1, 2, 1], b"topicm{}".as_slice(), payload.as_bytes()].concat()
    }

    fn two_of_two() -> Arrivals {
        Arrivals::new(2, 2, 2, number_of_row)
    }

    #[test]
    fn a_message_is_complete_when_the_last_member_has_it() {
        let mut arrivals = two_of_two();
        for (member, number, complete) in [(0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 2)] {
            arrivals.frame(member, opcode::BINARY, &body(number));
            assert_eq!(arrivals.complete.len(), complete);
        }
        arrivals.check().expect("all have all");
    }

    #[test]
    fn what_is_lost_repeated_or_unexpected_fails_the_run() {
        for second in [body(0), body(2), b"[null,null,\"t\",\"system\",{}]".to_vec()] {
            let mut arrivals = two_of_two();
            arrivals.frame(0, opcode::BINARY, &body(0));
            arrivals.frame(0, opcode::BINARY, &second);
            assert!(arrivals.is_over() && arrivals.check().is_err(), "{second:?}");
        }
    }
}
