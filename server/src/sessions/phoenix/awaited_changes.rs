//! Joins that are answered when their changes flow (`postgres_changes_options`, docs/protocol/postgres-changes.md#waiting).

use std::time::Duration;

use super::PhoenixSession;
use super::early_member::EarlyMember;
use super::join::Join;
use super::joining::{JoinStep, WaitResult};
use crate::auth::Rights;

impl PhoenixSession {
    /// Lets a join wait for its changes, `wait` at most. The client becomes a member, so that what is committed once they flow
    /// follows the answer.
    pub(super) fn await_changes(&mut self, join: Join<'_>, rights: Rights, wait: Duration) {
        let member = self.join_early(join.room.clone(), rights);
        let join_ref = join.message.join_ref.clone().into_owned();
        let (claims, bindings) = join.subscribes_to();
        let request = self.changes_request(&member.membership, (join_ref, claims), bindings);
        match self.services.changes.subscribe_joining(&self.tenant, request, wait) {
            Ok((subscription, flowing)) => {
                let member = EarlyMember { changes: Some(subscription), ..member };
                let work = async move { WaitResult::Changes(flowing.await) };
                self.await_step(join, JoinStep::Changes(member), work);
            }
            Err(refusal) => self.answer_subscribed_join(join, member, Err(refusal)),
        }
    }
}
