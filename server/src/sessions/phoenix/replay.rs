//! Joins that ask for earlier messages (docs/protocol/history.md#replay).
//!
//! The client becomes a member first, and what the room sends to it waits in the hub until the messages have been read. So
//! none is missed between the two, and none is sent twice. Reading is a task; until it has ended the join waits as it did for
//! its authorization.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use wire::supabase::{ReplayRequest, replayed};

use super::PhoenixSession;
use super::early_member::EarlyMember;
use super::join::Join;
use super::joining::{JoinStep, WaitResult};
use super::replayed::ReplayedMessages;
use crate::broadcast::replay::{self, ReplayError};

impl PhoenixSession {
    /// Lets the join of a member wait for the earlier messages it asks for.
    pub(super) fn await_replay(&mut self, join: Join<'_>, member: EarlyMember, request: ReplayRequest) {
        let outbound = &self.outbound;
        let membership = &member.membership;
        let (services, tenant) = (Arc::clone(&self.services), Arc::clone(&self.tenant));
        let (confirmation, room) = (membership.confirmation(), Arc::clone(membership.key()));
        let (dialect, bytes_max) = (outbound.dialect, outbound.outbox.bounds().bytes / 2);
        let (join_ref, topic) = (join.message.join_ref.clone().into_owned(), join.message.topic.to_string());
        let turn = self.question_turns.next_turn();
        let deadline = Instant::now() + services.node.settings().server.authorization_timeout;
        let work = async move {
            let started = Instant::now();
            let read = async {
                confirmation.await;
                replay::read(&services.node, &services.databases, &tenant, &room, &request, turn).await
            };
            let read = timeout_at(deadline, read).await.unwrap_or(Err(ReplayError::TimedOut));
            let metrics = tenant.metrics.replay();
            metrics.times.record(started.elapsed().as_secs_f64() * 1000.0);
            let read = read.map(|mut messages| {
                // With what waits meanwhile, of which there is at most as much, it fits into the outbox.
                messages.fit(bytes_max);
                metrics.messages.increment(messages.messages.len() as u64);
                ReplayedMessages::encode(messages, request.after, |message| {
                    replayed(dialect, join_ref.as_json(), &topic, message.id(), message.content()?)
                })
            });
            match &read {
                Ok(read) if read.notice().is_some() => metrics.incomplete.increment(1),
                Ok(_) => {}
                Err(_) => metrics.failed.increment(1),
            }
            WaitResult::Replay(Box::new(read))
        };
        self.await_step(join, JoinStep::Replay(member), work);
    }
}
