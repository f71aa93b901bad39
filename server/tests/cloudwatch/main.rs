//! Metrics that are sent to Amazon CloudWatch by the real SDK, decoded with another library
//! (docs/protocol/operations.md#cloudwatch).

mod alarms;
mod failures;
mod running;

use std::time::{Instant, SystemTime};

use harness::{CloudWatchReceiver, PutMetrics, SentMetric};
use running::Running;

/// The total of a counter over all requests that were accepted.
fn total(receiver: &CloudWatchReceiver, name: &str) -> f64 {
    receiver.accepted(name).iter().map(SentMetric::sum).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_names_dimensions_units_and_times() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(
        &receiver,
        "interval = \"100ms\"\nnamespace = \"Test\"\nhigh_resolution = true\n\
         dimensions = { environment = \"test\", team = \"one\" }",
    );
    server.log_line("metrics to CloudWatch (Test) every 100ms");
    receiver.wait_for_more(2).await;
    server.stop();
    for request in receiver.received() {
        assert_eq!(request.namespace, "Test");
        let authorization = request.headers["authorization"].to_str().expect("text");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        assert!(authorization.contains("/eu-central-1/monitoring/aws4_request"), "{authorization}");
        for metric in &request.data {
            assert_eq!((metric.dimensions["environment"].as_str(), metric.resolution), ("test", Some(1)));
            let age = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64() - metric.timestamp;
            assert!((0.0..60.0).contains(&age), "{age}");
        }
    }
    let unit = |name: &str| receiver.accepted(name)[0].unit.clone();
    assert_eq!(unit("realtime_uptime_seconds").as_deref(), Some("Seconds"));
    assert_eq!(unit("process_resident_memory_bytes").as_deref(), Some("Bytes"));
    assert_eq!(unit("realtime_memory_refused_total").as_deref(), Some("Count"));
    assert_eq!(unit("realtime_rooms"), None);
    assert!(!server.process.log().contains("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_what_they_have_gained_and_gauges_what_there_is() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(&receiver, "interval = \"100ms\"");
    for joins in [1.0, 3.0] {
        while total(&receiver, "realtime_channel_global_joins") < joins {
            server.visit().await;
            receiver.wait_for_more(2).await;
        }
    }
    let joins = receiver.accepted("realtime_channel_global_joins");
    server.stop();
    // No client joins in most intervals.
    assert!(joins.iter().any(|metric| metric.values == [(0.0, 1.0)]), "{joins:?}");
    let ok = receiver.accepted("phoenix_channel_joined_total");
    let ok = ok.iter().filter(|metric| metric.dimensions["result"] == "ok");
    assert_eq!(ok.map(SentMetric::sum).sum::<f64>(), total(&receiver, "realtime_channel_global_joins"));
    let uptime: Vec<_> =
        receiver.accepted("realtime_uptime_seconds").iter().map(|metric| metric.values[0].0).collect();
    assert!(uptime.windows(2).all(|pair| pair[0] < pair[1]), "{uptime:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_are_values_with_counts() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(&receiver, "interval = \"100ms\"");
    let joined = |received: &[PutMetrics]| {
        received
            .iter()
            .flat_map(|request| &request.data)
            .any(|metric| metric.name == "realtime_join_duration_seconds")
    };
    server.visit().await;
    receiver.wait_until("the times of joins", joined).await;
    server.stop();
    let times = receiver.accepted("realtime_join_duration_seconds");
    assert_eq!(times.iter().map(SentMetric::sample_count).sum::<f64>(), 1.0, "each sample is sent once");
    let [(seconds, _)] = times[0].values[..] else { panic!("one value: {times:?}") };
    assert!(seconds > 0.0 && seconds < 15.0, "{seconds}");
    assert_eq!(times[0].statistics, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_values_are_sent_when_the_server_stops() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(&receiver, "interval = \"100ms\"");
    // The last one has two seconds, in which a busy machine may not have read the certificates that the first one needs.
    receiver.wait_for_more(1).await;
    // Of which the first one is a random part.
    server.apply(&receiver, "interval = \"300days\"\nnamespace = \"Last\"");
    server.visit().await;
    server.stop();
    assert_eq!(of_namespace(&receiver.received(), "Last").len(), 1);
    assert_eq!(total(&receiver, "realtime_channel_global_joins"), 1.0);
}

/// The requests with this namespace.
fn of_namespace(received: &[PutMetrics], namespace: &str) -> Vec<PutMetrics> {
    received.iter().filter(|request| request.namespace == namespace).cloned().collect()
}

/// The names of the metrics in a request.
fn names(request: &PutMetrics) -> Vec<&str> {
    request.data.iter().map(|metric| metric.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_apply_while_the_server_runs() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(&receiver, "interval = \"100ms\"");
    server.visit().await;
    receiver.wait_for_more(2).await;
    let other = "interval = \"100ms\"\nnamespace = \"Other\"\n\
                 metrics = [\"realtime_rooms\", \"phoenix_channel_joined_total\"]";
    server.apply(&receiver, other);
    let has_two = |received: &[PutMetrics]| of_namespace(received, "Other").len() >= 2;
    receiver.wait_until("two requests with the other namespace", has_two).await;
    server.stop();
    let requests = of_namespace(&receiver.received(), "Other");
    for request in &requests {
        assert_eq!(names(request), ["realtime_rooms", "phoenix_channel_joined_total"]);
        assert_eq!(request.data[1].sum(), 0.0, "what was counted before it was chosen is not sent");
    }
    let last = receiver.received().pop().expect("requests");
    assert_eq!(last.namespace, "Other", "nothing is sent with the settings before");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_metrics_those_named_first_are_sent_and_the_others_counted() {
    let receiver = CloudWatchReceiver::start().await;
    let chosen =
        ["realtime_uptime_seconds", "realtime_cloudwatch_left_out", "process_open_fds", "realtime_rooms"];
    let settings = format!("interval = \"100ms\"\nmax_metrics = 2\nmetrics = {chosen:?}");
    let mut server = Running::with(&receiver, &settings);
    receiver.wait_for_more(2).await;
    server.stop();
    assert!(receiver.received().iter().all(|request| names(request) == chosen[..2]));
    let counts = receiver.accepted("realtime_cloudwatch_left_out");
    assert_eq!(counts[1].values, [(2.0, 1.0)], "known from the request before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_metric_that_does_not_exist_is_refused() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server = Running::with(&receiver, "interval = \"100ms\"");
    server.write("config.toml", "[telemetry.cloudwatch]\nmetrics = [\"realtime_romms\"]\n");
    let line = server.log_line("there is no metric realtime_romms (did you mean realtime_rooms?)");
    assert!(line.contains("config.toml:2:1"), "{line}");
    receiver.wait_for_more(1).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_metrics_are_sent_in_several_requests_and_no_more_than_allowed() {
    let receiver = CloudWatchReceiver::start().await;
    let long = "x".repeat(1_024);
    let dimensions: Vec<_> = (0..28).map(|number| format!("d{number} = \"{long}\"")).collect();
    let settings =
        format!("interval = \"1s\"\nmax_metrics = 20\ndimensions = {{ {} }}", dimensions.join(", "));
    let mut server = Running::with(&receiver, &settings);
    let is_done = |received: &[PutMetrics]| {
        let names = received.iter().flat_map(|request| &request.data).map(|metric| &metric.name);
        names.collect::<std::collections::BTreeSet<_>>().len() >= 15
    };
    receiver.wait_until("all of them", is_done).await;
    let requests = receiver.received();
    assert!(requests.len() >= 2, "a request has 256 KiB at most");
    assert!(requests.iter().all(|request| request.headers["content-encoding"] == "gzip"));
    let first = requests[0].data[0].timestamp;
    let together =
        requests.iter().flat_map(|request| &request.data).filter(|metric| metric.timestamp == first);
    assert!(together.count() <= 20);
    let since = Instant::now();
    server.stop();
    assert!(since.elapsed().as_secs() < 15, "{:?}", since.elapsed());
}
