//! `[tenants.<id>]`: further tenants. The header `x-tenant`, the query parameter `tenant` or the first label of the
//! host name selects the tenant of a client.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Auth, History, Limits, Settings, TenantDatabase};

/// What the label `tenant` is in metrics that are about no tenant, as upstream has it. So no tenant has this id.
pub const NO_TENANT: &str = "nil";

/// A tenant has rooms, keys and limits of its own, and can neither see nor slow down those of another tenant.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// How tokens of its users are verified; the same keys as in `[auth]`. Nothing is inherited from there.
    pub auth: Auth,

    /// Its limits; the same keys as in `[limits]`. What is not set here is inherited from there.
    pub limits: Limits,

    /// Its PostgreSQL, for private rooms, broadcasts from the database, and replay.
    pub database: TenantDatabase,

    /// Which of its broadcasts are kept; the same keys as in `[broadcast.history]`. If any is set here, none is inherited
    /// from there.
    pub history: History,

    /// Suspends the tenant: its clients are disconnected, and refused until this is `false` again.
    #[schemars(extend("x-reload" = "live"))]
    pub suspended: bool,

    /// Joins of public rooms are refused.
    #[schemars(extend("x-reload" = "live"))]
    pub private_only: bool,

    /// Whether a join that does not configure presence has it enabled. Unset: `presence.enabled`.
    #[schemars(extend("x-reload" = "live"))]
    pub presence_enabled: Option<bool>,

    /// Region of its database, such as `eu-west-1`; `regions.mapping` says which nodes serve it. Shown in
    /// `/status`.
    #[schemars(extend("x-reload" = "live"))]
    pub region: Option<String>,
}

impl Settings {
    /// Every tenant of the configuration by id, with its effective settings: those of `[tenants]`, and the default one, which is
    /// `[auth]`, `[limits]` and the rest of its own section. The latter is not among them if the tenant of clients that name
    /// none is in the store ([`Settings::default_tenant`]), or all tenants are ([`Settings::tenants_are_stored`]).
    pub fn every_tenant(&self) -> BTreeMap<String, Tenant> {
        let mut tenants = self.tenants.clone();
        let has_section = tenants.contains_key(&self.server.default_tenant);
        if self.stored_default_tenant().is_none() && (has_section || !self.tenants_are_stored()) {
            let default = tenants.entry(self.server.default_tenant.clone());
            // One with a section of its own has inherited the history when the files were read.
            let history = self.broadcast.history.clone();
            let default = default.or_insert_with(|| Tenant { history, ..Tenant::default() });
            default.auth = self.auth.clone();
            default.limits = self.limits.clone();
        }
        for tenant in tenants.values_mut() {
            tenant.presence_enabled.get_or_insert(self.presence.enabled);
        }
        tenants
    }
    /// Whether the tenants are those that operators create in a database that nodes share: `[auth]` has no key, and operators
    /// have a secret. Then there is no default tenant without a section of its own.
    pub fn tenants_are_stored(&self) -> bool {
        let has_operators = self.admin.jwt_secret.is_some() || !self.admin.jwt_secrets.is_empty();
        self.store.is_shared() && has_operators && !self.auth.is_set()
    }
}
