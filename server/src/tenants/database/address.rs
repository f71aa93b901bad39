//! Whether the database that a tenant names can be used, as far as that is known without a connection.

use anyhow::{Context, anyhow, ensure};
use settings::DatabaseAddress;

use crate::pem;
use crate::store::connect_options;

/// Why what needs a database is refused to clients of a tenant without one, for operators.
pub const NO_DATABASE_REASON: &str = "the tenant has no database: set `tenants.<id>.database.url`, or the extension `postgres_cdc_rls` of a tenant in the store";

/// Checks the URL of a database, and reads the certificates that verify it.
///
/// # Errors
/// What cannot be used, with the key of the section.
pub fn check_address(address: &DatabaseAddress) -> Result<(), (&'static str, anyhow::Error)> {
    // The text of each error around it repeats it.
    let innermost = |error| anyhow!(anyhow::Error::from(error).root_cause().to_string());
    connect_options(address).map_err(|error| ("url", innermost(error)))?;
    check_certificates(address).map_err(|error| ("tls_ca_file", error))
}

fn check_certificates(address: &DatabaseAddress) -> anyhow::Result<()> {
    let Some(file) = &address.tls_ca_file else { return Ok(()) };
    let contents = pem::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let has_certificates = pem::certificates(&contents).is_some();
    ensure!(has_certificates, "{} has no certificate: {}", file.display(), pem::describe(&contents));
    Ok(())
}
