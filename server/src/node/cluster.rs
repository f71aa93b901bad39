//! What the link to the other nodes needs of this one, and commands of operators that all nodes carry out.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use hub::{Delivery, RoomKey, TenantMemory};
use tracing::info;
use wire::relay::Events;

use super::Node;
use crate::bus::{DocumentPeers, LinkHost, OperatorCommand};
use crate::close_reason::CloseReason;
use crate::telemetry::metrics::Hit;
use crate::telemetry::traces::{SpanName, TENANT, TOPIC, TraceContext, TraceSpan};

impl Node {
    /// Has the link reach these documents. The first ones stay.
    pub fn use_documents(&self, documents: Weak<dyn DocumentPeers>) {
        let _first = self.document_peers.set(documents);
    }

    /// Disconnects the clients of a tenant from this node (1012); they may reconnect. Returns how many sockets that
    /// concerns; `None` when there is no such tenant.
    pub fn disconnect_clients(&self, tenant: &str) -> Option<usize> {
        self.tenants.disconnect_clients(tenant, CloseReason::Disconnected.into())
    }
}

impl LinkHost for Arc<Node> {
    fn users(&self) -> Vec<(Arc<str>, usize)> {
        let tenants = self.tenants.all().into_iter();
        tenants.map(|tenant| (Arc::clone(&tenant.id), tenant.users_here())).collect()
    }

    fn memory(&self, tenant: &str) -> Option<Arc<TenantMemory>> {
        self.tenants.get(tenant).map(|tenant| Arc::clone(&tenant.memory))
    }

    fn set_users_elsewhere(&self, tenant: &str, users: usize) {
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.set_users_elsewhere(users);
        }
    }

    fn set_all_users_elsewhere(&self, users: usize) {
        self.users_elsewhere.store(users, Ordering::Relaxed);
    }

    fn delivered(&self, tenant: &str, messages: usize, delivery: Delivery) {
        if let Some(tenant) = self.tenants.get(tenant) {
            let hit = if delivery.delivered > 0 { Hit::Received } else { Hit::Unreceived };
            tenant.metrics.count_deliveries(hit, messages as u64);
            tenant.metrics.events.increment((messages * delivery.delivered) as u64);
            tenant.metrics.outbox_dropped.increment((messages * delivery.dropped + delivery.evicted) as u64);
        }
    }

    fn begin_receipts(&self, events: &Events<'_>, room: &RoomKey) -> Vec<TraceSpan> {
        if !self.traces.is_on() {
            return Vec::new();
        }
        let begin = |span| {
            let parent = TraceContext::from_bytes(&span);
            let mut span = self.traces.below(parent.as_ref(), SpanName::Receipt);
            span.note(TENANT, &room.tenant);
            span.note(TOPIC, &room.topic);
            span
        };
        events.spans().map(begin).collect()
    }

    fn documents(&self) -> Option<Arc<dyn DocumentPeers>> {
        self.document_peers.get()?.upgrade()
    }

    fn execute(&self, command: OperatorCommand) {
        match command {
            OperatorCommand::DisconnectTenant { tenant } => {
                if let Some(disconnected) = self.disconnect_clients(&tenant) {
                    info!(tenant, disconnected, "Clients of a tenant disconnected, ordered on another node");
                }
            }
            OperatorCommand::TenantChanged { tenant } => self.stored_tenants.note_change(&tenant),
            OperatorCommand::MessagesMissed { tenant } => self.tenants.note_gap(&tenant),
            OperatorCommand::ShutDownDatabase { tenant } => self.shut_down_database(&tenant),
            OperatorCommand::ReloadConfig => {
                info!("Reload ordered on another node");
                let node = Arc::clone(self);
                // Its outcome is logged by the reloader; the link does not wait for it.
                tokio::spawn(async move { node.reloading.reload().await });
            }
        }
    }
}
