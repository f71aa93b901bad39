//! Drops slots that keep changes for servers that were killed and have not come back (docs/protocol/postgres-changes.md#a-durable-slot).
//!
//! The node that follows a slot drops it itself. What a killed one has left is found by looks at the databases of all tenants that this
//! node does not read, one after the other: a slot that is where it was a look before, and that no session has copied, is unused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use wire::pgoutput::Lsn;

use super::{Databases, reader};
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Tenant;

/// Where slots without a session were at the last look.
pub struct UnusedSlots {
    databases: Arc<Databases>,
    /// By tenant.
    seen: HashMap<Arc<str>, Lsn>,
}

impl UnusedSlots {
    /// None seen yet. Tenants whose changes are read by way of `databases` are not looked at.
    pub fn new(databases: &Arc<Databases>) -> Self {
        Self { databases: Arc::clone(databases), seen: HashMap::new() }
    }

    /// Looks at the databases of `tenants` again and again, this long after the look before.
    pub async fn run(mut self, interval: Duration, tenants: impl Fn() -> Vec<Arc<Tenant>>) {
        loop {
            sleep(interval).await;
            self.look(tenants()).await;
        }
    }

    /// Looks at the databases of `tenants` whose changes are to be kept, and drops the slots that have been unused since the last look.
    pub async fn look(&mut self, tenants: Vec<Arc<Tenant>>) {
        let before = std::mem::take(&mut self.seen);
        for tenant in tenants {
            if self.databases.follows_changes(&tenant.id) {
                continue;
            }
            match reader::drop_unused_slot(&tenant, before.get(&tenant.id).copied()).await {
                Ok(Some(position)) => drop(self.seen.insert(Arc::clone(&tenant.id), position)),
                Ok(None) => {}
                Err(failure) => {
                    let code = Code::ReplicationSlotCheckSkipped.at(Scope::Log);
                    tenant.reports.record(code, &failure.reason);
                }
            }
        }
    }
}
