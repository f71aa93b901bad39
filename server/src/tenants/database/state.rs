//! Whether the database of a tenant can be used.

use super::DatabaseFailure;

/// Whether the database of a tenant can be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DatabaseState {
    /// It was not reached yet: what is asked of it waits.
    #[default]
    Connecting,
    /// It can be used.
    Ready,
    /// It cannot be used: what is asked of it is refused at once, until its task reaches it again.
    Unavailable(DatabaseFailure),
}
