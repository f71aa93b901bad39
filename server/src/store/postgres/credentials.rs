//! Credentials that change while the server runs.
//!
//! A role and the file of its password never change at the same moment, so new credentials are tried before they are used: until
//! the database accepts them, it accepts those before. They are tried with each probe. Connections that exist stay.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use settings::DatabaseAddress;
use sqlx::postgres::PgConnectOptions;
use tracing::{error, info, warn};

use super::{PostgresStore, store_options};

/// What the settings say, as far as the pool does not use it yet.
pub(super) struct NewCredentials(Mutex<State>);

/// Without the options, which show the password.
impl fmt::Debug for NewCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewCredentials")
    }
}

struct State {
    /// Of the newest settings.
    address: DatabaseAddress,
    /// To be tried.
    offered: Option<Arc<PgConnectOptions>>,
    /// Whether the log says that these are refused.
    is_refusal_logged: bool,
}

impl NewCredentials {
    /// The pool uses those of `address`.
    pub(super) fn none_beside(address: DatabaseAddress) -> Self {
        Self(Mutex::new(State { address, offered: None, is_refusal_logged: false }))
    }
}

impl PostgresStore {
    /// Has the credentials of `address` tried. Returns false if they are those of the settings before.
    pub(super) fn offer(&self, address: DatabaseAddress) -> bool {
        let mut state = self.new_credentials.0.lock();
        if state.address == address {
            return false;
        }
        match store_options(&address) {
            Ok(options) => {
                let offered = Some(Arc::new(options));
                *state = State { address, offered, is_refusal_logged: false };
                true
            }
            // A reload refuses it.
            Err(error) => {
                error!("The new credentials of the store cannot be used: {error}");
                false
            }
        }
    }

    /// Tries those that are offered. If the database accepts them, they are used for connections from then on.
    pub(super) async fn try_offered(&self) {
        let offered = self.new_credentials.0.lock().offered.clone();
        let Some(options) = offered else { return };
        let connected = self.connect(&options).await;
        let mut state = self.new_credentials.0.lock();
        if !state.offered.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, &options)) {
            return;
        }
        match connected {
            Ok(()) => {
                self.pool.set_connect_options(PgConnectOptions::clone(&options));
                state.offered = None;
                info!("The store accepts the new credentials: new connections use them");
            }
            Err(sqlx::Error::Database(refusal)) if !state.is_refusal_logged => {
                state.is_refusal_logged = true;
                warn!("The store refuses the new credentials, and those before stay in use: {refusal}");
            }
            // That it cannot be reached shows with the credentials in use as well.
            Err(_refused_again_or_unreachable) => {}
        }
    }
}
