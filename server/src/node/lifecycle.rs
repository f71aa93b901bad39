//! In which phase of its life the process is, and how fast it should go through those that end it.
//!
//! Phases follow each other in one direction. Whatever ends with a phase holds its [token](Lifecycle::token) or asks
//! [`has_reached`](Lifecycle::has_reached); nothing else says that the server stops.
//!
//! | phase | what ends when it begins |
//! |---|---|
//! | starting | |
//! | serving | |
//! | not ready | `/readyz`, HTTP keep-alive; clients still connect |
//! | draining | the listener, new joins; the clients are disconnected |
//! | stopping | the tasks that serve all clients: announcer, policy notifier, reloader |
//! | leaving | the internal listener; the link to the other nodes, which publishes what is left and gives up its lease |
//! | stopped | |

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Phases of a process, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LifecyclePhase {
    /// The listener is not open yet.
    Starting,
    /// Clients connect and are served.
    Serving,
    /// Clients connect and are served, while load balancers learn that they should not be sent here
    /// (`server.drain_delay`).
    NotReady,
    /// No client connects or joins; those connected are disconnected one after the other (`server.drain_timeout`).
    Draining,
    /// The last connections and tasks end (`server.shutdown_timeout`).
    Stopping,
    /// The link to the other nodes and the internal listener end.
    Leaving,
    /// Everything has ended.
    Stopped,
}

impl LifecyclePhase {
    const ALL: [Self; 7] = [
        Self::Starting,
        Self::Serving,
        Self::NotReady,
        Self::Draining,
        Self::Stopping,
        Self::Leaving,
        Self::Stopped,
    ];

    /// Its name in `/status` and in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::NotReady => "not ready",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Leaving => "leaving",
            Self::Stopped => "stopped",
        }
    }
}

/// How much of the time that the settings allow for a stop is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// All of it.
    #[default]
    Normal,
    /// No drain delay, and all clients are disconnected at once; they still have time to answer.
    Soon,
    /// None: connections that are still open are dropped.
    Immediate,
}

impl Urgency {
    /// The next higher one.
    #[must_use]
    pub fn more(self) -> Self {
        match self {
            Self::Normal => Self::Soon,
            Self::Soon | Self::Immediate => Self::Immediate,
        }
    }
}

/// The phase of a process and the urgency of its stop. Both only rise.
#[derive(Debug)]
pub struct Lifecycle {
    phase: AtomicU8,
    /// By phase; cancelled when the phase begins.
    tokens: [CancellationToken; LifecyclePhase::ALL.len()],
    urgency: watch::Sender<Urgency>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(LifecyclePhase::Starting as u8),
            tokens: LifecyclePhase::ALL.map(|_| CancellationToken::new()),
            urgency: watch::Sender::default(),
        }
    }
}

impl Lifecycle {
    /// The present phase.
    pub fn phase(&self) -> LifecyclePhase {
        LifecyclePhase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Whether the phase is `phase` or a later one.
    pub fn has_reached(&self, phase: LifecyclePhase) -> bool {
        self.phase() >= phase
    }

    /// Cancelled when `phase`, or a later one, begins.
    pub fn token(&self, phase: LifecyclePhase) -> CancellationToken {
        self.tokens[phase as usize].clone()
    }

    /// Begins `phase`, unless it or a later one has begun. Skipped phases are over.
    pub fn enter(&self, phase: LifecyclePhase) {
        // Before the tokens: a task that one of them ends sees the phase that ended it.
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        self.tokens[..=phase as usize].iter().for_each(CancellationToken::cancel);
    }

    /// The urgency of the stop, under way or to come.
    pub fn urgency(&self) -> Urgency {
        *self.urgency.borrow()
    }

    /// Raises the urgency; a lower one changes nothing.
    pub fn raise_urgency(&self, urgency: Urgency) {
        self.urgency.send_if_modified(|present| {
            let rises = urgency > *present;
            *present = urgency.max(*present);
            rises
        });
    }

    /// Waits until the urgency is at least `urgency`.
    pub async fn wait_for_urgency(&self, urgency: Urgency) {
        let reached = self.urgency.subscribe().wait_for(|present| *present >= urgency).await.map(drop);
        reached.expect("the sender is in `self`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_in_one_direction() {
        let lifecycle = Lifecycle::default();
        let (draining, stopping) =
            (lifecycle.token(LifecyclePhase::Draining), lifecycle.token(LifecyclePhase::Stopping));
        lifecycle.enter(LifecyclePhase::Draining);
        assert!(draining.is_cancelled() && !stopping.is_cancelled());
        assert!(lifecycle.token(LifecyclePhase::NotReady).is_cancelled(), "a skipped phase is over");
        lifecycle.enter(LifecyclePhase::Serving);
        assert_eq!(lifecycle.phase(), LifecyclePhase::Draining);
        assert!(lifecycle.has_reached(LifecyclePhase::NotReady));
        assert!(!lifecycle.has_reached(LifecyclePhase::Stopping));
    }

    #[test]
    fn every_phase_stands_at_its_own_number() {
        for (number, phase) in LifecyclePhase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, number);
        }
    }

    #[test]
    fn urgency_only_rises() {
        let lifecycle = Lifecycle::default();
        lifecycle.raise_urgency(Urgency::Soon);
        lifecycle.raise_urgency(Urgency::Normal);
        assert_eq!(lifecycle.urgency(), Urgency::Soon);
        assert_eq!(Urgency::Normal.more(), Urgency::Soon);
        assert_eq!(Urgency::Soon.more().more(), Urgency::Immediate);
    }
}
