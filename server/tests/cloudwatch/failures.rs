//! Requests to CloudWatch that fail, and credentials that are missing.

use std::time::{Duration, Instant};

use harness::{Answer, CloudWatchReceiver, PutMetrics, eventually};

use crate::running::{CREDENTIALS, Running};
use crate::total;

/// Each attempt is the last one of its request, so that a test need not wait for the pauses of the SDK.
const ACCESS_DENIED: Answer = Answer::Refused(403, "AccessDenied");

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_accepted_is_sent_with_what_follows() {
    let receiver = CloudWatchReceiver::start().await;
    receiver.answer(ACCESS_DENIED);
    let mut server = Running::with(&receiver, "interval = \"100ms\"\nmax_interval = \"200ms\"");
    let line = server.log_line("CloudWatchFailed");
    assert!(line.contains("AccessDenied"), "{line}");
    let status = server.status().await;
    assert!(status["failures"].as_u64() >= Some(1) && status["last_success"].is_null(), "{status}");
    assert!(status["last_error"].as_str().is_some_and(|text| text.contains("AccessDenied")), "{status}");
    server.visit().await;
    receiver.wait_for_more(3).await;
    assert_eq!(total(&receiver, "realtime_channel_global_joins"), 0.0);
    receiver.answer(Answer::Accepted);
    server.log_line("Metrics are sent to CloudWatch again, after");
    let status = server.status().await;
    assert!(status["last_success"].is_string() && status["last_error"].is_null(), "{status}");
    assert_eq!((&status["failures"], &status["namespace"]), (&0.into(), &"Realtime".into()));
    let [requests, failed] = ["requests", "requests_failed"].map(|key| status[key].as_u64());
    assert!(status["on"] == true && requests > failed && failed >= Some(4), "{status}");
    assert_eq!(status["metrics_left_out"], 0);
    server.visit().await;
    server.stop();
    assert_eq!(total(&receiver, "realtime_channel_global_joins"), 2.0);
    assert!(total(&receiver, "realtime_cloudwatch_failures_total") >= 4.0);
    assert_eq!(server.process.log().matches("ERROR CloudWatchFailed").count(), 1, "{}", server.process.log());
}

// Such as a reload that repairs the address.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_accepted_is_sent_with_other_settings() {
    let receiver = CloudWatchReceiver::start().await;
    receiver.answer(ACCESS_DENIED);
    let mut server = Running::with(&receiver, "interval = \"100ms\"\nmax_interval = \"200ms\"");
    server.log_line("CloudWatchFailed");
    server.visit().await;
    server.apply(&receiver, "interval = \"100ms\"\nmax_interval = \"200ms\"\nnamespace = \"Other\"");
    receiver
        .wait_until("the other settings", |received| {
            received.iter().any(|request| request.namespace == "Other")
        })
        .await;
    assert_eq!(total(&receiver, "realtime_channel_global_joins"), 0.0);
    receiver.answer(Answer::Accepted);
    receiver.wait_until("accepted", |received| received.iter().any(|request| request.was_accepted)).await;
    server.stop();
    assert_eq!(total(&receiver, "realtime_channel_global_joins"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_requests_fail_the_interval_grows() {
    let receiver = CloudWatchReceiver::start().await;
    receiver.answer(ACCESS_DENIED);
    let mut server = Running::with(&receiver, "interval = \"100ms\"\nmax_interval = \"800ms\"");
    receiver.wait_for_more(6).await;
    let at: Vec<_> = receiver.received().iter().map(|request| request.at).collect();
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A request may be received a little later than one before it.
    assert!(pauses[3..].iter().all(|pause| *pause > Duration::from_millis(500)), "{pauses:?}");
    server.stop();
}

// A pause of CloudWatch must not leave a gap in the metrics of a minute, or alarms go off.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_throttled_is_sent_again_and_counted_once() {
    let receiver = CloudWatchReceiver::start().await;
    receiver.answer(Answer::Refused(400, "ThrottlingException"));
    let mut server = Running::with(&receiver, "interval = \"300days\"\ntimeout = \"20s\"");
    server.visit().await;
    server.apply(&receiver, "interval = \"5s\"\ntimeout = \"20s\"");
    receiver.wait_for_more(1).await;
    receiver.answer(Answer::Accepted);
    receiver.wait_until("accepted", |received| received.iter().any(|request| request.was_accepted)).await;
    let requests = receiver.received();
    let (first, last) = (requests.first().expect("one"), requests.last().expect("one"));
    assert_eq!(first.data, last.data, "it is the same request");
    assert!(last.at - first.at < Duration::from_secs(5));
    server.stop();
    assert_eq!(total(&receiver, "realtime_cloudwatch_failures_total"), 0.0);
}

// Longer than the SDK waits for a connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_four_seconds_is_waited_for() {
    let receiver = CloudWatchReceiver::start().await;
    receiver.answer(Answer::AcceptedAfter(Duration::from_secs(4)));
    let mut server = Running::with(&receiver, "interval = \"300days\"");
    server.visit().await;
    server.apply(&receiver, "interval = \"100ms\"");
    receiver.wait_for_more(1).await;
    receiver.answer(Answer::Accepted);
    receiver.wait_until("the next one", |received| received.len() > 1).await;
    let requests = receiver.received();
    assert!(requests[1].at - requests[0].at > Duration::from_secs(4), "it was sent again before its answer");
    server.stop();
    assert_eq!(total(&receiver, "realtime_channel_global_joins"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_one_warning_until_there_are_some() {
    let receiver = CloudWatchReceiver::start().await;
    let mut server =
        Running::with_variables(&receiver, "interval = \"100ms\"\nmax_interval = \"200ms\"", &[]);
    let line = server.log_line("CloudWatchCredentialsMissing");
    assert!(line.contains(" WARN ") && line.contains("no AWS credentials"), "{line}");
    let failures = async || server.number("realtime_cloudwatch_failures_total").await;
    eventually("further failures", async || failures().await >= 4.0).await;
    assert_eq!(receiver.received().len(), 0);
    let credentials = CREDENTIALS.map(|(name, value)| format!("{} = {value}", name.to_lowercase()));
    server.write(".aws/credentials", &format!("[default]\n{}\n", credentials.join("\n")));
    server.log_line("Metrics are sent to CloudWatch again, after");
    server.stop();
    let log = server.process.log();
    assert_eq!(log.matches(" WARN CloudWatchCredentialsMissing").count(), 1, "{log}");
    assert!(!log.contains("hush") && !log.contains("aws_"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_ends_in_time_also_at_the_stop() {
    let receiver = CloudWatchReceiver::start().await;
    receiver.answer(Answer::Nothing);
    let mut server = Running::with(&receiver, "interval = \"100ms\"\ntimeout = \"50ms\"");
    let line = server.log_line("CloudWatchFailed");
    assert!(line.contains("there was no answer in time"), "{line}");
    server.apply(&receiver, "interval = \"100ms\"\ntimeout = \"1m\"");
    let before = receiver.received().len();
    receiver.wait_until("a request", |received: &[PutMetrics]| received.len() > before).await;
    let since = Instant::now();
    server.stop();
    // One second for what is under way, and two for the last one, instead of a minute for each.
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}: {}", since.elapsed(), server.process.log());
}
