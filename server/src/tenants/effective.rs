//! Every tenant the settings make, the default one included.

use settings::Settings;

use super::policy::TenantSpec;

/// The tenants by id, with what counts for each.
pub(super) fn tenants(settings: &Settings) -> impl Iterator<Item = (String, TenantSpec)> {
    let everyone = settings.server.max_connections;
    settings.every_tenant().into_iter().map(move |(id, tenant)| (id, TenantSpec { tenant, everyone }))
}
