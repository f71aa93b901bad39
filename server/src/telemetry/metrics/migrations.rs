//! How the schema `realtime` is made in databases of tenants.

use std::time::Duration;

use metrics::{Label, Recorder};

metrics! {
    /// Schemas that were made.
    pub struct MigrationMetrics {
        /// Time it took to make the schema realtime in the database of a tenant, in milliseconds. Databases that have it are not measured.
        pub duration: Histogram = "realtime_tenants_migrations_duration_milliseconds",
    }
}

metrics! {
    /// Schemas that could not be made; each carries the label `error_code`.
    pub struct MigrationFailureMetrics {
        /// Times the schema realtime could not be made or looked at in the database of a tenant (MigrationsFailedToRun).
        pub failures: Counter = "realtime_tenants_migrations_exceptions_total",
    }
}

/// Why a schema could not be made, in the label `error_code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationFailure {
    /// The role may not.
    NotPermitted,
    /// The connection was lost.
    Connection,
    /// It took too long.
    Timeout,
    /// Anything else.
    Other,
}

impl MigrationFailure {
    const ALL: [Self; 4] = [Self::NotPermitted, Self::Connection, Self::Timeout, Self::Other];

    /// The words are upstream's: names of PostgreSQL's conditions, and two of its own.
    fn word(self) -> &'static str {
        match self {
            Self::NotPermitted => "insufficient_privilege",
            Self::Connection => "connection_error",
            Self::Timeout => "query_canceled",
            Self::Other => "other",
        }
    }
}

/// What is measured of all databases.
pub struct Migrations {
    made: MigrationMetrics,
    failed: [MigrationFailureMetrics; 4],
}

impl Migrations {
    pub(super) fn register(recorder: &impl Recorder) -> Self {
        let failed = MigrationFailure::ALL.map(|failure| {
            MigrationFailureMetrics::register(recorder, &[Label::new("error_code", failure.word())])
        });
        Self { made: MigrationMetrics::register(recorder, &[]), failed }
    }

    /// Notes a schema that was made.
    pub fn note_made(&self, took: Duration) {
        self.made.duration.record(took.as_secs_f64() * 1_000.0);
    }

    /// Notes one that could not be made.
    pub fn note_failure(&self, failure: MigrationFailure) {
        self.failed[failure as usize].failures.increment(1);
    }
}
