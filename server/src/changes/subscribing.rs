//! What it takes until the changes of a subscription flow.
//!
//! «Subscribed» is sent once the log is read from before the check of the subscription: nothing that is committed after the
//! client has received it is missed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use hub::JoinConfirmation;
use tokio::time::sleep;

use super::checking::CheckOutcome;
use super::shared_checks::CheckFailure;
use super::slow_checks::{SLOWEST_PAUSE, SlowChecks};
use super::subscriber::ChangeSubscriber;
use super::tenant_changes::{ChangesOfTenant, UNANSWERED};
use crate::auth::NO_CHANNEL_MEMORY;
use crate::backoff::random;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::DatabaseFailure;

/// The shortest pause before a subscription that has failed is tried again, and what is added at most, as upstream has it.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_SPREAD: Duration = Duration::from_secs(5);

/// The pause while a join waits, which does so for some seconds only.
const RETRY_JOINING: Duration = Duration::from_secs(1);

/// What clients receive when the database has no time for the check of their subscription.
const TOO_SLOW: &str = "the database takes too long to check the subscription";

/// What they receive when no check finds tables as another question has described them.
const TABLES_CHANGE: &str = "its tables change while the subscription is checked";

/// The outcome of an attempt.
enum Attempt {
    Subscribed,
    /// The client has to subscribe to something else.
    Refused(String),
    /// It may succeed later.
    Failed(String),
    /// The database had no time for the check, but for so many others meanwhile.
    Slow {
        others_answered: u64,
    },
    /// Another one decides, if the channel is still there.
    Outdated,
}

impl ChangesOfTenant {
    /// Subscribes a channel that has subscribed before, and notifies it of that.
    pub(super) fn subscribe_again(self: &Arc<Self>, subscriber: &Arc<ChangeSubscriber>) {
        let attempts = run(Arc::downgrade(self), Arc::clone(subscriber), None);
        self.spawn_attempts(subscriber, attempts);
    }
}

/// What a client receives when the log is not read.
pub(super) fn not_available(reason: &str) -> String {
    format!("Changes of the database are not available: {reason}")
}

/// Subscribes a channel whose join waits for it. `failed` is called with the reason of each attempt that may succeed later.
///
/// # Errors
/// Why it has to subscribe to something else.
pub(super) async fn run_joining(
    changes: Weak<ChangesOfTenant>,
    subscriber: Arc<ChangeSubscriber>,
    confirmation: JoinConfirmation,
    failed: impl FnMut(String),
) -> Result<(), String> {
    confirmation.await;
    // The subscription is held by the join, and with it the changes of the tenant.
    let outcome = until_settled(&changes, &subscriber, || RETRY_JOINING, failed).await;
    outcome.unwrap_or_else(|| Err(UNANSWERED.to_owned()))
}

/// Subscribes a channel, after its join was confirmed.
pub(super) async fn run(
    changes: Weak<ChangesOfTenant>,
    subscriber: Arc<ChangeSubscriber>,
    confirmation: Option<JoinConfirmation>,
) {
    if let Some(confirmation) = confirmation {
        confirmation.await;
    }
    let Some(tenant) = changes.upgrade().map(|changes| Arc::clone(&changes.tenant)) else { return };
    let mut noticed = None;
    let notice_once = |text: String| {
        // The same reason is sent once.
        if noticed.as_ref() != Some(&text) {
            subscriber.notice_failure(&text);
        }
        noticed = Some(text);
    };
    let pause = || RETRY + RETRY_SPREAD.mul_f64(random());
    match until_settled(&changes, &subscriber, pause, notice_once).await {
        Some(Ok(())) => subscriber.notice_subscribed(),
        Some(Err(text)) => {
            let report = Code::RealtimeDisabledForConfiguration.at(Scope::Channel);
            tenant.reports.record(report, &text);
            subscriber.refuse(&text);
        }
        None => {}
    }
}

/// Tries to subscribe a channel, after pauses, until it has subscribed, or has to subscribe to something else for the reason that
/// is returned. `failed` is called with the reason of each attempt that may succeed later. `None` if nothing is read for the tenant
/// any more.
async fn until_settled(
    changes: &Weak<ChangesOfTenant>,
    subscriber: &Arc<ChangeSubscriber>,
    pause: impl Fn() -> Duration,
    mut failed: impl FnMut(String),
) -> Option<Result<(), String>> {
    let mut slow = SlowChecks::default();
    loop {
        let changes = changes.upgrade()?;
        let attempt = attempt(&changes, subscriber).await;
        let mut pauses = 1;
        match attempt {
            Attempt::Subscribed => return Some(Ok(())),
            Attempt::Refused(text) => return Some(Err(text)),
            Attempt::Failed(text) => failed(text),
            Attempt::Slow { others_answered } => match slow.note(others_answered) {
                Some(times) => {
                    pauses = times;
                    failed(not_available(TOO_SLOW));
                }
                // What was checked before goes on, and is checked again for as long as it takes.
                None if changes.subscriptions.with(|state| state.has_entries(subscriber)) => {
                    pauses = SLOWEST_PAUSE;
                    failed(not_available(TOO_SLOW));
                }
                None => return Some(Err(format!("Unable to subscribe to changes: {TOO_SLOW}"))),
            },
            Attempt::Outdated => {}
        }
        drop(changes);
        sleep(pause() * pauses).await;
    }
}

async fn attempt(changes: &ChangesOfTenant, subscriber: &Arc<ChangeSubscriber>) -> Attempt {
    if changes.tenant.policy().database().is_none() {
        return Attempt::Refused(subscriber.no_table_text());
    }
    if let Err(reason) = changes.until_read().await {
        return Attempt::Failed(not_available(&reason));
    }
    match changes.check(subscriber).await {
        Ok(CheckOutcome::Subscribed) => Attempt::Subscribed,
        Ok(CheckOutcome::Refused(text)) => Attempt::Refused(text),
        Ok(CheckOutcome::Outdated) => Attempt::Outdated,
        Ok(CheckOutcome::OutOfMemory) => {
            changes.tenant.reports.record(Code::MemoryLimitReached.at(Scope::Channel), NO_CHANNEL_MEMORY);
            Attempt::Failed(NO_CHANNEL_MEMORY.to_owned())
        }
        Err(failure) => {
            report(changes, failure.clone().into_failure());
            match failure {
                CheckFailure::Slow { others_answered, .. } => Attempt::Slow { others_answered },
                CheckFailure::TablesChange => Attempt::Failed(not_available(TABLES_CHANGE)),
                CheckFailure::Failed(failure) if failure.code == Code::StartReplicationFailed => {
                    Attempt::Failed(not_available(&failure.reason))
                }
                CheckFailure::Failed(_) => Attempt::Failed(UNANSWERED.to_owned()),
            }
        }
    }
}

fn report(changes: &ChangesOfTenant, failure: DatabaseFailure) {
    let code = match failure.code {
        Code::IncreaseConnectionPool => Code::IncreaseSubscriptionConnectionPool,
        code => code,
    };
    changes.tenant.reports.record(code.at(Scope::Log), &failure.reason);
}
