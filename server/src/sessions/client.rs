//! A connected client as every protocol knows it: its tenant, its token, its outbox.

use std::sync::Arc;

use hub::{Bounds, Dialect, Outbox};

use super::{KeptHeaders, Services};
use crate::close_reason::CloseReason;
use crate::node::LifecyclePhase;
use crate::telemetry::request_context::RequestContext;
use crate::tenants::{SocketRegistration, Tenant};

/// What an accepted handshake was accepted for.
pub struct Admission {
    /// The tenant whose client it is.
    pub tenant: Arc<Tenant>,
    /// The generation of the tenant's policy under which it was accepted.
    pub generation: u64,
    /// The headers of its handshake that policies may read.
    pub headers: KeptHeaders,
}

/// A connected client.
pub struct ClientContext {
    /// The tenant whose client it is.
    pub tenant: Arc<Tenant>,
    /// The generation of the tenant's policy under which its handshake was accepted.
    pub generation: u64,
    /// The headers of the handshake that policies may read.
    pub headers: KeptHeaders,
    /// The queue of everything that is sent to it.
    pub outbox: Arc<Outbox>,
    /// How events are encoded for it.
    pub dialect: Dialect,
    /// Names its handshake in log lines.
    pub context: Arc<RequestContext>,
    /// Lists it among the connections of its tenant.
    pub registration: SocketRegistration,
}

impl ClientContext {
    /// Registers a client that has just connected.
    pub fn new(
        services: &Services,
        dialect: Dialect,
        admission: Admission,
        context: Arc<RequestContext>,
    ) -> Self {
        let Admission { tenant, generation, headers } = admission;
        let bounds = {
            let outbox = &services.node.settings().outbox;
            let bytes = usize::try_from(outbox.max_bytes.as_u64()).unwrap_or(usize::MAX);
            Bounds { frames: outbox.max_frames.get(), bytes }
        };
        let outbox = Arc::new(Outbox::new(bounds, Arc::clone(&tenant.memory)));
        let registration = tenant.sockets.register(Arc::clone(&outbox));
        if services.node.lifecycle.has_reached(LifecyclePhase::Draining) {
            // The drain may have closed all registered connections before this one was registered.
            outbox.disconnect(CloseReason::Restarting.into());
        }
        Self { tenant, generation, headers, outbox, dialect, context, registration }
    }
}
