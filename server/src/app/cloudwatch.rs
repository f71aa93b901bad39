//! Sends the metrics of this node to CloudWatch, if the settings say so.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::telemetry::cloudwatch::{CloudWatchExporter, MeasureMetrics, MetricsSample};

/// Sends them until `stop`, and once more then.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) {
    let measured = Arc::clone(&node);
    let measure: MeasureMetrics = Arc::new(move |settings| {
        measured.sample_metrics();
        MetricsSample::of(&measured.prometheus, settings)
    });
    let reported = (&node.exports.cloudwatch, &node.metrics, &node.reports);
    let exporter = CloudWatchExporter::new(measure, &node.common_memory, reported);
    exporter.run(node.cloudwatch(), stop).await;
}
