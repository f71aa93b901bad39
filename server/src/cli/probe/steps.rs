//! The steps of a probe, and how long each took.

use std::time::{Duration, Instant};

/// What a probe does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeStep {
    /// Name lookup and TCP.
    Connect,
    Tls,
    /// The WebSocket handshake, in which the server verifies the token.
    Handshake,
    Join,
    /// From a broadcast to its receipt.
    RoundTrip,
}

impl ProbeStep {
    pub(super) const ALL: [Self; 5] =
        [Self::Connect, Self::Tls, Self::Handshake, Self::Join, Self::RoundTrip];

    /// Its name for a person.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Handshake => "handshake",
            Self::Join => "join",
            Self::RoundTrip => "round trip",
        }
    }

    /// Its name in JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Handshake => "handshake",
            Self::Join => "join",
            Self::RoundTrip => "round_trip",
        }
    }

    /// What is missing when it takes too long.
    pub(super) fn missing(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Tls => "no answer to the TLS handshake",
            Self::Handshake => "no answer to the WebSocket handshake",
            Self::Join => "no answer to the join",
            Self::RoundTrip => "the broadcast was not received",
        }
    }
}

/// How long each step took, and which one is under way.
pub(super) struct ProbeTimes {
    /// The steps that have ended.
    taken: Vec<(ProbeStep, Duration)>,
    step: ProbeStep,
    step_began: Instant,
}

impl ProbeTimes {
    /// The first step begins.
    pub(super) fn start() -> Self {
        Self { taken: Vec::new(), step: ProbeStep::Connect, step_began: Instant::now() }
    }

    /// The next step begins, and so the one before ends.
    pub(super) fn begin(&mut self, step: ProbeStep) {
        self.end();
        self.step = step;
    }

    /// The step under way ends.
    pub(super) fn end(&mut self) {
        let now = Instant::now();
        self.taken.push((self.step, now - self.step_began));
        self.step_began = now;
    }

    /// The step that is under way, or was the last one.
    pub(super) fn step(&self) -> ProbeStep {
        self.step
    }

    /// How long a step took, if it has ended.
    pub(super) fn of(&self, step: ProbeStep) -> Option<Duration> {
        self.taken.iter().find(|(taken, _)| *taken == step).map(|(_, time)| *time)
    }

    /// How long all that have ended took.
    pub(super) fn total(&self) -> Duration {
        self.taken.iter().map(|(_, time)| *time).sum()
    }
}
