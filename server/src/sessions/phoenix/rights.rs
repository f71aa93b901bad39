//! Rights in private rooms while connected: asked again when a client refreshes its token, and every
//! `database.recheck_interval` (docs/protocol/private-rooms.md).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Privacy, Receives};
use rustc_hash::FxBuildHasher;
use tokio::time::timeout;
use wire::phoenix::Ref;

use super::PhoenixSession;
use super::joined::JoinedTopic;
use super::outbound::Outbound;
use crate::auth::{AuthorizationError, Authorized, Decision, Freshness, NO_CHANNEL_MEMORY, Question, Rights};
use crate::sessions::KeptClaims;
use crate::sessions::completions::{Completion, Completions, PendingTask};
use crate::telemetry::codes::{Code, Scope};

/// Which part of `database.recheck_interval` passes between two questions, so that not all clients ask at once. The rest is for the
/// answer.
const RECHECK_PART: std::ops::Range<f64> = 0.5..0.75;

/// The text for a client that may read nothing in a room.
pub(super) fn may_not_read(topic: &str) -> String {
    format!("You do not have permissions to read from this Channel topic: {topic}")
}

/// Questions about rooms that are joined, while there are any.
pub(super) struct Rechecks {
    completions: Completions<Authorized>,
    pending: HashMap<Box<str>, PendingRecheck, FxBuildHasher>,
}

struct PendingRecheck {
    task: PendingTask,
    reason: RecheckReason,
    /// Those that are asked about, and the join. The channel may have others by then.
    claims: Arc<KeptClaims>,
    join_ref: Ref<'static>,
}

/// Why rights are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecheckReason {
    /// The client acts with another token.
    NewToken,
    /// The policies may have changed.
    Interval,
}

impl PendingRecheck {
    /// Whether it was asked for this join, with the token that it has now.
    fn is_about(&self, joined: &JoinedTopic) -> bool {
        let is_same = self.join_ref == joined.join_ref && Arc::ptr_eq(&self.claims, &joined.claims);
        is_same && joined.privacy == Privacy::Private
    }
}

impl Rechecks {
    /// The next topic whose rights were found out.
    fn next(&mut self) -> Option<(Box<str>, PendingRecheck, Authorized)> {
        loop {
            let Completion { task, result } = self.completions.take()?;
            let found = self.pending.iter().find(|(_, recheck)| recheck.task.id() == task);
            // One that was replaced in the last moment is not there any more.
            let Some(topic) = found.map(|(topic, _)| topic.clone()) else { continue };
            let recheck = self.pending.remove(&topic)?;
            let found = result.unwrap_or_else(|| Err(AuthorizationError::undecided()));
            return Some((topic, recheck, found));
        }
    }
}

impl PhoenixSession {
    /// Asks again for the rights in a private room, where what the client may do until then is what it could do before; in a public
    /// one they are known.
    pub(super) fn ask_rights(&mut self, topic: &str, reason: RecheckReason) {
        let Some(joined) = self.topics.get(topic) else { return };
        if joined.privacy == Privacy::Public {
            return self.set_rights(topic, Rights::ALL);
        }
        let (claims, join_ref) = (Arc::clone(&joined.claims), joined.join_ref.clone());
        // Its connections may have been closed meanwhile, or its settings have changed.
        self.services.databases.note_use(&self.tenant);
        let question = Question {
            room: joined.membership.key(),
            claims: joined.claims.shared(),
            headers: self.headers.json(),
            freshness: match reason {
                RecheckReason::NewToken => Freshness::Recent,
                RecheckReason::Interval => Freshness::New,
            },
            turns: &self.question_turns,
        };
        match self.services.authorizer.authorize(question) {
            Decision::Immediate(result) => self.apply_rights(topic, reason, result),
            Decision::Pending(work) => {
                let (outbox, tasks) = (&self.outbound.outbox, self.services.tasks.clone());
                let max = self.max_tasks;
                let rechecks = self.rechecks.get_or_insert_with(|| {
                    let completions = Completions::new(outbox, tasks, max);
                    Box::new(Rechecks { completions, pending: HashMap::default() })
                });
                let limit = self.services.node.settings().server.authorization_timeout;
                let work = async move {
                    timeout(limit, work).await.unwrap_or_else(|_elapsed| Err(AuthorizationError::undecided()))
                };
                let task = rechecks.completions.start(work);
                // That the client has another token matters, also if the same is asked again because it is time.
                let has_new =
                    rechecks.pending.get(topic).is_some_and(|old| old.reason == RecheckReason::NewToken);
                let reason = if has_new { RecheckReason::NewToken } else { reason };
                // Dropping the question that this one replaces cancels it.
                rechecks.pending.insert(topic.into(), PendingRecheck { task, reason, claims, join_ref });
            }
        }
    }

