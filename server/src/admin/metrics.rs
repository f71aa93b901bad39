//! `GET /metrics`: every metric, in Prometheus' text format.
//!
//! Open to every client that reaches the port, unless `admin.metrics_jwt_secret` requires a token.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::node::Node;
use crate::response;
use crate::telemetry::codes::{Code, Scope};

/// `GET /metrics`, if the token in `headers` allows it.
pub(super) fn metrics(node: &Node, headers: &HeaderMap) -> Response<Bytes> {
    if let Err(why) = node.operators().admit_to_metrics(headers, SystemTime::now()) {
        node.reports.record(Code::OperatorDenied.at(Scope::Http), &why);
        return response::empty(StatusCode::FORBIDDEN);
    }
    node.sample_metrics();
    response::page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", node.prometheus.render())
}
