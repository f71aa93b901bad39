//! Metrics that are sampled, because reading them now and then costs less than setting them at every change.
//!
//! Sampled every few seconds, for exporters that push, and before each page that Prometheus reads.

use std::sync::atomic::Ordering;

use hub::MemoryKind;

use super::Node;
use crate::telemetry::{logs, process};

impl Node {
    /// Sets all metrics that are sampled to their present values. Reads files of `/proc`, so it blocks for a moment.
    pub fn sample_metrics(&self) {
        let (population, metrics) = (self.hub.population(), &self.metrics.node);
        metrics.connections_total.set(self.open_sockets() as f64);
        metrics.connections_active.set(self.connections() as f64);
        metrics.connections_max.set(self.max_connections() as f64);
        metrics.rooms.set(population.rooms as f64);
        metrics.members.set(population.members as f64);
        metrics.uptime_seconds.set(self.started.elapsed().as_secs_f64());
        let settings = self.reloading.status();
        metrics.settings_generation.set(settings.generation as f64);
        metrics.settings_reload_failed.set(if settings.last_error.is_some() { 1.0 } else { 0.0 });
        metrics.settings_pending.set(settings.pending.len() as f64);
        metrics.log_lines_dropped.absolute(logs::dropped());
        metrics.log_lines_suppressed.absolute(self.metrics.lines_suppressed() + logs::over_rate());
        self.metrics.bus.unsent.absolute(self.hub.relay_dropped());
        metrics.tenants_unshown.set(self.prometheus.unshown_tenants() as f64);
        metrics.memory_budget.set(self.memory_limit().bytes() as f64);
        metrics.memory_limit.set(self.memory.limit() as f64);
        metrics.socket_buffers.set(self.socket_buffers.granted() as f64);
        for (kind, metrics) in MemoryKind::ALL.into_iter().zip(&self.metrics.memory) {
            metrics.used.set(self.memory.used(kind) as f64);
            metrics.refused.absolute(self.memory.refused(kind));
        }
        self.sample_documents();
        self.metrics.process.sample();
        self.metrics.machine.sample();
        self.sample_runtime();
        self.sample_users();
        self.sample_databases();
    }

    fn sample_documents(&self) {
        let metrics = &self.metrics.documents;
        metrics.open.set(self.documents.open() as f64);
        metrics.loaded.set(self.documents.loaded() as f64);
        metrics.unsaved.set(self.documents.unsaved_bytes() as f64);
    }

    /// Sets what has the names of upstream's runtime, if the settings ask for that.
    fn sample_runtime(&self) {
        let Some(metrics) = &self.metrics.beam else { return };
        metrics.memory_allocated.set(process::resident_memory());
        metrics.memory_binary.set(self.memory.used(MemoryKind::Sending) as f64);
        metrics.ports.set(process::open_files().unwrap_or_default() as f64);
        metrics.uptime.set(self.started.elapsed().as_millis() as f64);
        metrics.processors.set(std::thread::available_parallelism().map_or(0.0, |count| count.get() as f64));
    }

    /// Counts, tenant by tenant, the sockets that have joined a room, and what rooms keep. The metrics of a tenant that was removed
    /// are there until its last connection has ended, with zero sockets.
    fn sample_users(&self) {
        let (mut users, mut tenants, mut kept) = (0, 0, 0);
        for tenant in self.tenants.all() {
            let connected = tenant.users_here();
            let history = tenant.history.counts();
            if let Some(metrics) = tenant.metrics.registered() {
                metrics.connected.set(connected as f64);
                metrics.connected_cluster.set(if connected > 0 { tenant.users() as f64 } else { 0.0 });
                metrics.history_dropped.absolute(history.dropped);
            }
            kept += history.messages;
            users += connected;
            tenants += usize::from(connected > 0);
        }
        self.metrics.node.users.set(users as f64);
        let elsewhere = self.users_elsewhere.load(Ordering::Relaxed);
        self.metrics.node.users_cluster.set(users.saturating_add(elsewhere) as f64);
        self.metrics.node.tenants.set(tenants as f64);
        self.metrics.node.history_messages.set(kept as f64);
    }
}
