//! Metrics that are pushed to an address (docs/protocol/operations.md#push).

use std::time::{Duration, Instant};

use harness::{MetricsReceiver, Pushed, Request, TokenIssuer, World, eventually};
use http::{Method, StatusCode};
use hub::MemoryKind;
use serde_json::json;
use settings::{MetricsPush, Settings};

const INTERVAL: Duration = Duration::from_millis(100);

/// Turns the push to this receiver on, with short intervals.
fn to(receiver: &MetricsReceiver) -> impl FnOnce(&mut Settings) {
    let url = receiver.url();
    |settings| {
        settings.telemetry.push = MetricsPush {
            enabled: true,
            url: Some(url.into()),
            interval: INTERVAL,
            ..MetricsPush::default()
        };
    }
}

/// The value of a series on the page of `world`; zero without it.
async fn value(world: &World, series: &str) -> f64 {
    let page = world.send(Request::get("/metrics")).await.text();
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().expect("a number"))
}

/// Waits for a request from then on that is as it should be.
async fn received(receiver: &MetricsReceiver, is_expected: impl Fn(&Pushed) -> bool) {
    let before = receiver.pushed().len();
    let pushed = async || receiver.pushed()[before..].iter().any(&is_expected);
    eventually("a request is as it should be", pushed).await;
}

/// The lines of a page with a value, each of which must be one of the text format.
fn samples(page: &str) -> Vec<&str> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let samples: Vec<_> = lines.collect();
    for line in &samples {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        assert!(labels.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
    }
    samples
}

