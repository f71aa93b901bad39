//! A password that a tenant specifies anew: it is tried before it is used.

use std::sync::Arc;

use sqlx::Connection as _;

use super::{DatabaseFailure, DatabaseState, TenantDatabase, session};
use crate::new_credentials::TrialError;
use crate::telemetry::codes::Code;
use crate::tenants::DatabaseSpec;

impl TenantDatabase {
    /// Whether it is what `spec` says, or takes over the password of that: not while it cannot be used, because the present one may
    /// be the reason.
    pub(super) fn serves(&self, spec: &Arc<DatabaseSpec>) -> bool {
        let present = self.login.in_use();
        Arc::ptr_eq(&present, spec)
            || present == *spec
            || (self.state() == DatabaseState::Ready && present.is_same_but_for_the_password(spec))
    }

    /// Whether it refuses the password that the tenant specifies by now.
    pub(super) fn refuses_password(&self) -> bool {
        self.login.new.are_refused()
    }

    /// Takes over the password that the tenant specifies by now, once the database accepts it: until then it accepts the present one.
    /// Connections that exist stay. `name` is that of the connection that tries it.
    pub(super) async fn try_new_password(&self, name: &str) {
        let policy = self.tenant.policy();
        let Some(specified) = policy.database() else { return };
        if !specified.is_same_but_for_the_password(&self.login.in_use()) {
            return;
        }
        self.login.new.offer(Arc::clone(specified));
        let connect = |spec: Arc<Arc<DatabaseSpec>>| async move {
            let connection = session::connect(&spec, name).await.map_err(trial_error)?;
            let _closed = connection.close().await;
            Ok(())
        };
        let trial = self.login.new.try_offered(connect, |spec| self.use_password_of(spec)).await;
        if let Some(trial) = trial {
            trial.report("The database of the tenant", Code::DatabaseCredentialsRefused, self.reports());
        }
    }

    fn use_password_of(&self, spec: &Arc<DatabaseSpec>) {
        let options = session::pool_options(spec).expect("it was connected with");
        self.recheck_pool.set_connect_options(options.clone());
        self.pool.set_connect_options(options);
        self.login.present.store(Arc::clone(spec));
    }
}

fn trial_error(failure: DatabaseFailure) -> TrialError {
    if failure.is_lasting() { TrialError::Refused(failure.reason.into()) } else { TrialError::Unreachable }
}
