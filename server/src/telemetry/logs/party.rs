//! Which party a line counts for: a tenant, or no name for clients without a verified token together.
//!
//! The formatter knows the fields of a line, and the writer its length. The library calls one after the other on the thread
//! that logs, and passes the text alone between them. So the formatter leaves the party here, and the writer takes it.

use std::cell::Cell;

/// The field that names the tenant. It is not part of the line.
pub(super) const FIELD: &str = "log.party";

thread_local! {
    static PARTY: Cell<String> = const { Cell::new(String::new()) };
}

/// The line that this thread has formatted counts for `party`.
pub(super) fn leave_for_writer(party: String) {
    PARTY.set(party);
}

/// The party of the line that this thread is about to write.
pub(super) fn take_from_formatter() -> String {
    PARTY.take()
}
