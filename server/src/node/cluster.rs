//! This node as the link to the others needs it, and what operators order for all of them.

use std::sync::Arc;

use hub::Delivery;
use tracing::info;

use super::Node;
use crate::bus::{Host, OperatorCommand};
use crate::close_reason::CloseReason;

impl Node {
    /// Sends the clients of a tenant away from this node (1012); they may come back. Returns how many sockets
    /// that concerns; `None` when there is no such tenant.
    pub fn disconnect_clients(&self, tenant: &str) -> Option<usize> {
        self.tenants.disconnect_clients(tenant, CloseReason::Disconnected.into())
    }
}

impl Host for Arc<Node> {
    fn users(&self) -> Vec<(Arc<str>, usize)> {
        let tenants = self.tenants.all().into_iter();
        tenants.map(|tenant| (Arc::clone(&tenant.id), tenant.users_here())).collect()
    }

    fn set_users_elsewhere(&self, tenant: &str, users: usize) {
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.set_users_elsewhere(users);
        }
    }

    fn delivered(&self, tenant: &str, messages: usize, delivery: Delivery) {
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.metrics.events.increment((messages * delivery.delivered) as u64);
            tenant.metrics.outbox_dropped.increment((messages * delivery.dropped) as u64);
        }
    }

    fn execute(&self, control: OperatorCommand) {
        match control {
            OperatorCommand::DisconnectTenant { tenant } => {
                if let Some(disconnected) = self.disconnect_clients(&tenant) {
                    info!(tenant, disconnected, "Another node has the clients of a tenant sent away");
                }
            }
            OperatorCommand::ReloadConfig => {
                info!("Another node asks for a reload");
                let node = Arc::clone(self);
                // What comes of it is told where the settings are read; nobody here waits for that.
                tokio::spawn(async move { node.reloading.reload().await });
            }
        }
    }
}
