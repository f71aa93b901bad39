//! Whether the database of a tenant can be used, and whether its log is read.

use std::borrow::Cow;

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

/// Whether broadcasts from the database are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogState {
    /// Not yet, or not at the moment.
    #[default]
    Starting,
    /// This node reads them.
    Reading,
    /// Another node does.
    ReadElsewhere,
    /// They cannot be read, for this reason.
    Unavailable(Cow<'static, str>),
}
