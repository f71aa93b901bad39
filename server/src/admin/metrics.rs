//! `GET /metrics`: every metric of this node, in the text format of Prometheus.
//!
//! Upstream's `/metrics/:region` answers for all nodes of a region. Here each node answers for itself, and one of another region
//! with a page without metrics, so that a scrape of all nodes has those of the region.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::page::Page;
use crate::node::Node;
use crate::response;
use crate::routes::RoutedRequest;
use crate::telemetry::prometheus;

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page.
pub(super) fn page(node: &Node) -> String {
    node.sample_metrics();
    node.prometheus.render()
}

/// Responds with the page if this node is in the region that the path names.
pub(super) async fn of_region(page: Arc<Page>, request: RoutedRequest) -> Response<Bytes> {
    if request.head.parameter("region").is_empty() {
        // `/metrics/`, which does not exist, as other paths of operators with a slash at the end do not.
        return response::json(StatusCode::NOT_FOUND, &"Not Found".into());
    }
    let is_ours = {
        let settings = page.node().settings();
        let asked = request.head.decoded_parameter("region");
        asked.is_ok_and(|asked| settings.regions.name.as_deref() == Some(&*asked))
    };
    if is_ours {
        page.respond(request).await
    } else {
        response::page(StatusCode::OK, CONTENT_TYPE, prometheus::END)
    }
}
