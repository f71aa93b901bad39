//! What `/status` says of everything that sends metrics and spans elsewhere.

use std::time::SystemTime;

use humantime_serde::re::humantime::format_rfc3339_seconds;
use serde_json::{Map, Value, json};

use crate::node::Node;
use crate::telemetry::export_status::{ExportResults, ExportStatus};
use crate::telemetry::shown_address::shown;

/// Each of them, with the numbers that it has counted since the start, by their keys and metrics.
const PUSHED: [(&str, &str); 2] = [
    ("requests", "realtime_metrics_pushes_total"),
    ("requests_failed", "realtime_metrics_push_failures_total"),
];
const TO_CLOUDWATCH: [(&str, &str); 3] = [
    ("requests", "realtime_cloudwatch_requests_total"),
    ("requests_failed", "realtime_cloudwatch_failures_total"),
    ("metrics_left_out", "realtime_cloudwatch_left_out"),
];
const SPANS: [(&str, &str); 2] = [
    ("spans_sent", "realtime_trace_spans_sent_total"),
    ("spans_dropped", "realtime_trace_spans_dropped_total"),
];

/// Whether each of them is on, how sending goes, and how much was sent and dropped. Addresses and errors have no secrets.
pub(super) fn exporters(node: &Node) -> Value {
    let settings = node.settings();
    let (telemetry, exports) = (&settings.telemetry, &node.exports);
    let push = telemetry.push.target().map(shown);
    let cloudwatch = telemetry.cloudwatch.enabled.then(|| telemetry.cloudwatch.namespace.clone());
    let traces = node.traces.is_on().then(|| shown(&telemetry.traces.target()));
    json!({
        "push": exporter(node, ("address", push), &exports.push, &PUSHED),
        "cloudwatch": exporter(node, ("namespace", cloudwatch), &exports.cloudwatch, &TO_CLOUDWATCH),
        "traces": exporter(node, ("address", traces), &exports.traces, &SPANS),
    })
}

/// One of them. It is on if there is something that it sends to.
fn exporter(
    node: &Node,
    (key, target): (&str, Option<String>),
    status: &ExportStatus,
    counts: &[(&str, &str)],
) -> Value {
    let is_on = target.is_some();
    // Those of something that was turned off say nothing any more.
    let results = if is_on { status.results() } else { ExportResults::default() };
    let mut members = Map::new();
    members.insert("on".into(), is_on.into());
    members.insert(key.into(), target.into());
    members.insert("last_success".into(), results.last_success.map(time).into());
    members.insert("failures".into(), results.failures.into());
    members.insert("last_error".into(), results.last_error.into());
    for (key, metric) in counts {
        members.insert((*key).to_owned(), node.prometheus.number(metric).into());
    }
    Value::Object(members)
}

fn time(time: SystemTime) -> String {
    format_rfc3339_seconds(time).to_string()
}
