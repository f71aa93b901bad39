//! What a tenant is to be: as one source specifies it, and as it applies on this node.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use settings::{DatabaseAddress, History, Settings};

/// A tenant as one source specifies it.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSpec {
    /// Its name. Sources that write it in different cases mean the same tenant.
    pub id: String,
    /// Its keys, limits and switches.
    pub settings: settings::Tenant,
}

/// Where a tenant is specified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantOrigin {
    /// In the configuration.
    Configuration,
    /// In a source beside it, which is the store.
    Store,
}

impl TenantOrigin {
    /// Its name in `/status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Configuration => "config",
            Self::Store => "store",
        }
    }
}

/// The PostgreSQL of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseSpec {
    /// Where it is.
    pub address: DatabaseAddress,
    /// How it is used.
    pub usage: settings::Database,
    /// How long changes of its tables wait for subscribers to come back; unset unless they are kept for them (`changes.durable`).
    pub resume_wait: Option<Duration>,
}

impl DatabaseSpec {
    /// Whether nothing but the password is another one, if that.
    pub fn is_same_but_for_the_password(&self, other: &Self) -> bool {
        let usage = |spec: &Self| (spec.usage.clone(), spec.resume_wait);
        usage(self) == usage(other) && self.address.is_same_login(&other.address)
    }
}

/// What the settings of the node decide where a specification leaves it open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeDefaults {
    /// All WebSockets of this node, and so all users of one tenant (`server.max_connections`).
    max_connections: NonZeroUsize,
    /// `presence.enabled`.
    presence_enabled: bool,
    /// `auth.claim_validators`: a tenant of the store has none of its own, and those of upstream are for all tenants.
    claim_validators: BTreeMap<String, Value>,
    /// `auth.require_permissions`, likewise.
    require_permissions: bool,
    /// `documents.anon_may_write`.
    anon_may_write: bool,
    /// `broadcast.history`: a tenant of the store has none of its own.
    history: Arc<History>,
    /// `[database]`.
    database: settings::Database,
    /// `changes.resume_wait`, if `changes.durable` is set.
    resume_wait: Option<Duration>,
    /// The database of the store, and the tenant that has it if it names no other.
    shared_database: Option<(String, DatabaseAddress)>,
}

impl NodeDefaults {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            max_connections: settings.server.max_connections,
            presence_enabled: settings.presence.enabled,
            claim_validators: settings.auth.claim_validators.clone(),
            require_permissions: settings.auth.require_permissions,
            anon_may_write: settings.documents.anon_may_write,
            history: Arc::new(settings.broadcast.history.clone()),
            database: settings.database.clone(),
            resume_wait: settings.changes.durable.then_some(settings.changes.resume_wait),
            shared_database: settings
                .shared_database()
                .map(|address| (settings.server.default_tenant.clone(), address)),
        }
    }

    /// The database of a tenant, if it has one.
    fn database(&self, spec: &TenantSpec) -> Option<Arc<DatabaseSpec>> {
        let settings = &spec.settings;
        let shared = self
            .shared_database
            .as_ref()
            .filter(|(default, _)| settings.database.from_store && default.eq_ignore_ascii_case(&spec.id));
        let shared = || shared.map(|(_, address)| address.clone());
        let address = settings.database_address().or_else(shared)?;
        Some(Arc::new(DatabaseSpec {
            address,
            usage: self.database.with(&settings.database),
            resume_wait: self.resume_wait,
        }))
    }
}

/// A specification that applies, completed by the node's defaults.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EffectiveSpec {
    pub(super) spec: Arc<TenantSpec>,
    pub(super) origin: TenantOrigin,
    pub(super) max_connections: NonZeroUsize,
    pub(super) presence_enabled: bool,
    pub(super) anon_may_write: bool,
    pub(super) history: Arc<History>,
    pub(super) database: Option<Arc<DatabaseSpec>>,
}

impl EffectiveSpec {
    pub(super) fn new(spec: &Arc<TenantSpec>, origin: TenantOrigin, defaults: &NodeDefaults) -> Self {
        let presence_enabled = spec.settings.presence_enabled.unwrap_or(defaults.presence_enabled);
        let history = match origin {
            TenantOrigin::Configuration => Arc::new(spec.settings.history.clone()),
            TenantOrigin::Store => Arc::clone(&defaults.history),
        };
        let mut spec = Arc::clone(spec);
        if origin == TenantOrigin::Store
            && (!defaults.claim_validators.is_empty() || defaults.require_permissions)
        {
            let auth = &mut Arc::make_mut(&mut spec).settings.auth;
            auth.claim_validators = defaults.claim_validators.clone();
            auth.require_permissions = defaults.require_permissions;
        }
        let database = defaults.database(&spec);
        let NodeDefaults { max_connections, anon_may_write, .. } = *defaults;
        Self { spec, origin, max_connections, presence_enabled, anon_may_write, history, database }
    }
}
