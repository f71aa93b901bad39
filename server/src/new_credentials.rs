//! Credentials that change while the server runs: those of the store, of the databases of tenants, and of Redis.
//!
//! A password and the file that holds it never change at the same moment, and a file may hold a wrong one. So new credentials are
//! tried before they are used: until the other side accepts them, it accepts those before. Who connects with them tries them from
//! time to time. Connections that exist stay.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::info;

use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::reports::Reports;

/// The credentials of the newest settings, as far as they are not in use yet.
pub struct NewCredentials<C>(Mutex<State<C>>);

struct State<C> {
    newest: Arc<C>,
    /// Whether they are to be tried.
    is_offered: bool,
    /// Whether they were refused the last time.
    is_refused: bool,
}

/// Without the credentials.
impl<C> fmt::Debug for NewCredentials<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewCredentials")
    }
}

/// Why an attempt to connect fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialError {
    /// The credentials are refused, for this reason.
    Refused(String),
    /// Anything else, which shows with the credentials in use as well.
    Unreachable,
}

/// What a trial has found that was not known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// They are in use from now on.
    Accepted,
    /// They are refused, for this reason. Not found again until there are others.
    Refused(String),
}

impl<C: PartialEq> NewCredentials<C> {
    /// None beside those that are `in_use`.
    pub fn none_beside(in_use: C) -> Self {
        Self(Mutex::new(State { newest: Arc::new(in_use), is_offered: false, is_refused: false }))
    }

    /// Has these tried from now on. Returns false if they are those of the settings before.
    pub fn offer(&self, newest: C) -> bool {
        let mut state = self.0.lock();
        let are_others = *state.newest != newest;
        if are_others {
            *state = State { newest: Arc::new(newest), is_offered: true, is_refused: false };
        }
        are_others
    }

    /// Whether there are some that were refused.
    pub fn are_refused(&self) -> bool {
        self.0.lock().is_refused
    }

    /// Tries those that are offered by `connect`, and gives them to `adopt` if they are accepted.
    pub async fn try_offered<Connected>(
        &self,
        connect: impl FnOnce(Arc<C>) -> Connected,
        adopt: impl FnOnce(&C),
    ) -> Option<Trial>
    where
        Connected: Future<Output = Result<(), TrialError>>,
    {
        let offered = {
            let state = self.0.lock();
            state.is_offered.then(|| Arc::clone(&state.newest))?
        };
        let connected = connect(Arc::clone(&offered)).await;
        let mut state = self.0.lock();
        if !state.is_offered || !Arc::ptr_eq(&state.newest, &offered) {
            // There are newer ones, or another attempt was faster.
            return None;
        }
        match connected {
            Ok(()) => {
                (state.is_offered, state.is_refused) = (false, false);
                adopt(&offered);
                Some(Trial::Accepted)
            }
            Err(TrialError::Refused(reason)) if !state.is_refused => {
                state.is_refused = true;
                Some(Trial::Refused(reason))
            }
            Err(TrialError::Refused(_) | TrialError::Unreachable) => None,
        }
    }
}

impl Trial {
    /// Logs it. `server` begins a sentence: what the credentials are for. `code` stands for the refusal.
    pub fn report(&self, server: impl fmt::Display, code: Code, reports: &Reports) {
        match self {
            Self::Accepted => {
                let tenant = reports.tenant();
                info!(tenant, "{server} accepts the new credentials: new connections use them");
            }
            Self::Refused(reason) => {
                let text =
                    format!("{server} refuses the new credentials, and those before stay in use: {reason}");
                reports.record(code.at(Scope::Log), text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn tried(
        credentials: &NewCredentials<&'static str>,
        result: Result<(), TrialError>,
    ) -> (Option<Trial>, Option<&'static str>) {
        let adopted = Cell::new(None);
        let trial =
            credentials.try_offered(|_| async { result }, |offered| adopted.set(Some(*offered))).await;
        (trial, adopted.get())
    }

    fn refused() -> Result<(), TrialError> {
        Err(TrialError::Refused("why".into()))
    }

    #[tokio::test]
    async fn what_is_refused_is_found_once_and_tried_until_it_is_accepted() {
        let credentials = NewCredentials::none_beside("old");
        assert_eq!(tried(&credentials, Ok(())).await, (None, None), "there is nothing to try");
        assert!(!credentials.offer("old") && credentials.offer("new") && !credentials.offer("new"));
        assert_eq!(tried(&credentials, Err(TrialError::Unreachable)).await, (None, None));
        assert!(!credentials.are_refused());
        assert_eq!(tried(&credentials, refused()).await, (Some(Trial::Refused("why".into())), None));
        assert_eq!(tried(&credentials, refused()).await, (None, None));
        assert!(credentials.are_refused());
        assert_eq!(tried(&credentials, Ok(())).await, (Some(Trial::Accepted), Some("new")));
        assert!(!credentials.are_refused());
        assert_eq!(tried(&credentials, Ok(())).await, (None, None));
    }

    #[tokio::test]
    async fn others_are_found_to_be_refused_again() {
        let credentials = NewCredentials::none_beside("old");
        for newest in ["new", "newer", "old"] {
            assert!(credentials.offer(newest) && !credentials.are_refused(), "{newest}");
            assert_eq!(tried(&credentials, refused()).await, (Some(Trial::Refused("why".into())), None));
        }
    }

    #[tokio::test]
    async fn credentials_that_were_replaced_during_their_trial_are_not_used() {
        let credentials = NewCredentials::none_beside("old");
        credentials.offer("new");
        let replaced = |_| async {
            credentials.offer("newer");
            Ok(())
        };
        assert_eq!(credentials.try_offered(replaced, |_| panic!("they are not the newest")).await, None);
        assert_eq!(tried(&credentials, Ok(())).await, (Some(Trial::Accepted), Some("newer")));
    }
}
