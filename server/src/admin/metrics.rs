//! `GET /metrics`: every metric of this node, in the text format of Prometheus.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::node::Node;
use crate::response;

/// The page.
pub(super) fn page(node: &Node) -> Response<Bytes> {
    node.sample_metrics();
    response::page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", node.prometheus.render())
}
