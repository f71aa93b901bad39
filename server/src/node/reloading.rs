//! The status of the settings: which generation is applied, since when, what waits for a restart, what was refused.
//!
//! Files are read and watched in a layer above this one. It reports its outcomes here and registers a handler here, so
//! that the layers below can report the status and order a reload without knowing how settings are read.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;

/// The status of the settings.
#[derive(Debug, Clone)]
pub struct SettingsStatus {
    /// 1 at the start, one more with each reload that changed something.
    pub generation: u64,
    /// When the present generation was applied.
    pub applied_at: SystemTime,
    /// The keys whose new value waits for a restart.
    pub pending: Vec<String>,
    /// Why the newest settings were refused, if they were: all problems, one a line.
    pub last_error: Option<String>,
}

/// The outcome of a reload. The error is the list of all problems.
pub type Outcome = Result<ChangedKeys, Vec<String>>;

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedKeys {
    /// The keys whose new value is applied.
    pub changed: Vec<String>,
    /// The keys whose new value waits for a restart.
    pub pending: Vec<String>,
}

/// Reads all layers of the settings again, and applies them if nothing is wrong with them.
pub type Reload = dyn Fn() -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// The status of the settings, and the handler that reloads them.
pub struct Reloading {
    status: Mutex<SettingsStatus>,
    reload: OnceLock<Arc<Reload>>,
    /// Where the tenants of the configuration are written, by their ids.
    tenant_locations: Mutex<BTreeMap<String, String>>,
}

impl Reloading {
    /// The status at the start.
    pub(crate) fn new() -> Self {
        let status = SettingsStatus {
            generation: 1,
            applied_at: SystemTime::now(),
            pending: Vec::new(),
            last_error: None,
        };
        Self { status: Mutex::new(status), reload: OnceLock::new(), tenant_locations: Mutex::default() }
    }

    /// The present status.
    pub fn status(&self) -> SettingsStatus {
        self.status.lock().clone()
    }

    /// Notes that a new generation is applied.
    pub(super) fn applied(&self) {
        let mut status = self.status.lock();
        status.generation += 1;
        status.applied_at = SystemTime::now();
    }

    /// Notes that the newest settings are valid, whether they change anything or not.
    pub fn accepted(&self) {
        self.status.lock().last_error = None;
    }

    /// Notes that something in the newest settings was refused.
    pub fn refused(&self, problems: &[String]) {
        self.status.lock().last_error = Some(problems.join("\n"));
    }

    /// Notes which keys wait for a restart.
    pub fn set_pending(&self, pending: Vec<String>) {
        self.status.lock().pending = pending;
    }

    /// Notes where the tenants of the configuration are written.
    pub fn set_tenant_locations(&self, locations: BTreeMap<String, String>) {
        *self.tenant_locations.lock() = locations;
    }

    /// Where a tenant of the configuration is written: `config.toml:12`, or a variable.
    pub fn tenant_location(&self, id: &str) -> Option<String> {
        self.tenant_locations.lock().get(id).cloned()
    }

    /// Registers the handler of reloads. Later calls have no effect.
    pub fn set_handler(&self, reload: Arc<Reload>) {
        let _already_set = self.reload.set(reload);
    }

    /// Reloads the settings now. `None` when no handler is registered.
    pub async fn reload(&self) -> Option<Outcome> {
        let reload = Arc::clone(self.reload.get()?);
        Some(reload().await)
    }
}
