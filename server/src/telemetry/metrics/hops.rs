//! How long messages to the other nodes take as far as this node can see it: until Redis has replied.

use std::time::Duration;

use metrics::{Label, Recorder};

metrics! {
    /// Batches of messages; each carries the labels `mechanism` and `success`.
    pub struct HopMetrics {
        /// Time until Redis had replied to a batch of messages, in milliseconds: it has queued them for the other nodes then. When these receive them is not measured. success is false for what had no reply yet when the connection was lost, one sample each time.
        pub duration: Histogram = "realtime_global_rpc",
    }
}

/// The times of all batches.
#[derive(Debug, Clone)]
pub struct BusHops {
    confirmed: HopMetrics,
    lost: HopMetrics,
}

impl BusHops {
    pub(super) fn register(recorder: &impl Recorder) -> Self {
        let [confirmed, lost] = ["true", "false"].map(|success| {
            let labels = [Label::new("mechanism", "redis"), Label::new("success", success)];
            HopMetrics::register(recorder, &labels)
        });
        Self { confirmed, lost }
    }

    /// Notes a batch that Redis has replied to.
    pub fn note(&self, took: Duration) {
        self.confirmed.duration.record(took.as_secs_f64() * 1_000.0);
    }

    /// Notes that batches had no reply for so long when the connection was lost.
    pub fn note_lost(&self, waited: Duration) {
        self.lost.duration.record(waited.as_secs_f64() * 1_000.0);
    }
}
