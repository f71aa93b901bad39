//! Detects panics of the server.
//!
//! Tokio catches a panic of a spawned task, and clients may not notice it. A test and its server share one
//! thread (`#[tokio::test]` without flavour), so the thread identifies the test. The worker threads of
//! multi-threaded runtimes cannot be distinguished: their panics fail every test with such a runtime.

use std::collections::HashMap;
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, OnceLock};
use std::thread::{self, ThreadId};

use tokio::runtime::{Handle, RuntimeFlavor};

/// Where a panic happened; `None` is a worker thread of some runtime.
type PanicSource = Option<ThreadId>;

/// Installs the panic hook, once per process; panics are printed as before.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A failed assertion of the test itself is reported by the test.
            if info.location().is_none_or(|location| !location.file().contains("tests/")) {
                let thread = thread::current();
                let is_worker = thread.name().is_some_and(|name| name.starts_with("tokio-"));
                seen().entry((!is_worker).then(|| thread.id())).or_default().push(info.to_string());
            }
            before(info);
        }));
    });
}

/// Fails the test if its server has panicked.
pub(crate) fn assert_none() {
    let has_workers = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    let sources = [Some(Some(thread::current().id())), has_workers.then_some(None)];
    let panics: Vec<String> =
        sources.iter().flatten().filter_map(|source| seen().remove(source)).flatten().collect();
    if !panics.is_empty() && !thread::panicking() {
        panic!("the server panicked:\n{}", panics.join("\n"));
    }
}

fn seen() -> MutexGuard<'static, HashMap<PanicSource, Vec<String>>> {
    static SEEN: OnceLock<Mutex<HashMap<PanicSource, Vec<String>>>> = OnceLock::new();
    SEEN.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
