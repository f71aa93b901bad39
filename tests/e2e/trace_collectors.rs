//! Collectors of traces that are away, refuse or reject spans, or are not who they should be, and a server that stops.

use std::time::Duration;

use harness::{Accepts, Certificate, Request, SpanReceiver, TokenIssuer, World, eventually};
use serde_json::json;
use settings::OtlpProtocol;

use crate::traces::to;

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let receiver = SpanReceiver::http().await;
    receiver.accept(Accepts::Nothing);
    let turn_on = to(&receiver);
    let world = World::with(|settings| {
        turn_on(settings);
        settings.telemetry.traces.queue_spans = 2.try_into().expect("not zero");
        settings.telemetry.traces.max_interval = Duration::from_millis(40);
    })
    .await;
    world
        .check(
            r#"
            ann, bob join realtime:a
            ann > ["1","2","realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            bob < [null,null,"realtime:a","broadcast",{"event":"hi","payload":{"n":1}}]
            "#,
        )
        .await;
    eventually("spans are dropped, and counted", async || {
        assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
        dropped(&world, "queue_full").await > 1.0 && dropped(&world, "request_failed").await > 1.0
    })
    .await;
    assert_eq!((receiver.spans().len(), world.number("realtime_trace_spans_sent_total").await), (0, 0.0));
    receiver.accept(Accepts::Everything);
    eventually("spans are sent again", async || {
        assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
        world.number("realtime_trace_spans_sent_total").await > 0.0 && !receiver.spans().is_empty()
    })
    .await;
    world.stop().await;
}

/// How many spans were dropped for this reason.
async fn dropped(world: &World, reason: &str) -> f64 {
    world.number(&format!("realtime_trace_spans_dropped_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn a_request_that_a_collector_cannot_accept_now_is_sent_again() {
    for (receiver, protocol) in [
        (SpanReceiver::http().await, OtlpProtocol::HttpProtobuf),
        (SpanReceiver::grpc().await, OtlpProtocol::Grpc),
    ] {
        receiver.accept(Accepts::NothingNow);
        let turn_on = to(&receiver);
        let world = World::with(|settings| {
            turn_on(settings);
            settings.telemetry.traces.protocol = protocol;
        })
        .await;
        assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
        receiver.wait_for(&["GET"]).await;
        assert_eq!(dropped(&world, "request_failed").await, 0.0, "{protocol:?}");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_collector_that_asks_to_wait_for_ages_is_sent_the_next_request() {
    let receiver = SpanReceiver::http().await;
    receiver.accept(Accepts::NothingForAges);
    let world = World::with(to(&receiver)).await;
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
    eventually("the request is given up", async || dropped(&world, "request_failed").await > 0.0).await;
    assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
    receiver.wait_for(&["GET"]).await;
    world.stop().await;
}

#[tokio::test]
async fn spans_that_a_collector_rejects_are_counted() {
    for (receiver, protocol) in [
        (SpanReceiver::http().await, OtlpProtocol::HttpProtobuf),
        (SpanReceiver::grpc().await, OtlpProtocol::Grpc),
    ] {
        receiver.accept(Accepts::AllButOne);
        let turn_on = to(&receiver);
        let world = World::with(|settings| {
            turn_on(settings);
            settings.telemetry.traces.protocol = protocol;
        })
        .await;
        assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
        eventually("a span is rejected", async || dropped(&world, "rejected").await == 1.0).await;
        let code = "realtime_codes_total{tenant=\"nil\",code=\"TracesFailed\"}";
        assert_eq!(world.number(code).await, 1.0);
        assert_eq!(world.number("realtime_trace_spans_sent_total").await, 0.0);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_collector_is_recognised_by_the_certificate_that_the_settings_name() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    for (receiver, protocol) in [
        (SpanReceiver::http_over_tls(&certificate).await, OtlpProtocol::HttpProtobuf),
        (SpanReceiver::grpc_over_tls(&certificate).await, OtlpProtocol::Grpc),
    ] {
        let with = async |file| {
            let turn_on = to(&receiver);
            let world = World::with(|settings| {
                turn_on(settings);
                settings.telemetry.traces.protocol = protocol;
                settings.telemetry.traces.certificate_file = Some(file);
            });
            let world = world.await;
            assert_eq!(world.send(Request::get("/nowhere")).await.status, 404);
            world
        };
        let world = with(other.cert_file()).await;
        eventually("the span is dropped", async || dropped(&world, "request_failed").await > 0.0).await;
        world.stop().await;
        assert_eq!(receiver.spans().len(), 0, "{protocol:?}");
        let world = with(certificate.cert_file()).await;
        receiver.wait_for(&["GET"]).await;
        world.stop().await;
    }
}

#[tokio::test]
async fn operators_see_where_spans_are_sent_and_how_that_goes() {
    let receiver = SpanReceiver::http().await;
    let operators = TokenIssuer::new("the secret of operators, of thirty-two bytes");
    let turn_on = to(&receiver);
    let world = World::with(|settings| {
        turn_on(settings);
        let url = format!("{}/v1/traces?key=hush", receiver.url());
        settings.telemetry.traces.traces_endpoint = Some(url.into());
        settings.telemetry.traces.max_interval = Duration::from_millis(40);
        settings.admin.jwt_secret = Some(operators.secret().into());
    })
    .await;
    let token = operators.sign(&json!({ "exp": 4_000_000_000_u64 }));
    // Each of these requests has a span itself.
    let traces = async || {
        world.send(Request::get("/status").bearer(&token)).await.json()["exporters"]["traces"].clone()
    };
    eventually("spans were sent", async || traces().await["last_success"].is_string()).await;
    let status = traces().await;
    assert_eq!(status["address"], format!("{}/…", receiver.url()));
    assert_eq!(
        (&status["on"], &status["failures"], &status["last_error"]),
        (&json!(true), &json!(0), &json!(null))
    );
    assert!(status["spans_sent"].as_u64() >= Some(1) && status["spans_dropped"] == 0, "{status}");
    receiver.accept(Accepts::Nothing);
    eventually("failures are counted", async || traces().await["failures"].as_u64() >= Some(2)).await;
    let status = traces().await;
    assert!(status["last_error"].as_str().is_some_and(|error| error.contains("400")), "{status}");
    assert!(status["last_success"].is_string() && status["spans_dropped"].as_u64() >= Some(2), "{status}");
    assert!(!status.to_string().contains("hush"), "{status}");
    receiver.accept(Accepts::Everything);
    eventually("a success ends that", async || traces().await["last_error"].is_null()).await;
    world.stop().await;
}

#[tokio::test]
async fn what_waits_is_sent_when_the_server_stops() {
    let receiver = SpanReceiver::http().await;
    let turn_on = to(&receiver);
    let world = World::with(|settings| {
        turn_on(settings);
        settings.telemetry.traces.interval = Duration::from_secs(3_600);
    })
    .await;
    assert_eq!(world.send(Request::get("/api/ping")).await.status, 200);
    assert_eq!(receiver.spans().len(), 0);
    world.stop().await;
    assert_eq!(receiver.spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["GET /api/ping"]);
}
