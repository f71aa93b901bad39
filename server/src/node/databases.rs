//! The databases of tenants, for operators. The server makes them after the node, which their broadcasts go to.

use std::sync::{Arc, OnceLock, Weak};

use super::Node;
use crate::tenants::{DatabaseStatus, Databases, DurableStatus};

/// The databases, once there are any. They hold the node, and so are not held.
#[derive(Default)]
pub(super) struct DatabasesSlot(OnceLock<Weak<Databases>>);

impl Node {
    /// Makes known the databases whose state operators see. They are those of the whole life of the node.
    pub fn use_databases(&self, databases: &Arc<Databases>) {
        let _others_before = self.databases.0.set(Arc::downgrade(databases));
    }

    /// The state of the database of a tenant, while this node uses it.
    pub fn database_status(&self, tenant: &str) -> Option<DatabaseStatus> {
        self.used_databases()?.status(tenant)
    }

    /// Closes the connections of this node to the database of a tenant. The next client that needs it connects again.
    pub fn shut_down_database(&self, tenant: &str) {
        if let Some(databases) = self.used_databases() {
            databases.shut_down(tenant);
        }
    }

    /// Sets the metrics of databases that are sampled.
    pub(super) fn sample_databases(&self) {
        let (mut connected, mut refused) = (0, 0);
        for tenant in self.tenants.all() {
            let status = self.database_status(&tenant.id);
            if status.is_some() || tenant.metrics.registered_database().is_some() {
                let (metrics, status) = (tenant.metrics.database(), status.as_ref());
                metrics.connections.set(status.map_or(0, |status| status.connections));
                metrics.connections_in_use.set(status.map_or(0, |status| status.connections_in_use));
                let changes = status.and_then(|status| status.changes.as_ref());
                metrics.changes_lag.set(changes.map_or(0.0, |changes| changes.lag as f64));
                let subscriptions = changes.map_or(0, |changes| changes.subscriptions);
                metrics.changes_subscriptions.set(subscriptions as f64);
                metrics.changes_subscribers.set(subscriptions as f64);
                let durable = changes.and_then(|changes| changes.durable.as_ref());
                let is_retaining = matches!(durable, Some(DurableStatus::Retaining(_)));
                metrics.changes_durable.set(if is_retaining { 1.0 } else { 0.0 });
                metrics.changes_durable_retained.set(durable.map_or(0.0, |slot| slot.retained() as f64));
            }
            connected += usize::from(status.as_ref().is_some_and(DatabaseStatus::is_connected));
            refused += usize::from(status.is_some_and(|status| status.refuses_password));
        }
        self.metrics.node.databases.set(connected as f64);
        let others = [self.stored_tenants.refuses_credentials(), self.link.refuses_credentials()];
        let others = others.into_iter().filter(|refuses| *refuses).count();
        self.metrics.node.credentials_refused.set((refused + others) as f64);
    }

    fn used_databases(&self) -> Option<Arc<Databases>> {
        self.databases.0.get().and_then(Weak::upgrade)
    }
}
