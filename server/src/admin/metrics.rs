//! `GET /metrics`: every metric of this node, in the text format of Prometheus.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::task::spawn_blocking;

use crate::node::Node;
use crate::response;
use crate::routes::RoutedRequest;

/// The page.
pub(super) async fn page(node: Arc<Node>, _: RoutedRequest) -> Response<Bytes> {
    let render = move || {
        node.sample_metrics();
        node.prometheus.render()
    };
    // On another thread, because files of `/proc` are read.
    match spawn_blocking(render).await {
        Ok(page) => response::page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page),
        Err(_panicked) => response::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
