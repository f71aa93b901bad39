//! Whom the line counts for that this thread writes: a tenant, or clients without a verified token together.
//!
//! The formatter knows the fields of a line, and the writer its length. Between them the library passes the text alone.

use std::cell::RefCell;

/// The field that names the tenant. It is not part of the line.
pub(super) const FIELD: &str = "log.user";

thread_local! {
    static USER: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The line that is written next on this thread counts for `user`.
pub(super) fn set(user: &str) {
    USER.with_borrow_mut(|next| user.clone_into(next));
}

/// Runs `work` with the user of the line; an empty name stands for clients without a verified token.
pub(super) fn with<T>(work: impl FnOnce(&str) -> T) -> T {
    USER.with_borrow(|user| work(user))
}
