//! A client whose WebSocket was opened to be closed: a browser does not show its page the response to a refused handshake, so
//! that clients of documents would try again for ever.

use std::sync::Arc;
use std::time::Instant;

use hub::{Bounds, Disconnect, Outbox, TenantMemory};

use super::{MessageHead, Session};
use crate::close_reason::CloseReason;
use crate::workers::Offload;

/// A session that ends at once, and ignores what it receives until then.
pub struct RefusedSession {
    outbox: Arc<Outbox>,
    offload: Arc<Offload>,
}

impl RefusedSession {
    /// A session that `disconnect` ends. What the connection takes is charged to `memory`.
    pub fn new(disconnect: Disconnect, memory: Arc<TenantMemory>, offload: Arc<Offload>) -> Self {
        // Nothing is queued.
        let outbox = Arc::new(Outbox::new(Bounds { frames: 1, bytes: 1 }, memory));
        outbox.disconnect(disconnect);
        Self { outbox, offload }
    }
}

impl Session for RefusedSession {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    fn offload(&self) -> &Arc<Offload> {
        &self.offload
    }

    fn text(&mut self, _: &str) {}

    fn binary(&mut self, _: &[u8]) {}

    fn skipped(&mut self, _: &MessageHead<'_>) {}

    fn broken(&mut self, why: CloseReason) -> Disconnect {
        why.into()
    }

    fn flush(&mut self) {}

    fn close(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _: Instant) {}

    fn caught_up(&mut self) {}

    fn count(&self, _: u64, _: u64) {}
}
