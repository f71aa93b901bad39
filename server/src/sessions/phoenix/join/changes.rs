//! The answer to joins that have waited for their changes.

use std::sync::Arc;
use std::time::Duration;

use super::error::JoinError;
use super::{Join, replay_request};
use crate::auth::Claims;
use crate::changes::SubscribeError;
use crate::sessions::phoenix::PhoenixSession;
use crate::sessions::phoenix::bindings::Bindings;
use crate::sessions::phoenix::early_member::EarlyMember;
use crate::telemetry::codes::Code;

impl Join<'_> {
    /// The changes that it asks for, and by whose rights rows are seen.
    pub(in crate::sessions::phoenix) fn subscribes_to(&self) -> (&Arc<Claims>, Bindings) {
        (self.claims.shared(), Bindings::new(self.request.postgres_changes.clone()))
    }
}

impl PhoenixSession {
    /// How long a join waits for its changes, if it does.
    pub(super) fn changes_wait(&self, join: &Join<'_>) -> Option<Duration> {
        let wait = join.request.changes_wait.filter(|_| !join.request.postgres_changes.is_empty())?;
        Some(wait.min(self.services.node.settings().changes.max_wait))
    }

    /// Answers a join that has waited for its changes, or lets it wait for the earlier messages it asks for. What has changed
    /// during the wait is checked again.
    pub(in crate::sessions::phoenix) fn answer_subscribed_join(
        &mut self,
        join: Join<'_>,
        member: EarlyMember,
        outcome: Result<(), SubscribeError>,
    ) {
        let checked = self.recheck_join(&join).and_then(|()| Ok(outcome?));
        match checked.and_then(|()| Ok(replay_request(&join.request)?.cloned())) {
            Ok(Some(request)) => self.await_replay(join, member, request),
            Ok(None) => match self.count_user() {
                Ok(()) => self.enter(join, member.rights, Some((member, None))),
                Err(error) => self.refuse(join.message, &error),
            },
            Err(error) => self.refuse(join.message, &error),
        }
    }
}

impl From<SubscribeError> for JoinError {
    fn from(error: SubscribeError) -> Self {
        let code = match error {
            SubscribeError::TimedOut { .. } => Code::PostgresChangesSubscribeTimeout,
            SubscribeError::Refused(_) => Code::RealtimeDisabledForConfiguration,
        };
        Self { code, text: error.to_string().into() }
    }
}
