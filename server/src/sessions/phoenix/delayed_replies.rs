//! Replies to refused joins that are delayed, so that a client that retries at once does so less often.
//!
//! Only the reply is delayed. The replies about one topic keep their order: a later join or leave of the topic sends the
//! delayed reply first.

use std::collections::VecDeque;
use std::time::Instant;

use hub::Frame;

use super::outbound::Outbound;

/// The delayed replies of one connection, earliest first.
#[derive(Debug, Default)]
pub(super) struct DelayedReplies(VecDeque<DelayedReply>);

#[derive(Debug)]
struct DelayedReply {
    due: Instant,
    topic: Box<str>,
    frames: Vec<Frame>,
}

impl DelayedReplies {
    /// Delays `frames` until `due`. At most `max` replies are kept; the earliest is sent to make room for the newest.
    pub(super) fn delay(
        &mut self,
        outbound: &Outbound,
        due: Instant,
        topic: &str,
        frames: Vec<Frame>,
        max: usize,
    ) {
        if self.0.len() >= max {
            self.0.pop_front().iter().for_each(|reply| reply.send(outbound));
        }
        self.0.push_back(DelayedReply { due, topic: topic.into(), frames });
    }

    /// Sends the reply that is delayed for `topic`.
    pub(super) fn send_for(&mut self, outbound: &Outbound, topic: &str) {
        self.0.retain(|reply| {
            let other = *reply.topic != *topic;
            if !other {
                reply.send(outbound);
            }
            other
        });
    }

    /// Sends the replies that are due.
    pub(super) fn send_due(&mut self, outbound: &Outbound, now: Instant) {
        while let Some(reply) = self.0.front().filter(|reply| reply.due <= now) {
            reply.send(outbound);
            self.0.pop_front();
        }
    }

    /// When the next reply is due. The delay is the same for all, so it is the first one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|reply| reply.due)
    }
}

impl DelayedReply {
    fn send(&self, outbound: &Outbound) {
        self.frames.iter().for_each(|frame| outbound.send(frame));
    }
}
