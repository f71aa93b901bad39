//! The metrics of a tenant, registered when they are first used.
//!
//! Its series take some 3 KiB in the exporters, and a store may have ten thousand tenants of which few have clients.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use metrics::Label;

use super::{DatabaseMetrics, ReplayMetrics, TenantMetrics};
use crate::telemetry::fan_out::FanOut;

/// The metrics of a tenant.
pub struct LazyTenantMetrics {
    tenant: Arc<str>,
    recorder: Arc<FanOut>,
    metrics: OnceLock<TenantMetrics>,
    database: OnceLock<DatabaseMetrics>,
    replay: OnceLock<ReplayMetrics>,
}

impl LazyTenantMetrics {
    pub(super) fn new(tenant: Arc<str>, recorder: Arc<FanOut>) -> Self {
        let (metrics, database, replay) = Default::default();
        Self { tenant, recorder, metrics, database, replay }
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

    fn label(&self) -> Label {
        Label::new("tenant", self.tenant.to_string())
    }
}

impl Deref for LazyTenantMetrics {
    type Target = TenantMetrics;

    /// Registers the metrics with the first use.
    fn deref(&self) -> &TenantMetrics {
        self.metrics.get_or_init(|| TenantMetrics::register(&*self.recorder, &[self.label()]))
    }
}
