//! Broadcasts that SQL has written to `realtime.messages` (docs/protocol/database-broadcasts.md).

use std::sync::{Arc, Weak};
use std::time::Instant;

use hub::{RoomKey, Space};
use wire::phoenix::{FIELD_BYTES_MAX, UserPayload};
use wire::supabase::{Broadcast, TOPIC_PREFIX};
use wire::term_size;

use super::count;
use crate::bus::OperatorCommand;
use crate::node::Node;
use crate::telemetry::metrics::MessageType;
use crate::tenants::Tenant;
use crate::tenants::database::{DatabaseMessage, DatabaseMessages, DatabasePayload, DroppedMessage};

/// Sends them to the rooms of a node.
pub struct DatabaseBroadcasts(Weak<Node>);

impl DatabaseBroadcasts {
    /// Sends them to the rooms of `node`.
    pub fn new(node: &Arc<Node>) -> Self {
        Self(Arc::downgrade(node))
    }
}

impl DatabaseMessages for DatabaseBroadcasts {
    fn publish(&self, tenant: &Arc<Tenant>, message: DatabaseMessage<'_>) -> Result<usize, DroppedMessage> {
        let Some(node) = self.0.upgrade() else { return Ok(0) };
        let DatabaseMessage { id, topic, event, payload, privacy } = message;
        let (length, payload) = match payload {
            DatabasePayload::Json(text) => (text.len(), UserPayload::Json(text)),
            DatabasePayload::Bytes(bytes) => (bytes.len(), UserPayload::Binary(bytes)),
        };
        tenant.metrics.payload_size(MessageType::Broadcast).record(length as f64);
        if term_size::bytes(length) > tenant.allowance.max_payload_bytes() {
            return Err(DroppedMessage("payload_size_exceeded"));
        }
        if !tenant.allowance.events.take(1, Instant::now()) {
            return Err(DroppedMessage("too_many_requests"));
        }
        let meta = format!("{{\"id\":\"{id}\"}}");
        let fits = event.len() <= FIELD_BYTES_MAX && topic.len() + TOPIC_PREFIX.len() <= FIELD_BYTES_MAX;
        let event = match payload {
            // Names that no binary frame can have reach clients as text.
            UserPayload::Json(payload) if !fits => Broadcast::Http { event, payload, meta: Some(&meta) },
            UserPayload::Binary(_) if !fits => return Err(DroppedMessage("name_too_long")),
            payload => Broadcast::User { event, payload, meta: Some(&meta) },
        };
        let room =
            RoomKey { tenant: Arc::clone(&tenant.id), space: Space::Phoenix, privacy, topic: topic.into() };
        let started = Instant::now();
        let delivery = node.hub.publish(&room, &event);
        tenant.metrics.common().note_fan_out(started.elapsed());
        count(tenant, 1, delivery);
        Ok(delivery.delivered)
    }

    fn note_gap(&self, tenant: &Arc<Tenant>) {
        let Some(node) = self.0.upgrade() else { return };
        node.tenants.note_gap(&tenant.id);
        let command = OperatorCommand::MessagesMissed { tenant: tenant.id.to_string() };
        // Nodes that cannot be reached find out when they can.
        let _unreachable = node.link.broadcast(command);
    }
}
