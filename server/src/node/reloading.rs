//! What becomes of the settings while the server runs: which count, since when, and how they are read again.
//!
//! Reading files and watching them is somebody else's work, above us. It reports here what came of it, and
//! leaves here how to ask for it, so that whoever answers for the settings need not know who reads them.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;

/// What is known about the settings.
#[derive(Debug, Clone)]
pub struct SettingsStatus {
    /// 1 for those of the start, one more for each that counted later.
    pub generation: u64,
    /// When they began to count.
    pub applied_at: SystemTime,
    /// The keys whose new value waits for a restart.
    pub pending: Vec<String>,
    /// Why the newest were refused, if they were: every problem, one a line.
    pub last_error: Option<String>,
}

/// What reading the settings again has led to.
pub type Outcome = Result<Changes, Vec<String>>;

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The keys whose value is another now.
    pub changed: Vec<String>,
    /// The keys whose new value waits for a restart.
    pub pending: Vec<String>,
}

/// Reads all layers of the settings again, and applies them if nothing is wrong with them. The error is every
/// problem, as a text.
pub type Reload = dyn Fn() -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// The settings' own story, and the way to ask for its next chapter.
pub struct Reloading {
    account: Mutex<SettingsStatus>,
    reload: OnceLock<Arc<Reload>>,
}

impl Reloading {
    /// The story of a server that has just started.
    pub(crate) fn new() -> Self {
        let account = SettingsStatus {
            generation: 1,
            applied_at: SystemTime::now(),
            pending: Vec::new(),
            last_error: None,
        };
        Self { account: Mutex::new(account), reload: OnceLock::new() }
    }

    /// What is known now.
    pub fn status(&self) -> SettingsStatus {
        self.account.lock().clone()
    }

    pub(super) fn applied(&self) {
        let mut account = self.account.lock();
        account.generation += 1;
        account.applied_at = SystemTime::now();
        account.last_error = None;
    }

    /// The newest settings are good, whether they change anything or not; these keys wait for a restart.
    pub fn accepted(&self, pending: Vec<String>) {
        let mut account = self.account.lock();
        account.pending = pending;
        account.last_error = None;
    }

    /// The newest settings were refused, and changed nothing.
    pub fn refused(&self, problems: &[String]) {
        self.account.lock().last_error = Some(problems.join("\n"));
    }

    /// Whoever reads the settings says how to ask for it. Once.
    pub fn set_handler(&self, reload: Arc<Reload>) {
        let _only_the_first_counts = self.reload.set(reload);
    }

    /// Reads the settings again, now. `None` when nobody here reads any.
    pub async fn reload(&self) -> Option<Outcome> {
        let reload = Arc::clone(self.reload.get()?);
        Some(reload().await)
    }
}
