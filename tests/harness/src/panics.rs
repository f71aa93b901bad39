//! Sees the server panic.
//!
//! A panic inside a spawned task is swallowed by Tokio, and a client may never notice. A test and its
//! server share one thread (`#[tokio::test]` without flavour), so the thread tells whose panic it was.
//! Worker threads of a runtime that has several cannot be told apart: all tests with such a runtime
//! answer for them.

use std::collections::HashMap;
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, OnceLock};
use std::thread::{self, ThreadId};

use tokio::runtime::{Handle, RuntimeFlavor};

/// Where a panic happened; `None` is a worker thread of some runtime.
type Place = Option<ThreadId>;

/// Starts to watch, once per process; panics are printed as before.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A failed assertion of the test itself is reported by the test.
            if info.location().is_none_or(|place| !place.file().contains("tests/")) {
                let thread = thread::current();
                let is_worker = thread.name().is_some_and(|name| name.starts_with("tokio-"));
                seen().entry((!is_worker).then(|| thread.id())).or_default().push(info.to_string());
            }
            before(info);
        }));
    });
}

/// Fails the test if anything but the test itself panicked where its server runs.
pub(crate) fn assert_none() {
    let has_workers = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    let places = [Some(Some(thread::current().id())), has_workers.then_some(None)];
    let panics: Vec<String> =
        places.iter().flatten().filter_map(|place| seen().remove(place)).flatten().collect();
    if !panics.is_empty() && !thread::panicking() {
        panic!("the server panicked:\n{}", panics.join("\n"));
    }
}

fn seen() -> MutexGuard<'static, HashMap<Place, Vec<String>>> {
    static SEEN: OnceLock<Mutex<HashMap<Place, Vec<String>>>> = OnceLock::new();
    SEEN.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
