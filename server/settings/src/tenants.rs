//! `[tenants.<id>]`: who else owns rooms here. The first label of a host name, the header `x-tenant` or the
//! query parameter `tenant` says which tenant a client means.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Auth, Limits, Settings};

/// One owner of rooms. A tenant that is here has rooms, keys and limits of its own, and can neither see nor
/// slow down another's.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// Which tokens of its users are believed; the same keys as in `[auth]`. Nothing is taken over from there.
    pub auth: Auth,

    /// What its clients may use; the same keys as in `[limits]`. What is not said here is as it is there.
    pub limits: Limits,

    /// Closed for now: its clients are sent away, and refused until this is `false` again.
    #[schemars(extend("x-reload" = "live"))]
    pub suspended: bool,

    /// Public rooms are refused.
    #[schemars(extend("x-reload" = "live"))]
    pub private_only: bool,

    /// Whether a join that says nothing about presence has it. Unset: as `presence.enabled` says.
    #[schemars(extend("x-reload" = "live"))]
    pub presence_enabled: Option<bool>,

    /// Region of its database, such as `eu-west-1`; `regions.mapping` says which nodes are near. Shown in
    /// `/status`.
    #[schemars(extend("x-reload" = "live"))]
    pub region: Option<String>,
}

impl Settings {
    /// Every tenant by id, with what holds for it: those of `[tenants]`, and the default one, which is `[auth]`,
    /// `[limits]` and what else its own section says.
    pub fn every_tenant(&self) -> BTreeMap<String, Tenant> {
        let mut tenants = self.tenants.clone();
        let default = tenants.entry(self.server.default_tenant.clone()).or_default();
        default.auth = self.auth.clone();
        default.limits = self.limits.clone();
        for tenant in tenants.values_mut() {
            tenant.presence_enabled.get_or_insert(self.presence.enabled);
        }
        tenants
    }
}
