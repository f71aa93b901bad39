//! Joins that are answered when their changes flow (`postgres_changes_options`, docs/protocol/postgres-changes.md#waiting).

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::JoinError;
use super::{Join, replay_request};
use crate::auth::Rights;
use crate::sessions::phoenix::PhoenixSession;
use crate::sessions::phoenix::bindings::Bindings;
use crate::sessions::phoenix::early_member::EarlyMember;
use crate::sessions::phoenix::joining::{JoinStep, WaitResult};
use crate::telemetry::codes::Code;

/// Why a join is refused that has waited for its changes.
#[derive(Debug)]
pub(in crate::sessions::phoenix) enum ChangesError {
    /// They did not flow in this time.
    TimedOut(Duration),
    /// The client has to subscribe to something else.
    Refused(String),
}

impl From<ChangesError> for JoinError {
    fn from(error: ChangesError) -> Self {
        match error {
            ChangesError::TimedOut(wait) => {
                let milliseconds = wait.as_millis();
                let text =
                    format!("Timed out after {milliseconds}ms waiting for the postgres_changes subscription");
                Self { code: Code::PostgresChangesSubscribeTimeout, text: text.into() }
            }
            ChangesError::Refused(text) => {
                Self { code: Code::RealtimeDisabledForConfiguration, text: text.into() }
            }
        }
    }
}

impl PhoenixSession {
    /// How long a join waits for its changes, if it does.
    pub(super) fn changes_wait(&self, join: &Join<'_>) -> Option<Duration> {
        let max = self.services.node.settings().changes.max_wait;
        let wait = join.request.changes_wait.filter(|_| !join.request.postgres_changes.is_empty())?;
        Some(wait.min(max))
    }

    /// Lets a join wait for its changes, `wait` at most. The client becomes a member, so that what is committed once they flow
    /// follows the answer.
    pub(super) fn await_changes(&mut self, join: Join<'_>, rights: Rights, wait: Duration) {
        let member = self.join_early(join.room.clone(), rights);
        let bindings = Bindings::new(join.request.postgres_changes.clone());
        let join_ref = join.message.join_ref.clone().into_owned();
        let request = self.changes_request(&member.membership, (join_ref, join.claims.shared()), bindings);
        match self.services.changes.subscribe_joining(&self.tenant, request) {
            Ok((subscription, flowing)) => {
                let deadline = Instant::now() + wait;
                let work = async move {
                    let outcome = timeout_at(deadline, flowing).await;
                    WaitResult::Changes(match outcome {
                        Ok(flowing) => flowing.map_err(ChangesError::Refused),
                        Err(_elapsed) => Err(ChangesError::TimedOut(wait)),
                    })
                };
                let member = EarlyMember { changes: Some(subscription), ..member };
                self.await_step(join, JoinStep::Changes(member), work);
            }
            Err(reason) => self.refuse(&join.message, &ChangesError::Refused(reason).into()),
        }
    }

    /// Answers a join that has waited for its changes, or lets it wait for the earlier messages it asks for. What has changed
    /// during the wait is checked again.
    pub(in crate::sessions::phoenix) fn answer_subscribed_join(
        &mut self,
        join: Join<'_>,
        member: EarlyMember,
        outcome: Result<(), ChangesError>,
    ) {
        let checked = self.recheck_join(&join).and_then(|()| Ok(outcome?));
        match checked.and_then(|()| Ok(replay_request(&join.request)?.cloned())) {
            Ok(Some(request)) => self.await_replay(join, member, request),
            Ok(None) => match self.count_user() {
                Ok(()) => self.enter(join, member.rights, Some((member, None))),
                Err(error) => self.refuse(&join.message, &error),
            },
            Err(error) => self.refuse(&join.message, &error),
        }
    }
}
