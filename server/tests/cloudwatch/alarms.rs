//! What the alarms of CloudWatch name is what is sent.

use std::collections::BTreeMap;
use std::path::Path;

use harness::CloudWatchReceiver;
use serde_json::Value;

use crate::running::Running;

/// The metrics of all alarms: name, labels, and what the alarm requires.
fn alarms() -> Vec<(String, BTreeMap<String, String>, Option<String>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/monitoring/cloudwatch-alarms.json");
    let file: Value = serde_json::from_slice(&std::fs::read(file).expect("it is there")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut found = Vec::new();
    for alarm in file["alarms"].as_array().expect("alarms") {
        for metric in alarm["metrics"].as_array().expect("metrics") {
            let labels = metric["labels"].as_object().into_iter().flatten();
            let labels = labels.map(|(name, value)| (name.clone(), text(value))).collect();
            found.push((text(&metric["name"]), labels, alarm["requires"].as_str().map(str::to_owned)));
        }
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

#[test]
fn every_metric_of_an_alarm_is_sent_by_default_with_the_dimensions_that_the_alarm_has() {
    let settings = settings::CloudWatch::default();
    for (name, labels, _) in alarms() {
        let has_its_labels = |choice: &&settings::MetricChoice| {
            choice.name() == name && choice.labels().eq(labels.keys().map(String::as_str))
        };
        assert!(settings.metrics.iter().any(|choice| has_its_labels(&choice)), "{name} {labels:?}");
    }
}

#[test]
fn every_metric_that_is_sent_by_default_exists() {
    let reference = realtime_server::telemetry::reference::reference();
    for choice in settings::CloudWatch::default().metrics {
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{}` |", choice.name())));
        let row = row.unwrap_or_else(|| panic!("{} is not in docs/codes.md", choice.name()));
        for label in choice.labels() {
            assert!(row.contains(label), "{label}: {row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alarm_of_every_server_names_is_received_with_its_dimensions() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(&receiver, "interval = \"100ms\"");
    server.visit().await;
    let expected: Vec<_> = alarms()
        .into_iter()
        .filter(|(.., requires)| requires.is_none())
        .map(|(name, labels, _)| (name, labels))
        .collect();
    assert!(expected.len() > 15);
    let all = |received: &[harness::PutMetrics]| {
        expected.iter().all(|(name, labels)| {
            let mut data = received.iter().flat_map(|request| &request.data);
            data.any(|metric| metric.name == *name && metric.dimensions == *labels)
        })
    };
    receiver.wait_until("the metrics of alarms", all).await;
    server.stop();
}
