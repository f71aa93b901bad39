//! Following the tenant's policy while connected: the server rings, and what no longer holds ends.
//!
//! Nothing of this waits for the client to say something. What is only asked at a join or for a message
//! (limits, whether presence is on) is looked up there and is not here.

use hub::Goodbye;
use tracing::debug;
use wire::phoenix::{Ref, Status};

use super::Phoenix;
use super::line::Line;
use crate::sessions::Session;

/// What every room is told before its connection is closed from outside (§5).
const DISCONNECT: &str = "Server requested disconnect";

/// What a public room is told when there may be none any more (§11).
const PRIVATE_ONLY: &str = "This project only allows private channels";

impl Phoenix {
    /// Looks at the policy if it is another than last time, and ends what it no longer allows.
    pub(super) fn follow_policy(&mut self) {
        let policy = self.tenant.policy();
        if policy.generation == self.generation {
            return;
        }
        self.generation = policy.generation;
        if let Some(goodbye) = policy.farewell(self.admitted) {
            return self.go(goodbye);
        }
        self.end_outlived();
        if policy.private_only() {
            self.end_public();
        }
        self.reschedule();
    }

    /// Says so in every room, leaves them all, and closes the connection.
    fn go(&mut self, goodbye: &Goodbye) {
        let (code, tenant) = ("ChannelShutdown", &self.tenant.id);
        debug!(parent: &self.origin.span(), code, %tenant, "Sent a client away: {}", goodbye.reason);
        self.flush();
        for (topic, joined) in self.topics.drain() {
            // Ok, as upstream says it: an error makes some SDKs give up the channel, instead of coming back.
            self.line.system(&joined.join_ref, &topic, "system", Status::Ok, DISCONNECT);
        }
        self.line.outbox.say_goodbye(goodbye.clone());
    }

    /// Ends every public channel. Those are all: a private one needs the tenant's database.
    fn end_public(&mut self) {
        let topics: Vec<Box<str>> = self.topics.keys().cloned().collect();
        for topic in topics {
            self.end(&topic, PRIVATE_ONLY, Line::closed);
        }
    }

    /// Ends a channel: says why, then the last word, which tells clients whether to come again.
    pub(super) fn end(&mut self, topic: &str, why: &str, last_word: fn(&Line, &Ref<'_>, &str)) {
        let Some(joined) = self.topics.remove(topic) else { return };
        let (code, tenant) = ("ChannelShutdown", &self.tenant.id);
        debug!(parent: &self.origin.span(), code, %tenant, "Ended a channel: {why}");
        let join_ref = joined.join_ref.clone();
        drop(joined);
        self.line.system(&join_ref, topic, "system", Status::Error, why);
        last_word(&self.line, &join_ref, topic);
    }
}
