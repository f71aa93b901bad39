//! Tries the credentials of the newest settings, beside everything else that the link does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use crate::backoff::jittered;
use crate::new_credentials::Trial;
use crate::telemetry::codes::Code;
use crate::telemetry::reports::Reports;

/// How often those are tried that are refused, as those of the store.
const INTERVAL: Duration = Duration::from_secs(3);

/// Never ends.
pub(super) async fn try_offered(shared: Arc<Shared>, reports: Reports) {
    let mut offered = shared.offered_credentials.subscribe();
    loop {
        if let Some(trial) = shared.bus.try_credentials().await {
            trial.report(shared.bus.name(), Code::BusCredentialsRefused, &reports);
            if trial == Trial::Accepted {
                shared.used_credentials.send_replace(());
            }
        }
        tokio::select! {
            Ok(()) = offered.changed() => {}
            () = sleep(jittered(INTERVAL)) => {}
        }
    }
}
