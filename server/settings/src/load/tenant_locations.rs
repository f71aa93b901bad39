//! Where the tenants of the configuration are written, for those who try to change one in another way.

use std::collections::BTreeMap;

use super::loaded::Loaded;
use crate::problem::Location;

/// Keys that make the default tenant what it is, in the order in which they are looked for.
const OF_DEFAULT: [&str; 5] =
    ["auth.jwt_secret", "auth.jwt_secrets", "auth.jwt_jwks", "auth.jwks_url", "server.default_tenant"];

impl Loaded {
    /// The place of each tenant of the configuration, by its id: file and line as in `config.toml:12`, a variable or a flag.
    /// A default tenant that only exists by default has none.
    pub fn tenant_locations(&self) -> BTreeMap<String, String> {
        let default = self.settings.default_tenant();
        let found = self.settings.every_tenant().into_keys().filter_map(|id| {
            let own = self.merged.location(&self.layers, &["tenants", &id]).map(|(_, location)| location);
            let of_default = || OF_DEFAULT.iter().find_map(|key| self.location(key));
            let location = own.or_else(|| if id == default { of_default() } else { None })?;
            Some((id, line(&location)))
        });
        found.collect()
    }
}

/// The place without its column.
fn line(location: &Location) -> String {
    match location.position {
        Some((line, _column)) => format!("{}:{line}", location.source),
        None => location.source.clone(),
    }
}