    /// Applies the rights that were found out since the last call, unless the channel acts with another token by now.
    pub(super) fn apply_found_rights(&mut self) {
        while let Some((topic, recheck, result)) = self.rechecks.as_mut().and_then(|rechecks| rechecks.next())
        {
            if self.topics.get(&topic).is_some_and(|joined| recheck.is_about(joined)) {
                self.apply_rights(&topic, recheck.reason, result);
            }
        }
        if self.rechecks.as_ref().is_some_and(|rechecks| rechecks.pending.is_empty()) {
            self.rechecks = None;
        }
    }

    fn apply_rights(&mut self, topic: &str, reason: RecheckReason, result: Authorized) {
        match result {
            Ok(rights) => self.set_rights(topic, rights),
            Err(error) if error.code == Code::RlsPolicyError => self.set_rights(topic, Rights::NONE),
            Err(error) if reason == RecheckReason::NewToken => {
                self.end(topic, unknown_rights(&error), Outbound::errored);
                self.watch_rooms();
            }
            // The client keeps what it has while its database is away, and is asked about again.
            Err(error) => {
                self.tenant.reports.record(self.report(error.code, Scope::Log), &error.text);
            }
        }
    }

    /// Narrows the rights in every room to what the token of its channel gives by the present policy.
    pub(super) fn apply_permissions(&mut self) {
        let policy = self.tenant.policy();
        let too_many = |joined: &JoinedTopic| {
            let permitted = policy.permitted(&joined.claims, &joined.membership.key().topic);
            joined.rights.and(permitted) != joined.rights
        };
        let narrowed = self.topics.iter().filter(|(_, joined)| too_many(joined));
        let narrowed: Vec<_> = narrowed.map(|(topic, joined)| (topic.clone(), joined.rights)).collect();
        for (topic, rights) in narrowed {
            self.set_rights(&topic, rights);
        }
    }

    /// Sets the rights in a room to those of `rights` that the token of its channel gives.
    fn set_rights(&mut self, topic: &str, rights: Rights) {
        let Some(joined) = self.topics.get_mut(topic) else { return };
        let old = joined.rights;
        let sub_topic = &joined.membership.key().topic;
        let rights = rights.and(self.tenant.policy().permitted(&joined.claims, sub_topic));
        let uses_presence = joined.tracker.is_some();
        let reads_presence = rights.read_presence && uses_presence;
        if !rights.read_broadcasts && !reads_presence {
            let reason = may_not_read(sub_topic);
            self.end(topic, &reason, Outbound::closed);
            return self.watch_rooms();
        }
        let lost_presence = uses_presence && old.read_presence && !rights.read_presence;
        if (old.read_broadcasts && !rights.read_broadcasts) || lost_presence {
            let reason =
                format!("You no longer have permission to read from this Channel topic: {sub_topic}");
            self.end(topic, &reason, Outbound::closed);
            return self.watch_rooms();
        }
        joined.rights = rights;
        if !rights.track_presence
            && let Some(tracker) = &mut joined.tracker
        {
            tracker.untrack(&self.tenant, &joined.membership, Instant::now());
        }
        if rights.read_broadcasts && !old.read_broadcasts {
            joined.membership.set_receives(Receives::Everything);
        }
    }

    /// A room was joined: the rights of a private one are to be asked again in time.
    pub(super) fn watch_rights(&mut self, privacy: Privacy) {
        if privacy == Privacy::Private && self.rights_due.is_none() {
            self.rights_due = self.recheck_pause().map(|pause| Instant::now() + pause);
            self.tick_by(self.rights_due);
        }
    }

    /// Asks for the rights in all private rooms, if that is due.
    pub(super) fn recheck_rights(&mut self, now: Instant) {
        if self.rights_due.is_none_or(|due| due > now) {
            return;
        }
        let private = self.topics.iter().filter(|(_, joined)| joined.privacy == Privacy::Private);
        let topics: Vec<Box<str>> = private.map(|(topic, _)| topic.clone()).collect();
        let pause = self.recheck_pause().filter(|_| !topics.is_empty());
        self.rights_due = pause.map(|pause| now + pause);
        if pause.is_some() {
            topics.iter().for_each(|topic| self.ask_rights(topic, RecheckReason::Interval));
        }
    }

    /// How long after one question the next follows.
    fn recheck_pause(&self) -> Option<Duration> {
        let policy = self.tenant.policy();
        let interval = policy.database()?.usage.recheck_interval?;
        let random = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
        Some(interval.mul_f64(RECHECK_PART.start + random * (RECHECK_PART.end - RECHECK_PART.start)))
    }
}

/// The text for a client whose rights cannot be found out (docs/protocol/tokens.md).
fn unknown_rights(error: &AuthorizationError) -> &'static str {
    match error.code {
        Code::QueryCanceled => "Query was cancelled, please try again",
        Code::MemoryLimitReached => NO_CHANNEL_MEMORY,
        _ => Code::UnableToConnectToProject.text(),
    }
}
