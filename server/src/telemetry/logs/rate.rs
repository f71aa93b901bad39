//! How many bytes of log lines clients can cause per second (`telemetry.log_bytes_per_second`).
//!
//! The bound behind all others: kinds and tenants have limits of their own, but tenants may be many. A line counts unless
//! it is about the server itself, so that what is forgotten here is bounded too. Tenants have shares of it
//! ([`leaky_shares`]), clients without a verified token one together.

mod leaky_shares;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use settings::Telemetry;
use tracing::{Level, Metadata};

use self::leaky_shares::LeakyShares;

/// Seconds whose bytes may be written at once, half of them for one tenant alone: a refused line is better explained by those before it.
const BURST_SECONDS: f64 = 8.0;

/// The modules whose lines, of level `info` and above, clients cannot cause: they are about the process, its settings, the
/// other nodes, and what operators with a token order. `log` is not among them, nor any external crate.
const OF_THE_NODE: [&str; 11] = [
    "realtime_server::admin",
    "realtime_server::app",
    "realtime_server::bus",
    "realtime_server::cli",
    "realtime_server::drain",
    "realtime_server::edge::tls",
    "realtime_server::node",
    "realtime_server::reload",
    "realtime_server::telemetry::logs",
    "realtime_server::tenants::registry",
    "realtime_server::watch",
];

/// Lines of this process that were not written, because clients caused too many bytes.
static OVER_RATE: AtomicU64 = AtomicU64::new(0);

/// How many lines that clients caused were more than `telemetry.log_bytes_per_second`.
pub fn over_rate() -> u64 {
    OVER_RATE.load(Ordering::Relaxed)
}

/// What causes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Node,
    Client,
}

impl Cause {
    /// That of the lines with this metadata.
    pub(super) fn of(metadata: &Metadata<'_>) -> Self {
        let is_in = |module: &str| {
            metadata
                .target()
                .strip_prefix(module)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let is_of_node = *metadata.level() <= Level::INFO && OF_THE_NODE.iter().any(|module| is_in(module));
        if is_of_node { Self::Node } else { Self::Client }
    }
}

/// A number of bytes per second; clones share it.
#[derive(Debug, Clone)]
pub(super) struct ByteRate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    per_second: AtomicU64,
    shares: Mutex<(LeakyShares, Instant)>,
}

impl ByteRate {
    /// The rate of these settings.
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let per_second = telemetry.log_bytes_per_second.as_u64();
        let shares = Mutex::new((LeakyShares::default(), Instant::now()));
        Self(Arc::new(Shared { per_second: per_second.into(), shares }))
    }

    /// Applies other settings.
    pub(super) fn apply(&self, telemetry: &Telemetry) {
        self.0.per_second.store(telemetry.log_bytes_per_second.as_u64(), Ordering::Relaxed);
    }

    /// Takes the bytes of a line for `party`, a tenant or no name for all others. If they are not in its share, the line is
    /// counted as not written.
    pub(super) fn try_take(&self, party: &str, bytes: usize) -> bool {
        let is_left = self.try_take_at(party, bytes, Instant::now());
        if !is_left {
            OVER_RATE.fetch_add(1, Ordering::Relaxed);
        }
        is_left
    }

    fn try_take_at(&self, party: &str, bytes: usize, now: Instant) -> bool {
        let per_second = self.0.per_second.load(Ordering::Relaxed) as f64;
        let mut locked = self.0.shares.lock();
        let (shares, last) = &mut *locked;
        shares.leak(now.saturating_duration_since(*last).as_secs_f64() * per_second);
        *last = now;
        shares.try_take(party, bytes as f64, per_second * BURST_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use settings::ByteSize;

    use super::*;

    #[test]
    fn bytes_are_written_at_the_rate_after_a_burst() {
        let telemetry = Telemetry { log_bytes_per_second: ByteSize(1_000), ..Telemetry::default() };
        let rate = ByteRate::new(&telemetry);
        let began = Instant::now();
        let written = |seconds| {
            let now = began + Duration::from_secs(seconds);
            (0..1_000).filter(|_| rate.try_take_at("acme", 100, now)).count()
        };
        assert_eq!((written(0), written(1), written(3), written(100)), (40, 10, 20, 40));
        rate.apply(&Telemetry { log_bytes_per_second: ByteSize(2_000), ..telemetry });
        assert_eq!(written(101), 40 + 20);
    }
}