#[tokio::test]
async fn two_pages_are_sent_each_interval_compressed_with_the_labels_as_parameters() {
    let receiver = MetricsReceiver::start().await;
    let world = World::with_tenants(&["acme"]).await;
    world.apply(to(&receiver));
    world.apply(|settings| {
        settings.telemetry.push.extra_labels = [("env".into(), "test one".into())].into();
    });
    let pushed = receiver.wait_for_more(6).await;
    let of_tenants = |pushed: &Pushed| samples(&pushed.page).iter().all(|line| line.contains("tenant=\""));
    assert!(pushed.iter().filter(|pushed| of_tenants(pushed)).count() >= 3);
    for pushed in pushed.iter().rev().take(4) {
        assert_eq!((&pushed.method, pushed.uri.path()), (&Method::POST, "/import"));
        assert_eq!(pushed.header("content-type"), "text/plain");
        assert_eq!(pushed.header("content-encoding"), "gzip");
        assert_eq!(pushed.header("authorization"), "");
        let query = pushed.uri.query().unwrap_or_default();
        assert!(query.starts_with("key=hush&extra_label=env%3Dtest+one&extra_label=instance%3D"), "{query}");
        assert!(query.ends_with(&format!("%3A{}", world.address().port())), "{query}");
        let mut lines = samples(&pushed.page).into_iter();
        if of_tenants(pushed) {
            assert!(lines.any(|line| line.contains("tenant=\"acme\"")), "{}", pushed.page);
        } else {
            assert!(lines.any(|line| line.starts_with("realtime_build_info{")), "{}", pushed.page);
            assert!(!pushed.page.contains("tenant=\"acme\""), "{}", pushed.page);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn the_credentials_are_a_password_or_with_a_space_a_whole_header() {
    let receiver = MetricsReceiver::start().await;
    let world = World::with(to(&receiver)).await;
    for (user, auth, expected) in [
        ("realtime", "secret", "Basic cmVhbHRpbWU6c2VjcmV0"),
        ("ann", "secret", "Basic YW5uOnNlY3JldA=="),
        ("ann", "Bearer abc", "Bearer abc"),
    ] {
        world.apply(|settings| {
            settings.telemetry.push.user = user.into();
            settings.telemetry.push.auth = Some(auth.into());
        });
        received(&receiver, |pushed| pushed.header("authorization") == expected).await;
    }
    world.apply(|settings| settings.telemetry.push.compress = false);
    let is_plain = |pushed: &Pushed| {
        pushed.header("content-encoding").is_empty() && pushed.page.contains("realtime_build_info")
    };
    received(&receiver, is_plain).await;
    world.stop().await;
}

#[tokio::test]
async fn while_requests_fail_the_interval_grows_and_none_is_sent_again() {
    let receiver = MetricsReceiver::start().await;
    receiver.respond_with(StatusCode::SERVICE_UNAVAILABLE);
    let world = World::with(to(&receiver)).await;
    world.apply(|settings| settings.telemetry.push.max_interval = 4 * INTERVAL);
    let pushed = receiver.wait_for_more(10).await;
    // The last of them began after at least four intervals that had grown to the longest.
    let began: Vec<_> = pushed.iter().rev().step_by(2).map(|pushed| pushed.at).take(3).collect();
    for pair in began.windows(2) {
        // A request may be received a little later than one before it.
        assert!(pair[0] - pair[1] > 3 * INTERVAL, "{:?}", pair[0] - pair[1]);
    }
    receiver.respond_with(StatusCode::OK);
    receiver.wait_for_more(6).await;
    world.apply(|settings| settings.telemetry.push.enabled = false);
    eventually("every request is counted once", async || {
        value(&world, "realtime_metrics_pushes_total").await == receiver.pushed().len() as f64
    })
    .await;
    let failures = value(&world, "realtime_metrics_push_failures_total").await;
    assert!(failures >= 10.0 && failures <= receiver.pushed().len() as f64 - 4.0, "{failures}");
    let code = "realtime_codes_total{tenant=\"nil\",code=\"MetricsPusherFailed\"}";
    assert_eq!(value(&world, code).await, failures);
    world.stop().await;
}

#[tokio::test]
async fn a_request_without_an_answer_ends_with_its_timeout() {
    let receiver = MetricsReceiver::start().await;
    receiver.stop_responding();
    let world = World::with(to(&receiver)).await;
    world.apply(|settings| settings.telemetry.push.timeout = Duration::from_millis(50));
    let code = "realtime_codes_total{tenant=\"nil\",code=\"MetricsPusherTimeout\"}";
    eventually("timeouts are counted", async || value(&world, code).await >= 4.0).await;
    world.stop().await;
}

#[tokio::test]
async fn pages_count_as_memory_until_they_are_sent() {
    let receiver = MetricsReceiver::start().await;
    receiver.stop_responding();
    let world = World::with(|settings| {
        to(&receiver)(settings);
        settings.telemetry.push.compress = false;
    })
    .await;
    let charged = || world.node().common_memory.used(MemoryKind::Sending);
    let pages: usize = receiver.wait_for(2).await.iter().map(|pushed| pushed.page.len()).sum();
    assert!(charged() >= pages, "{} of {pages} bytes", charged());
    world.apply(|settings| settings.telemetry.push.enabled = false);
    receiver.respond_with(StatusCode::OK);
    eventually("they are given back", async || charged() == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn an_address_that_changes_and_a_push_that_is_turned_off_apply_at_once() {
    let (first, second) = (MetricsReceiver::start().await, MetricsReceiver::start().await);
    // Its requests show that time passes.
    let clock = World::start().await;
    let world = World::with(to(&first)).await;
    first.wait_for(2).await;
    world.apply(to(&second));
    second.wait_for(2).await;
    let before = first.pushed().len();
    second.wait_for_more(6).await;
    assert_eq!(first.pushed().len(), before, "nothing goes to the previous address");
    world.apply(|settings| settings.telemetry.push.enabled = false);
    clock.apply(to(&first));
    first.wait_for_more(2).await;
    let before = second.pushed().len();
    first.wait_for_more(6).await;
    assert_eq!(second.pushed().len(), before, "nothing is sent any more");
    world.apply(|settings| settings.telemetry.push.enabled = true);
    second.wait_for_more(2).await;
    world.stop().await;
    clock.stop().await;
}

#[tokio::test]
async fn the_last_values_are_sent_once_when_the_server_stops() {
    let receiver = MetricsReceiver::start().await;
    let world = World::with(|settings| {
        to(&receiver)(settings);
        // Of which the first one is a random part.
        settings.telemetry.push.interval = Duration::from_secs(30_000_000);
        settings.server.shutdown_timeout = Duration::from_secs(10);
    })
    .await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    world.stop().await;
    let pushed = receiver.pushed();
    assert_eq!(pushed.len(), 2);
    let is_current = |pushed: &Pushed| pushed.page.contains("\nrealtime_channel_global_joins 1\n");
    assert!(pushed.iter().any(is_current), "{pushed:?}");
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_delays_the_stop_no_longer_than_connections_may() {
    let receiver = MetricsReceiver::start().await;
    receiver.stop_responding();
    let world = World::with(|settings| {
        to(&receiver)(settings);
        settings.server.shutdown_timeout = Duration::from_millis(300);
    })
    .await;
    receiver.wait_for(2).await;
    let since = Instant::now();
    world.stop().await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[tokio::test]
async fn the_last_request_has_two_seconds_however_long_a_stop_may_take() {
    let receiver = MetricsReceiver::start().await;
    receiver.stop_responding();
    let world = World::with(|settings| {
        to(&receiver)(settings);
        settings.telemetry.push.timeout = Duration::from_secs(60);
        settings.server.shutdown_timeout = Duration::from_secs(60);
    })
    .await;
    receiver.wait_for(2).await;
    let since = Instant::now();
    world.stop().await;
    assert_eq!(receiver.pushed().len(), 4, "those that were under way make room for the last ones");
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}

#[tokio::test]
async fn each_node_pushes_the_pages_of_its_own() {
    let receiver = MetricsReceiver::start().await;
    let node = || {
        World::with(|settings| {
            to(&receiver)(settings);
            settings.telemetry.push.interval = Duration::from_secs(30_000_000);
            // In which the pages are pushed.
            settings.server.shutdown_timeout = Duration::from_secs(10);
        })
    };
    let (one, other) = (node().await, node().await);
    let ports = [&one, &other].map(|world| world.address().port());
    let mut ann = one.connect().await;
    ann.join("realtime:room", json!({})).await;
    one.stop().await;
    other.stop().await;
    let pushed = receiver.pushed();
    assert_eq!(pushed.len(), 4, "each of them once");
    for (port, joins) in ports.into_iter().zip(["1", "0"]) {
        let of_node =
            |pushed: &&Pushed| pushed.uri.query().is_some_and(|q| q.ends_with(&format!("%3A{port}")));
        let pages: Vec<_> = pushed.iter().filter(of_node).collect();
        let line = format!("\nrealtime_channel_global_joins {joins}\n");
        assert_eq!(pages.len(), 2);
        assert_eq!(pages.iter().filter(|pushed| pushed.page.contains(&line)).count(), 1, "{line}");
    }
}

#[tokio::test]
async fn operators_see_where_metrics_are_pushed_and_how_that_goes() {
    let receiver = MetricsReceiver::start().await;
    let operators = TokenIssuer::new("the secret of operators, of thirty-two bytes");
    let world = World::with(|settings| settings.admin.jwt_secret = Some(operators.secret().into())).await;
    let token = operators.sign(&json!({ "exp": 4_000_000_000_u64 }));
    let push =
        async || world.send(Request::get("/status").bearer(&token)).await.json()["exporters"]["push"].clone();
    assert_eq!(
        push().await,
        json!({"on": false, "address": null, "last_success": null, "failures": 0, "last_error": null, "requests": 0, "requests_failed": 0})
    );
    world.apply(to(&receiver));
    eventually("a push has succeeded", async || push().await["last_success"].is_string()).await;
    let status = push().await;
    assert_eq!(status["address"], format!("http://{}/…", receiver.address()));
    assert_eq!(
        (&status["on"], &status["failures"], &status["last_error"]),
        (&json!(true), &json!(0), &json!(null))
    );
    assert!(status["requests"].as_u64() >= Some(2) && status["requests_failed"] == 0, "{status}");
    receiver.respond_with(StatusCode::SERVICE_UNAVAILABLE);
    eventually("failures are counted", async || push().await["failures"].as_u64() >= Some(2)).await;
    let status = push().await;
    let error = status["last_error"].as_str().unwrap_or_default();
    assert!(error.ends_with(": the answer was 503 Service Unavailable"), "{status}");
    assert!(status["last_success"].is_string() && status["requests_failed"].as_u64() >= Some(2), "{status}");
    world.apply(|settings| settings.telemetry.push.enabled = false);
    let status = push().await;
    assert_eq!((&status["on"], &status["last_error"]), (&json!(false), &json!(null)));
    world.stop().await;
}
