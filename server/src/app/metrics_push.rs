//! Pushes the metrics of this node, if the settings name an address.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::telemetry::push::{MetricsPusher, RenderPages};

/// Pushes them until `stop`, and once more then. `address` is that of the listener.
pub(super) async fn run(node: Arc<Node>, address: SocketAddr, stop: CancellationToken) {
    let rendered = Arc::clone(&node);
    let render: RenderPages = Arc::new(move || {
        rendered.sample_metrics();
        rendered.prometheus.render_apart()
    });
    let reported = (&node.exports.push, &node.metrics, &node.reports);
    let pusher = MetricsPusher::new(instance(address), render, &node.common_memory, reported);
    pusher.run(node.metrics_push(), stop).await;
}

/// Identifies this process, as a scrape does: host and port.
fn instance(address: SocketAddr) -> String {
    let system = rustix::system::uname();
    format!("{}:{}", system.nodename().to_string_lossy(), address.port())
}
