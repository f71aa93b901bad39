//! How long HTTP requests take, by operation and class of status.
//!
//! There are as many series as a server has operations and classes: what clients put into a path is no label.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use metrics::{Histogram, Label};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::telemetry::fan_out::FanOut;

metrics! {
    /// Requests of one operation with one class of status; each carries the labels `operation` and `status`.
    pub struct HttpMetrics {
        /// Time until the response to an HTTP request was ready, in seconds, its body included. The operation is that of the OpenAPI document, or none for a path without a route; handshakes of WebSockets have the status 1xx.
        pub duration: Histogram = "realtime_http_request_duration_seconds",
    }
}

/// The classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The times of all requests.
pub struct HttpRequests {
    recorder: Arc<FanOut>,
    /// By operation and class, once there was a request.
    times: RwLock<FxHashMap<(&'static str, usize), Histogram>>,
}

impl HttpRequests {
    pub(super) fn new(recorder: &Arc<FanOut>) -> Self {
        Self { recorder: Arc::clone(recorder), times: RwLock::default() }
    }

    /// Notes a request with its response.
    pub fn note(&self, operation: &'static str, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100 - 1).min(CLASSES.len() - 1);
        if let Some(times) = self.times.read().get(&(operation, class)) {
            return times.record(took.as_secs_f64());
        }
        let mut times = self.times.write();
        let times = times.entry((operation, class)).or_insert_with(|| self.register(operation, class));
        times.record(took.as_secs_f64());
    }

    pub(in crate::telemetry) fn register(&self, operation: &'static str, class: usize) -> Histogram {
        let labels = [Label::new("operation", operation), Label::new("status", CLASSES[class])];
        HttpMetrics::register(&*self.recorder, &labels).duration
    }
}
