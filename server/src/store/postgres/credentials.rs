//! Credentials of the settings that are tried before the pool uses them.

use std::sync::Arc;

use settings::DatabaseAddress;
use sqlx::postgres::PgConnectOptions;

use super::{PostgresStore, store_options};
use crate::new_credentials::{Trial, TrialError};

/// Classes of errors that pass by themselves: connections, resources, locks, operators, the system, bugs. All others stay as long as
/// the credentials are these.
const PASSING: [&str; 6] = ["08", "53", "55", "57", "58", "XX"];

impl PostgresStore {
    /// Tries those that are offered. If the database accepts them, they are used for connections from then on.
    pub(super) async fn try_offered(&self) -> Option<Trial> {
        let connect = |address: Arc<DatabaseAddress>| async move {
            self.connect(&options(&address)).await.map_err(|error| trial_error(&error))
        };
        let adopt = |address: &DatabaseAddress| self.pool.set_connect_options(options(address));
        self.new_credentials.try_offered(connect, adopt).await
    }
}

fn options(address: &DatabaseAddress) -> PgConnectOptions {
    store_options(address).expect("a reload refuses what is no address")
}

fn trial_error(error: &sqlx::Error) -> TrialError {
    let Some(error) = error.as_database_error() else { return TrialError::Unreachable };
    let state = error.code().unwrap_or_default();
    if PASSING.iter().any(|class| state.starts_with(class)) {
        return TrialError::Unreachable;
    }
    TrialError::Refused(error.to_string())
}
