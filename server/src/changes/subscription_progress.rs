//! How far a channel has subscribed: with whose rights, and by which attempts.
//!
//! Attempts to subscribe it, checks that a changed table causes, another token and its end come from different tasks. One lock
//! decides between them, so that what has ended is not begun again, and no check with an old token replaces a newer one.

use std::mem::replace;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How far a channel has subscribed, with the rights of a viewer.
#[derive(Debug)]
pub(super) struct SubscriptionProgress<V>(Mutex<ProgressState<V>>);

#[derive(Debug)]
struct ProgressState<V> {
    /// Whose rights decide what it sees.
    viewer: Arc<V>,
    /// Whose rights will decide, once the subscription was checked with them: another one after another token.
    next_viewer: Arc<V>,
    /// Ends the attempts to subscribe it.
    attempts: CancellationToken,
    /// Whether it has unsubscribed.
    has_ended: bool,
}

impl<V> SubscriptionProgress<V> {
    /// A channel that has not subscribed yet.
    pub(super) fn new(viewer: Arc<V>) -> Self {
        let (next_viewer, attempts) = (Arc::clone(&viewer), CancellationToken::new());
        Self(Mutex::new(ProgressState { viewer, next_viewer, attempts, has_ended: false }))
    }

    /// Whose rights decide what it sees.
    pub(super) fn viewer(&self) -> Arc<V> {
        Arc::clone(&self.0.lock().viewer)
    }

    /// Whose rights will decide once its subscription was checked with them.
    pub(super) fn next_viewer(&self) -> Arc<V> {
        Arc::clone(&self.0.lock().next_viewer)
    }

    /// The client has sent another token, with which its subscription is to be checked.
    pub(super) fn set_next_viewer(&self, viewer: Arc<V>) {
        self.0.lock().next_viewer = viewer;
    }

    /// Its subscription was checked with the rights of `viewer`, which decide from now on. `false` if the result does not count,
    /// because it has unsubscribed, or has another token by now.
    pub(super) fn accept_check(&self, viewer: &Arc<V>) -> bool {
        let mut state = self.0.lock();
        let is_current = !state.has_ended && Arc::ptr_eq(&state.next_viewer, viewer);
        if is_current {
            state.viewer = Arc::clone(viewer);
        }
        is_current
    }

    /// Begins another attempt, which ends those before. It ends with `stop`, or with the next one. `None` if the channel has
    /// unsubscribed: nothing would remove what it subscribes to.
    pub(super) fn restart(&self, stop: &CancellationToken) -> Option<CancellationToken> {
        let mut state = self.0.lock();
        if state.has_ended {
            return None;
        }
        let next = stop.child_token();
        replace(&mut state.attempts, next.clone()).cancel();
        Some(next)
    }

    /// The channel has unsubscribed.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        state.attempts.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_attempt_ends_those_before() {
        let (progress, stop) = (SubscriptionProgress::new(Arc::new("a")), CancellationToken::new());
        let first = progress.restart(&stop).expect("it has not ended");
        let second = progress.restart(&stop).expect("it has not ended");
        assert!(first.is_cancelled() && !second.is_cancelled());
        stop.cancel();
        assert!(second.is_cancelled());
    }

    // The list of those who are notified of a gap has channels that leave meanwhile.
    #[test]
    fn a_channel_that_has_unsubscribed_is_not_subscribed_again() {
        let (progress, stop) = (SubscriptionProgress::new(Arc::new("a")), CancellationToken::new());
        let attempt = progress.restart(&stop).expect("it has not ended");
        progress.end();
        assert!(attempt.is_cancelled());
        assert!(progress.restart(&stop).is_none());
        assert!(!progress.accept_check(&progress.next_viewer()));
    }

    #[test]
    fn a_check_with_an_older_token_does_not_count() {
        let (older, newer) = (Arc::new("a"), Arc::new("b"));
        let progress = SubscriptionProgress::new(Arc::clone(&older));
        progress.set_next_viewer(Arc::clone(&newer));
        assert!(!progress.accept_check(&older));
        assert_eq!(progress.viewer(), older);
        assert!(progress.accept_check(&newer));
        assert_eq!(progress.viewer(), newer);
    }
}
