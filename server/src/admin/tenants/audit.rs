//! A line in the log for every call of the management API: who has made it, which tenant it concerns, and how it has ended.
//! It has no values of tenants.

use tracing::info;

use super::failure::Failure;
use crate::routes::RequestHead;

/// Logs a call. `tenant` is empty for one that names none.
pub(super) fn log(head: &RequestHead, tenant: &str, action: &str, failure: Option<&Failure>) {
    let outcome = failure.map_or("done", Failure::word);
    info!(sub = head.operator_sub(), tenant, action, outcome, "An operator manages tenants");
}
