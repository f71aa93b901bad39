//! Whether the store returns documents: it is asked for one, which need not exist.

use std::sync::Arc;

use tokio::time::timeout;

use crate::documents::loading::LoadError;
use crate::documents::{DEFAULT_DOCUMENT, Documents};
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Tenant;

/// The document that is asked for.
const ROOM: &str = "check_store";

/// What the backend reads. The reason is in the log, because it may contain the address of the store.
pub(super) const UNREACHABLE: &str = "the store does not return documents";

/// Asks the store.
///
/// # Errors
/// A text for the backend.
pub(super) async fn check(documents: &Documents, tenant: &Arc<Tenant>) -> Result<(), &'static str> {
    let names = [Arc::new(documents.name(tenant, ROOM, DEFAULT_DOCUMENT))];
    let wait = documents.node.settings().documents.load_timeout;
    let asked = timeout(wait, documents.store.versions(&names)).await;
    match asked.map_err(|_late| LoadError::Late).and_then(|versions| Ok(versions?)) {
        Ok(_versions) => Ok(()),
        Err(error) => {
            tenant.reports.record(Code::UnableToLoadDocument.at(Scope::Log), error);
            Err(UNREACHABLE)
        }
    }
}
