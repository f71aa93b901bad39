//! Listens for changes of tenants that the store notifies: on a node without a bus, which has no other way to learn at once what the other
//! nodes have written.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::backoff::Backoff;
use crate::bus::Connectivity;
use crate::node::Node;

/// The first and the longest wait before the store is listened to again. Until then changes are noticed by `store.refresh`
/// alone.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Runs until `stop`. Ends at once if there is nothing to listen to, or a bus.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) {
    if node.link.connectivity() != Connectivity::Standalone {
        return;
    }
    let work = async {
        let mut retry = RETRY;
        while let Some(listening) = node.stored_tenants.listen() {
            match listening.await {
                Ok(()) => retry.reset(),
                // That the store cannot be reached is logged by its maintenance.
                Err(error) => debug!("The store cannot be listened to: {error}"),
            }
            sleep(retry.next_wait()).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
