//! The task that sends something at intervals, by settings that may change while the server runs.
//!
//! While it fails the interval grows; when the server stops, it is sent once more. What is sent, and to where, is for those who
//! implement [`PeriodicSender`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::export_status::ExportStatus;
use super::intervals::{Intervals, LAST_TIMEOUT};

/// When something is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// The time between two of them.
    pub(super) interval: Duration,
    /// The longest interval after failures.
    pub(super) max_interval: Duration,
    /// How long a request may take.
    pub(super) timeout: Duration,
}

/// Sends something at intervals.
pub(super) trait PeriodicSender {
    /// What may change.
    type Settings: Clone + Send + Sync;

    /// How long it may take, once the server stops, if it is under way then.
    const LATE_MAX: Duration;

    /// How long the last one may take in all, when the server stops: its requests, of [`LAST_TIMEOUT`] each, and what they need.
    const LAST_MAX: Duration;

    /// For log lines: that something is done, such as «Metrics are pushed».
    const ACTION: &'static str;

    /// When it is sent; `None` if these settings turn it off.
    fn schedule(settings: &Self::Settings) -> Option<Schedule>;

    /// It is sent with these settings from now on.
    fn begin(&mut self, settings: &Arc<Self::Settings>) -> impl Future<Output = ()> + Send;

    /// These settings turn it off.
    fn end(&mut self, settings: &Arc<Self::Settings>);

    /// Sends it once, with requests that each take no longer than `limit`. Returns whether all was accepted.
    fn send(&mut self, settings: &Arc<Self::Settings>, limit: Duration) -> impl Future<Output = bool> + Send;

    /// How it goes, as operators see it.
    fn status(&self) -> &ExportStatus;
}

/// Sends until `stop`, and once more then.
pub(super) async fn run<S: PeriodicSender>(
    mut sender: S,
    mut settings: watch::Receiver<S::Settings>,
    stop: CancellationToken,
) {
    let mut was_on = false;
    loop {
        let present = Arc::new(settings.borrow_and_update().clone());
        match S::schedule(&present) {
            Some(schedule) => {
                sender.begin(&present).await;
                send_until_changed(&mut sender, (&present, schedule), &mut settings, &stop).await;
                was_on = true;
            }
            None => {
                if std::mem::take(&mut was_on) {
                    info!("{} no longer", S::ACTION);
                }
                sender.end(&present);
                let _stopping_or_changed = stop.run_until_cancelled(settings.changed()).await;
            }
        }
        if stop.is_cancelled() || settings.has_changed().is_err() {
            return;
        }
    }
}

/// Sends with these settings until there are others, or until the stop.
async fn send_until_changed<S: PeriodicSender>(
    sender: &mut S,
    (present, schedule): (&Arc<S::Settings>, Schedule),
    settings: &mut watch::Receiver<S::Settings>,
    stop: &CancellationToken,
) {
    sender.status().begin();
    let mut intervals = Intervals::new(schedule.interval, schedule.max_interval);
    let mut due = Instant::now() + intervals.first();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                let last = sender.send(present, schedule.timeout.min(LAST_TIMEOUT));
                let _sent_or_late = timeout(S::LAST_MAX, last).await;
                return;
            }
            _changed_or_gone = settings.changed() => {
                // So that the loop above sees that they have changed.
                settings.mark_changed();
                return;
            }
            () = sleep_until(due) => {}
        }
        let began = Instant::now();
        let sent = tokio::select! {
            biased;
            sent = sender.send(present, schedule.timeout) => sent,
            () = late::<S>(stop) => continue,
        };
        if sent {
            sender.status().note_success();
            if let Some(failures) = intervals.succeeded() {
                info!("{} again, after {failures} failures", S::ACTION);
            }
        } else {
            sender.status().note_failure();
            intervals.failed();
        }
        due = (began + intervals.next()).max(Instant::now());
    }
}

/// Waits until something that is under way at the stop takes too long.
async fn late<S: PeriodicSender>(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(S::LATE_MAX).await;
}
