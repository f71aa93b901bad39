//! The metrics of a tenant, registered when they are first used.
//!
//! Its series take some 3 KiB in the exporters, and a store may have ten thousand tenants of which few have clients. They are there
//! as long as this is; whether the page shows them is decided in `prometheus/shown_tenants.rs`.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Histogram, Label};
use parking_lot::Mutex;

use super::all_tenants::{CommonMetrics, Hit, MessageType};
use super::reasons::ReasonCounter;
use super::{DatabaseMetrics, ReplayMetrics, TenantMetrics};
use crate::telemetry::fan_out::{FanOut, combined, combined_histogram};

metrics! {
    /// Sizes of messages of one type; each carries the labels `tenant` and `message_type`.
    pub struct TenantPayloadMetrics {
        /// Size of the payloads of messages, in bytes: of broadcasts and presence as they are received, of changes of tables as they are sent.
        pub size: Histogram = "realtime_tenants_payload_size",
    }
}

metrics! {
    /// Deliveries of messages of other nodes; each carries the labels `tenant` and `hit`.
    pub struct TenantDeliveryMetrics {
        /// Messages received from other nodes for rooms of this node: hit is true if a member was there to receive them.
        pub deliveries: Counter = "realtime_broadcast_fanout_node_delivery_total",
    }
}

/// The metrics of a tenant.
pub struct LazyTenantMetrics {
    tenant: Arc<str>,
    recorder: Arc<FanOut>,
    common: Arc<CommonMetrics>,
    metrics: OnceLock<TenantMetrics>,
    database: OnceLock<DatabaseMetrics>,
    replay: OnceLock<ReplayMetrics>,
    payload_sizes: [OnceLock<Histogram>; MessageType::COUNT],
    deliveries: OnceLock<[Counter; 2]>,
    /// What is rare, by metric and reason.
    reasons: Mutex<Vec<(ReasonCounter, &'static str, Counter)>>,
}

impl LazyTenantMetrics {
    pub(super) fn new(tenant: Arc<str>, recorder: Arc<FanOut>, common: Arc<CommonMetrics>) -> Self {
        Self {
            tenant,
            recorder,
            common,
            metrics: OnceLock::new(),
            database: OnceLock::new(),
            replay: OnceLock::new(),
            payload_sizes: Default::default(),
            deliveries: OnceLock::new(),
            reasons: Mutex::default(),
        }
    }

    /// What is measured of all tenants together.
    pub fn common(&self) -> &CommonMetrics {
        &self.common
    }

    /// The metrics, if anything was counted yet.
    pub fn registered(&self) -> Option<&TenantMetrics> {
        self.metrics.get()
    }

    /// The metrics of its database. Registers them with the first use: most tenants have none.
    pub fn database(&self) -> &DatabaseMetrics {
        self.database.get_or_init(|| DatabaseMetrics::register(&*self.recorder, &[self.label()]))
    }

    /// The metrics of its database, if anything was counted yet.
    pub fn registered_database(&self) -> Option<&DatabaseMetrics> {
        self.database.get()
    }

    /// The metrics of its replays. Registers them with the first use.
    pub fn replay(&self) -> &ReplayMetrics {
        self.replay.get_or_init(|| ReplayMetrics::register(&*self.recorder, &[self.label()]))
    }

    /// The sizes of its messages of this type, in bytes. Registers them with the first use.
    pub fn payload_size(&self, kind: MessageType) -> &Histogram {
        self.payload_sizes[kind as usize].get_or_init(|| {
            let labels = [self.label(), kind.label()];
            let of_tenant = TenantPayloadMetrics::register(&*self.recorder, &labels);
            combined_histogram(&of_tenant.size, self.common.payload_size(kind))
        })
    }

    /// Counts messages of other nodes.
    pub fn count_deliveries(&self, hit: Hit, messages: u64) {
        let counters = self.deliveries.get_or_init(|| {
            Hit::ALL.map(|hit| {
                let labels = [self.label(), hit.label()];
                let of_tenant = TenantDeliveryMetrics::register(&*self.recorder, &labels);
                combined(&of_tenant.deliveries, self.common.deliveries(hit))
            })
        });
        counters[hit as usize].increment(messages);
    }

    /// Counts something rare, whose counter is looked up each time.
    pub fn count(&self, metric: ReasonCounter, reason: &'static str) {
        self.counter(metric, reason).increment(1);
    }

    /// The counter of a reason, to be kept where it counts often. Registers it with the first use.
    pub fn counter(&self, metric: ReasonCounter, reason: &'static str) -> Counter {
        let mut reasons = self.reasons.lock();
        let known = reasons.iter().position(|(of, for_, _)| (*of, *for_) == (metric, reason));
        let place = known.unwrap_or_else(|| {
            reasons.push((metric, reason, metric.register(&*self.recorder, self.label(), reason)));
            reasons.len() - 1
        });
        reasons[place].2.clone()
    }

    fn label(&self) -> Label {
        Label::new("tenant", self.tenant.to_string())
    }
}

impl Deref for LazyTenantMetrics {
    type Target = TenantMetrics;

    /// Registers the metrics with the first use.
    fn deref(&self) -> &TenantMetrics {
        self.metrics.get_or_init(|| {
            TenantMetrics::register(&*self.recorder, &[self.label()]).counted_in(&self.common)
        })
    }
}
