//! Why a database does not answer a question of a client, as an operational code.

use std::borrow::Cow;

use crate::auth::AuthorizationError;
use crate::telemetry::codes::Code;

/// Why a database does not answer a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFailure {
    /// The code that the client gets.
    pub code: Code,
    /// What the database says, for the log. Without secrets.
    pub reason: Cow<'static, str>,
}

impl DatabaseFailure {
    /// A failure with this code and reason.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Whether the connection cannot be used any more, and others neither.
    pub fn is_away(&self) -> bool {
        self.code == Code::UnableToConnectToProject
    }
}

impl From<DatabaseFailure> for AuthorizationError {
    fn from(failure: DatabaseFailure) -> Self {
        Self::of(failure.code)
    }
}

impl From<sqlx::Error> for DatabaseFailure {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return Self::new(Code::UnableToConnectToProject, error.to_string());
        };
        let state = database.code().unwrap_or_default();
        let reason = format!("{} ({state})", database.message());
        let code = match &*state {
            "57014" => Code::QueryCanceled,
            "23514" if database.table() == Some("messages") => Code::MissingPartition,
            "53300" => Code::DatabaseLackOfConnections,
            // The database stops, starts, or closes connections; it, or the schema in it, is not there.
            "57P01" | "57P02" | "57P03" | "25006" | "3D000" | "3F000" | "42P01" => {
                Code::UnableToConnectToProject
            }
            state if state.starts_with("08") || state.starts_with("28") => Code::UnableToConnectToProject,
            _ => Code::RlsPolicyError,
        };
        Self::new(code, reason)
    }
}
