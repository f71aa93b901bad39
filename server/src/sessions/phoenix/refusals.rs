//! Refused joins whose answer waits a little, so that a client that retries at once does so less often.
//!
//! Only the answer waits. The order of answers about one topic stays: whoever says something about a
//! topic settles first what is waiting there.

use std::collections::VecDeque;
use std::time::Instant;

use hub::Frame;

use super::outbound::Outbound;

/// Answers put aside, earliest first.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<DelayedReply>);

#[derive(Debug)]
struct DelayedReply {
    due: Instant,
    topic: Box<str>,
    frames: Vec<Frame>,
}

impl Refusals {
    /// Puts `frames` aside until `due`. No more than `bound` wait; the earliest goes out for the newest.
    pub(super) fn put(
        &mut self,
        outbound: &Outbound,
        due: Instant,
        topic: &str,
        frames: Vec<Frame>,
        bound: usize,
    ) {
        if self.0.len() >= bound {
            self.0.pop_front().iter().for_each(|refusal| refusal.say(outbound));
        }
        self.0.push_back(DelayedReply { due, topic: topic.into(), frames });
    }

    /// Sends what is waiting for `topic`.
    pub(super) fn settle(&mut self, outbound: &Outbound, topic: &str) {
        self.0.retain(|refusal| {
            let other = *refusal.topic != *topic;
            if !other {
                refusal.say(outbound);
            }
            other
        });
    }

    /// Sends what is due.
    pub(super) fn release(&mut self, outbound: &Outbound, now: Instant) {
        while let Some(refusal) = self.0.front().filter(|refusal| refusal.due <= now) {
            refusal.say(outbound);
            self.0.pop_front();
        }
    }

    /// When the next is due. The delay is the same for all, so the first put aside is the first due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|refusal| refusal.due)
    }
}

impl DelayedReply {
    fn say(&self, outbound: &Outbound) {
        self.frames.iter().for_each(|frame| outbound.answer(frame));
    }
}
