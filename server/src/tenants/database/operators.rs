//! What operators see of the databases of tenants, and order.

use tracing::info;

use super::{DatabaseState, Databases, LogState};
use crate::tenants::{ChangesStatus, DatabaseStatus, DatabaseUsability};

impl Databases {
    /// The state of the database of a tenant, while it is in use.
    pub fn status(&self, tenant: &str) -> Option<DatabaseStatus> {
        let database = self.get(tenant)?;
        let (state, since) = database.state_since();
        let usability = match state {
            DatabaseState::Connecting => DatabaseUsability::Connecting,
            DatabaseState::Ready => DatabaseUsability::Ready,
            DatabaseState::Unavailable(failure) => {
                DatabaseUsability::Unavailable(failure.reason.into_owned())
            }
        };
        let (connections, connections_in_use) = database.pool_size();
        let (log, questions) = (database.log_state(), database.questions.counts());
        let (lacks, mut changes) = (database.lacks(), database.changes.status());
        // The reader waits for the database.
        if let (Some(ChangesStatus { log, .. }), DatabaseUsability::Unavailable(reason)) =
            (&mut changes, &usability)
            && *log == LogState::Starting
        {
            *log = LogState::unavailable(reason.clone());
        }
        Some(DatabaseStatus {
            usability,
            lacks,
            since,
            connections,
            connections_in_use,
            refuses_password: database.refuses_password(),
            log,
            changes,
            questions,
        })
    }

    /// Closes the connections to the database of a tenant, whose name is written in any case, once what is being asked has been
    /// answered. The next client that needs it connects again.
    pub fn shut_down(&self, tenant: &str) {
        let all = self.all();
        let named = all.iter().find(|database| database.tenant.id.eq_ignore_ascii_case(tenant));
        if let Some(database) = named {
            self.remove(&database.tenant.id);
            info!(tenant = &*database.tenant.id, "Closes the connections to the database of the tenant");
        }
    }
}
