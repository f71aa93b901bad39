//! Listens for changes of tenants that the store notifies: on a node without a bus, which has no other way to learn at once what the other
//! nodes have written.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::store_maintenance::jittered;
use crate::bus::Connectivity;
use crate::node::Node;

/// The first wait before the store is listened to again. It doubles each time, up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// The longest wait. Until then changes are noticed by `store.refresh` alone.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Runs until `stop`. Ends at once if there is nothing to listen to, or a bus.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) {
    if node.link.connectivity() != Connectivity::Standalone {
        return;
    }
    let work = async {
        let mut retry = RETRY_FIRST;
        while let Some(listening) = node.stored_tenants.listen() {
            match listening.await {
                Ok(()) => retry = RETRY_FIRST,
                // That the store cannot be reached is logged by its maintenance.
                Err(error) => debug!("The store cannot be listened to: {error}"),
            }
            sleep(jittered(retry)).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
