//! What a tenant is to be: as one source specifies it, and as it applies on this node.

use std::num::NonZeroUsize;
use std::sync::Arc;

use settings::Settings;

/// A tenant as one source specifies it.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSpec {
    /// Its name. Sources that write it in different cases mean the same tenant.
    pub id: String,
    /// Its keys, limits and switches.
    pub settings: settings::Tenant,
}

/// What the settings of the node decide where a specification leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeDefaults {
    /// All WebSockets of this node, and so all users of one tenant (`server.max_connections`).
    max_connections: NonZeroUsize,
    /// `presence.enabled`.
    presence_enabled: bool,
}

impl NodeDefaults {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { max_connections: settings.server.max_connections, presence_enabled: settings.presence.enabled }
    }
}

/// A specification that applies, completed by the node's defaults.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EffectiveSpec {
    pub(super) spec: Arc<TenantSpec>,
    pub(super) max_connections: NonZeroUsize,
    pub(super) presence_enabled: bool,
}

impl EffectiveSpec {
    pub(super) fn new(spec: Arc<TenantSpec>, defaults: NodeDefaults) -> Self {
        let presence_enabled = spec.settings.presence_enabled.unwrap_or(defaults.presence_enabled);
        Self { spec, max_connections: defaults.max_connections, presence_enabled }
    }
}
