//! Why a reader does not read: what clients receive, what the log has, and under which code.

use std::borrow::Cow;

use crate::telemetry::codes::Code;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::log::LogError;

/// Why the log cannot be read.
pub(super) enum Unreadable {
    /// The database does not answer, or lacks something that the server cannot make.
    Database(DatabaseFailure),
    /// The session cannot be opened.
    Log(LogError),
    /// There is nothing to read until the database is changed.
    NothingToRead {
        /// For clients.
        shown: String,
        /// What changes that.
        statement: String,
    },
}

impl From<LogError> for Unreadable {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<DatabaseFailure> for Unreadable {
    fn from(failure: DatabaseFailure) -> Self {
        Self::Database(failure)
    }
}

/// A failure as it is reported.
pub(super) struct Reported {
    pub(super) code: Code,
    /// For clients: without addresses and names.
    pub(super) shown: Cow<'static, str>,
    /// For operators.
    pub(super) reason: String,
}

/// What clients receive where nothing else is to be said.
const UNREADABLE: Cow<'static, str> = Cow::Borrowed("they cannot be read at the moment");

/// What clients receive while a new slot waits.
pub(super) const SLOT_WAITS: Cow<'static, str> =
    Cow::Borrowed("they can be read when a transaction of the database that began before has ended");

impl From<DatabaseFailure> for Reported {
    fn from(failure: DatabaseFailure) -> Self {
        let code = match failure.code {
            code @ Code::ReplicationConnectionTimeout => code,
            _ => Code::StartReplicationFailed,
        };
        Self { code, shown: UNREADABLE, reason: failure.reason.into_owned() }
    }
}

impl From<LogError> for Reported {
    fn from(error: LogError) -> Self {
        Self { code: code(&error), shown: shown(&error), reason: described(&error) }
    }
}

fn shown(error: &LogError) -> Cow<'static, str> {
    match error {
        LogError::NotLogical(_) => "`wal_level` of the database is not `logical`".into(),
        LogError::NotPermitted(_) => "the role of the server may not read the write-ahead log".into(),
        LogError::NoWalSenders(_) => "the database has no free WAL sender or replication slot".into(),
        LogError::SlotTimeout => SLOT_WAITS,
        _ => UNREADABLE,
    }
}

fn code(error: &LogError) -> Code {
    match error {
        LogError::NoWalSenders(_) => Code::ReplicationMaxWalSendersReached,
        LogError::ConnectTimeout | LogError::SlotTimeout => Code::ReplicationConnectionTimeout,
        _ => Code::StartReplicationFailed,
    }
}

/// The error with its sources.
pub(super) fn described(error: &LogError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
