//! Why a database does not answer a question of a client, as an operational code.

use std::borrow::Cow;

use crate::auth::AuthorizationError;
use crate::telemetry::codes::Code;

/// How the client library says that PostgreSQL has no TLS.
const NO_TLS: &str = "server does not support TLS";

/// Why a database does not answer a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFailure {
    /// The code that the client gets.
    pub code: Code,
    /// What the database says, for the log. Without secrets.
    pub reason: Cow<'static, str>,
    /// Whether it stays until someone changes the database or the settings.
    is_lasting: bool,
}

impl DatabaseFailure {
    /// A failure with this code and reason.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), is_lasting: false }
    }

    /// What an error with this SQLSTATE, about this table, means for a question.
    pub(super) fn of_state(state: &str, table: &str, message: &str) -> Self {
        let code = match state {
            "57014" => Code::QueryCanceled,
            "23514" if table == "messages" || table.starts_with("messages_") => Code::MissingPartition,
            "53300" => Code::DatabaseLackOfConnections,
            // It, or the schema in it, is not there; it accepts no writes.
            "3D000" | "25006" => Code::UnableToConnectToProject,
            // Connections, authentication, conflicts with others, resources, locks, operators, the system.
            _ if ["08", "28", "40", "53", "55", "57", "58", "XX"]
                .iter()
                .any(|class| state.starts_with(class)) =>
            {
                Code::UnableToConnectToProject
            }
            _ => Code::RlsPolicyError,
        };
        // A login that is refused, and a database that does not exist.
        let is_lasting = state.starts_with("28") || state == "3D000";
        Self { is_lasting, ..Self::new(code, format!("{message} ({state})")) }
    }

    /// A connection that cannot be made with the TLS of the settings.
    fn of_tls(error: &sqlx::Error) -> Self {
        let text = error.to_string();
        let help = if text.ends_with(NO_TLS) {
            ": `tls_mode = \"off\"` in `[tenants.<id>.database]`, or `ssl_enforced` false in the extension, connects without"
        } else {
            ""
        };
        Self { is_lasting: true, ..Self::new(Code::UnableToConnectToProject, text + help) }
    }

    /// Whether it is the policies that fail, which counts as a denial.
    pub(super) fn is_of_policy(&self) -> bool {
        self.code == Code::RlsPolicyError
    }

    /// Whether waiting is of no use: it stays until someone changes the database or the settings.
    pub fn is_lasting(&self) -> bool {
        self.is_lasting
    }

    /// Whether the connection cannot be used any more, and others neither.
    pub fn is_away(&self) -> bool {
        self.code == Code::UnableToConnectToProject
    }

    /// Whether the same may succeed soon: the database is away, or has no time or no connection.
    pub fn is_passing(&self) -> bool {
        let is_busy = matches!(
            self.code,
            Code::IncreaseConnectionPool | Code::QueryCanceled | Code::DatabaseLackOfConnections
        );
        self.is_away() || is_busy
    }
}

impl From<DatabaseFailure> for AuthorizationError {
    fn from(failure: DatabaseFailure) -> Self {
        Self::of(match failure.code {
            // A database without the schema is none that decides anything.
            Code::MigrationsFailedToRun => Code::UnableToConnectToProject,
            code => code,
        })
    }
}

impl From<sqlx::Error> for DatabaseFailure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let state = database.code().unwrap_or_default();
                Self::of_state(&state, database.table().unwrap_or_default(), database.message())
            }
            sqlx::Error::Tls(_) => Self::of_tls(&error),
            _ => Self::new(Code::UnableToConnectToProject, error.to_string()),
        }
    }
}
