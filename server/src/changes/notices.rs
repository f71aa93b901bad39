//! Notices to subscribers that they miss changes, once in a while for each of them.
//!
//! They are queued whatever the bounds of an outbox are, so their number must not depend on the number of changes: a subscriber
//! gets one of a kind in [`NOTICE_WINDOW`]. That a gap comes after the notice of another one is sent at the end of the window.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use wire::phoenix::Status;

use super::subscriber::ChangeSubscriber;
use crate::tenants::Tenant;

/// A subscriber gets one notice of a kind in this time. No setting: clients rely on what the protocol says of it, and it bounds
/// memory for notices that are queued whatever the outbox holds.
pub(super) const NOTICE_WINDOW: Duration = Duration::from_secs(10);

/// How often it is looked which windows have ended.
const WINDOW_POLL: Duration = Duration::from_secs(1);

/// What subscribers are notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum MissedChanges {
    /// Changes may be lacking (docs/protocol/postgres-changes.md#gaps).
    Gap,
    /// Changes are dropped because of the rate of the tenant.
    OverRate,
}

/// Notifies the subscribers of a tenant.
pub(super) struct Notices {
    tenant: Arc<Tenant>,
    windows: Mutex<NoticeWindows<Arc<ChangeSubscriber>>>,
    begun: Notify,
}

/// Who was notified within the last window, by the ids of subscribers.
struct NoticeWindows<T>(FxHashMap<(u64, MissedChanges), NoticeWindow<T>>);

/// The time after a notice.
struct NoticeWindow<T> {
    since: Instant,
    /// Who has missed changes after the notice, if so.
    repeated: Option<T>,
}

impl MissedChanges {
    /// The words of [`Self::OverRate`] are upstream's.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Gap => "Changes may have been missed",
            Self::OverRate => "Too many postgres changes messages per second",
        }
    }
}

impl Notices {
    /// No subscriber of this tenant was notified.
    pub(super) fn new(tenant: &Arc<Tenant>) -> Self {
        let windows = Mutex::new(NoticeWindows(FxHashMap::default()));
        Self { tenant: Arc::clone(tenant), windows, begun: Notify::new() }
    }

    /// Notifies a subscriber, unless it was within the window. Returns whether it was notified.
    pub(super) fn send(&self, subscriber: &Arc<ChangeSubscriber>, missed: MissedChanges) -> bool {
        let is_first = self.windows.lock().begin((subscriber.id, missed), Instant::now(), subscriber);
        if is_first {
            self.begun.notify_one();
            self.notify(subscriber, missed);
        }
        is_first
    }

    /// Notifies a subscriber of the gap before a session of the log. Sessions follow each other after pauses, so it is sent at once.
    pub(super) fn send_gap_of_session(&self, subscriber: &ChangeSubscriber) {
        self.windows.lock().forget_repeated((subscriber.id, MissedChanges::Gap));
        self.notify(subscriber, MissedChanges::Gap);
    }

    /// Sends what is due at the ends of windows.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.begun.notified().await;
            while !self.windows.lock().0.is_empty() {
                sleep(WINDOW_POLL).await;
                let due = self.windows.lock().end(Instant::now());
                due.iter().for_each(|(subscriber, missed)| self.notify(subscriber, *missed));
            }
        }
    }

    fn notify(&self, subscriber: &ChangeSubscriber, missed: MissedChanges) {
        if missed == MissedChanges::Gap {
            self.tenant.metrics.changes_gap_notices.increment(1);
        }
        subscriber.notice(Status::Ok, missed.text());
    }
}

impl<T: Clone> NoticeWindows<T> {
    /// A notice is to be sent: now if this returns `true`. Otherwise a gap is noted for the end of the window; that changes are
    /// dropped because of the rate is not, as the next of them causes a notice.
    fn begin(&mut self, key: (u64, MissedChanges), now: Instant, subscriber: &T) -> bool {
        match self.0.entry(key) {
            Entry::Occupied(mut window) => {
                if key.1 == MissedChanges::Gap {
                    window.get_mut().repeated = Some(subscriber.clone());
                }
                false
            }
            Entry::Vacant(place) => {
                place.insert(NoticeWindow { since: now, repeated: None });
                true
            }
        }
    }

    /// A notice was sent, whatever the window is.
    fn forget_repeated(&mut self, key: (u64, MissedChanges)) {
        if let Some(window) = self.0.get_mut(&key) {
            window.repeated = None;
        }
    }

    /// Ends the windows whose time is over. Returns those who are to be notified, whose next windows begin.
    fn end(&mut self, now: Instant) -> Vec<(T, MissedChanges)> {
        let mut due = Vec::new();
        self.0.retain(|(_, missed), window| {
            if now < window.since + NOTICE_WINDOW {
                return true;
            }
            let Some(subscriber) = window.repeated.take() else { return false };
            window.since = now;
            due.push((subscriber, *missed));
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_gaps_are_two_notices_the_second_at_the_end_of_the_window() {
        let (mut windows, begun) = (NoticeWindows(FxHashMap::default()), Instant::now());
        let key = (7, MissedChanges::Gap);
        assert!(windows.begin(key, begun, &"ann"));
        for second in 0..10 {
            let now = begun + Duration::from_secs(second);
            assert!(!windows.begin(key, now, &"ann"));
            assert_eq!(windows.end(now), []);
        }
        let end = begun + NOTICE_WINDOW;
        assert_eq!(windows.end(end), [("ann", MissedChanges::Gap)]);
        assert!(!windows.begin(key, end, &"ann"), "the next window");
        assert_eq!(windows.end(end + NOTICE_WINDOW).len(), 1);
        assert_eq!(windows.end(end + 2 * NOTICE_WINDOW), []);
        assert!(windows.0.is_empty());
    }

    #[test]
    fn each_kind_and_each_subscriber_has_a_window_of_its_own() {
        let (mut windows, now) = (NoticeWindows(FxHashMap::default()), Instant::now());
        for id in [7, 8] {
            for missed in [MissedChanges::Gap, MissedChanges::OverRate] {
                assert!(windows.begin((id, missed), now, &id));
            }
        }
        assert!(!windows.begin((8, MissedChanges::OverRate), now, &8));
        assert_eq!(windows.end(now + NOTICE_WINDOW), [], "the next change over the rate causes a notice");
    }
}
