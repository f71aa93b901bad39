//! `GET /metrics`: every metric of this node, in the text format of Prometheus.

use crate::node::Node;

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page.
pub(super) fn page(node: &Node) -> String {
    node.sample_metrics();
    node.prometheus.render()
}
