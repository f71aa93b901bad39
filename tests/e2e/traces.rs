//! Traces as a collector receives them (docs/protocol/operations.md#traces).

use std::time::Duration;

use harness::{
    Client, Dialect, Frame, Postgres, ReceivedSpan, Request, SpanReceiver, Token, World, eventually,
};
use hub::Bounds;
use realtime_server::bus::Broker;
use serde_json::{Value, json};
use settings::{OtlpCompression, OtlpProtocol, Settings, SpanExporter, SpanSampler};

use crate::private_rooms::{PrivateRooms, join};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The header of a request whose caller has a span, and records it.
fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// Sends traces to this collector, soon.
pub fn to(receiver: &SpanReceiver) -> impl FnOnce(&mut Settings) + use<> {
    let url = receiver.url();
    move |settings| {
        let traces = &mut settings.telemetry.traces;
        traces.exporter = SpanExporter::Otlp;
        traces.endpoint = Some(url.into());
        traces.interval = Duration::from_millis(20);
    }
}

async fn connect(world: &World, token: &str) -> Client {
    let target = format!("/socket/websocket?apikey={token}&vsn=2.0.0");
    let headers = [("traceparent", &*traceparent()), ("tracestate", "vendor=1")];
    world.connect_with_headers(Dialect::V2, &target, &headers).await.expect("the handshake succeeds")
}

fn named<'s>(spans: &'s [ReceivedSpan], name: &str) -> &'s ReceivedSpan {
    spans.iter().find(|span| span.name == name).expect("it was waited for")
}

/// What a join in a private room of a tenant with a database is, to a collector.
fn assert_is_one_trace(spans: &[ReceivedSpan]) {
    let request = named(spans, "GET /socket/websocket");
    let [handshake, join, authorization] = ["handshake", "join", "authorize"].map(|name| named(spans, name));
    for span in [request, handshake, join, authorization] {
        assert_eq!((&*span.trace_id, &*span.trace_state), (TRACE, "vendor=1"), "{span:?}");
        assert_eq!((span.attribute("external_id"), span.is_error), ("default", false), "{span:?}");
        assert_eq!((&*span.resource["service.name"], &*span.resource["a"]), ("chat", "b"));
        assert!(span.began > 1_700_000_000_000_000_000 && span.ended >= span.began, "{span:?}");
    }
    assert_eq!((&*request.parent_span_id, request.kind), (CALLER, 2));
    assert_eq!(request.attribute("http.route"), "/socket/websocket");
    assert_eq!(request.attribute("http.response.status_code"), "101");
    assert_eq!(request.attribute("http.request.method"), "GET");
    assert_eq!((&handshake.parent_span_id, &join.parent_span_id), (&request.span_id, &request.span_id));
    assert_eq!((&authorization.parent_span_id, authorization.kind), (&join.span_id, 3));
    assert_eq!(join.attribute("messaging.destination.name"), "room");
    assert_eq!(authorization.attribute("db.system.name"), "postgresql");
    assert_eq!(authorization.attribute("realtime.rights"), "some");
}

/// Joins a private room, and returns what the collector has then.
async fn spans_of_a_join(receiver: &SpanReceiver, change: impl FnOnce(&mut Settings)) -> Vec<ReceivedSpan> {
    let turn_on = to(receiver);
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        turn_on(settings);
        let traces = &mut settings.telemetry.traces;
        traces.resource_attributes =
            [("a".to_owned(), "b".to_owned()), ("service.name".into(), "chat".into())].into();
        traces.headers = Some("x-key=secret%20one".into());
        traces.compression = OtlpCompression::Gzip;
        change(settings);
    });
    let rooms = rooms.await;
    rooms.allow("ann", &["read broadcast"]);
    let mut ann = connect(&rooms.world, &rooms.token("ann", 0)).await;
    assert_eq!(join(&mut ann, json!({})).await, Value::Null);
    eventually("the spans of the join are received", async || {
        let ours = |span: &ReceivedSpan| span.trace_id == TRACE;
        receiver.spans().into_iter().filter(ours).count() >= 4
    })
    .await;
    assert_eq!(receiver.headers()["x-key"], "secret one");
    rooms.world.stop().await;
    receiver.spans().into_iter().filter(|span| span.trace_id == TRACE).collect()
}

#[tokio::test]
async fn a_collector_receives_the_spans_of_one_join_over_http() {
    let receiver = SpanReceiver::http().await;
    assert_is_one_trace(&spans_of_a_join(&receiver, |_| {}).await);
}

#[tokio::test]
async fn a_collector_receives_the_spans_of_one_join_over_grpc() {
    let receiver = SpanReceiver::grpc().await;
    let change = |settings: &mut Settings| settings.telemetry.traces.protocol = OtlpProtocol::Grpc;
    assert_is_one_trace(&spans_of_a_join(&receiver, change).await);
}

#[tokio::test]
async fn a_broadcast_over_http_has_a_span_with_its_topic() {
    let receiver = SpanReceiver::http().await;
    let world = World::with(to(&receiver)).await;
    let request = Request::post("/api/broadcast/room/events/greeting?apikey=hidden")
        .bearer(&world.token(Token::Valid))
        .header("traceparent", &traceparent())
        .json(&json!({"text": "hidden"}));
    assert_eq!(world.send(request).await.status, 202);
    let spans = receiver.wait_for(&["POST /api/broadcast/{topic}/events/{event}", "broadcast"]).await;
    let [request, broadcast] =
        ["POST /api/broadcast/{topic}/events/{event}", "broadcast"].map(|name| named(&spans, name));
    assert_eq!((&*request.parent_span_id, &broadcast.parent_span_id), (CALLER, &request.span_id));
    assert_eq!((broadcast.attribute("messaging.destination.name"), broadcast.kind), ("room", 4));
    assert_eq!(request.attribute("url.path"), "/api/broadcast/room/events/greeting");
    assert!(!format!("{spans:?}").contains("hidden"), "{spans:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_refused_handshake_join_or_broadcast_has_the_code_of_the_refusal() {
    let receiver = SpanReceiver::http().await;
    let world = World::with(to(&receiver)).await;
    let expired = world.target("/socket/websocket", Dialect::V2, Token::Expired);
    assert_eq!(world.send(Request::upgrade(&expired)).await.status, 401);
    let mut ann = world.connect().await;
    ann.push("1", "realtime:a", "phx_join", &json!({"config": {"private": true}})).await;
    ann.next_json().await;
    let private = Request::post("/api/broadcast/room/events/greeting?private=true");
    assert_eq!(world.send(private.bearer(&world.token(Token::Valid)).json(&json!({}))).await.status, 422);
    let spans = receiver.wait_for(&["handshake", "join", "broadcast"]).await;
    let failed = |name: &str| {
        let span = spans.iter().find(|span| span.name == name && span.is_error).expect("one that failed");
        span.attribute("error.type").to_owned()
    };
    assert_eq!(
        [&*failed("handshake"), &*failed("join"), &*failed("broadcast")],
        ["InvalidJWTToken", "UnableToConnectToProject", "UnableToConnectToProject"],
        "{spans:?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_batch_of_which_messages_are_dropped_is_a_span_that_failed() {
    let receiver = SpanReceiver::http().await;
    let rooms = PrivateRooms::with(Postgres::start(), to(&receiver)).await;
    let message = |private: bool| json!({"topic": "room", "event": "e", "payload": {}, "private": private});
    let batch = json!({"messages": [message(true), message(false), message(true)]});
    let request = Request::post("/api/broadcast").bearer(&rooms.token("eve", 0)).json(&batch);
    assert_eq!(rooms.world.send(request).await.status, 202);
    let spans = receiver.wait_for(&["broadcast"]).await;
    let broadcast = named(&spans, "broadcast");
    assert_eq!((broadcast.attribute("error.type"), broadcast.is_error), ("Unauthorized", true));
    assert_eq!(broadcast.attribute("realtime.dropped_messages"), "2");
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_a_span_that_failed_then() {
    let receiver = SpanReceiver::http().await;
    let turn_on = to(&receiver);
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        turn_on(settings);
        settings.server.authorization_timeout = Duration::from_millis(200);
    })
    .await;
    rooms.postgres.sql(
        "CREATE POLICY sleeps ON realtime.messages FOR SELECT TO authenticated USING (pg_sleep(60) IS NULL)",
    );
    let mut ann = connect(&rooms.world, &rooms.token("ann", 0)).await;
    assert_ne!(join(&mut ann, json!({})).await, Value::Null);
    let spans = receiver.wait_for(&["authorize"]).await;
    let authorization = named(&spans, "authorize");
    let expected = ("UnableToConnectToProject", true);
    assert_eq!((authorization.attribute("error.type"), authorization.is_error), expected);
    let time = Duration::from_nanos(authorization.ended - authorization.began);
    assert!(time >= Duration::from_millis(150) && time < Duration::from_secs(10), "{time:?}");
    rooms.world.stop().await;
}

#[tokio::test]
async fn which_traces_are_recorded_changes_while_the_server_runs() {
    let receiver = SpanReceiver::http().await;
    let turn_on = to(&receiver);
    let world = World::with(|settings| {
        turn_on(settings);
        settings.telemetry.traces.sampler = SpanSampler::ParentBasedTraceIdRatio;
        settings.telemetry.traces.sampler_ratio = 0.0;
    })
    .await;
    let ask = async |path: &str, flags: Option<&str>| {
        let request = Request::get(path);
        let request = match flags {
            Some(flags) => request.header("traceparent", &format!("00-{TRACE}-{CALLER}-{flags}")),
            None => request,
        };
        assert_eq!(world.send(request).await.status, 404, "{path}");
    };
    ask("/not-of-the-part", None).await;
    ask("/of-a-caller-who-records", Some("01")).await;
    ask("/of-a-caller-who-does-not", Some("00")).await;
    world.apply(|settings| settings.telemetry.traces.sampler_ratio = 1.0);
    ask("/of-the-part", None).await;
    ask("/of-another-caller-who-does-not", Some("00")).await;
    world.apply(|settings| settings.telemetry.traces.sampler = SpanSampler::AlwaysOn);
    ask("/recorded-in-any-case", Some("00")).await;
    world.stop().await;
    let paths: Vec<_> = receiver.spans().iter().map(|span| span.attribute("url.path").to_owned()).collect();
    assert_eq!(paths, ["/of-a-caller-who-records", "/of-the-part", "/recorded-in-any-case"]);
}

#[tokio::test]
async fn health_checks_have_no_spans() {
    let receiver = SpanReceiver::http().await;
    let world = World::with(to(&receiver)).await;
    for path in ["/health", "/readyz", "/metrics", "/nowhere"] {
        world.send(Request::get(path)).await;
    }
    world.stop().await;
    let paths: Vec<_> = receiver.spans().iter().map(|span| span.attribute("url.path").to_owned()).collect();
    assert_eq!(paths, ["/nowhere"]);
}

#[tokio::test]
async fn a_broadcast_and_its_receipt_on_another_node_are_one_trace() {
    let receiver = SpanReceiver::http().await;
    let broker = Broker::new(Duration::from_secs(60), Bounds { frames: 1_000, bytes: 1 << 20 });
    let one = World::on(broker.clone(), to(&receiver)).await;
    let two = World::on(broker, to(&receiver)).await;
    eventually("each node knows what the other decodes", async || {
        [&one, &two].iter().all(|world| world.node().link.sends_spans())
            && one.number("realtime_bus_nodes").await == 2.0
    })
    .await;
    let mut bob = two.connect().await;
    bob.join("realtime:room", json!({})).await;
    let request = Request::post("/api/broadcast/room/events/greeting")
        .bearer(&one.token(Token::Valid))
        .header("traceparent", &traceparent())
        .json(&json!({"text": "hello"}));
    assert_eq!(one.send(request).await.status, 202);
    assert!(
        matches!(bob.next().await, Frame::Binary(bytes) if bytes.ends_with(br#"greeting{"text":"hello"}"#))
    );
    let spans = receiver.wait_for(&["broadcast", "receive"]).await;
    let [broadcast, receipt] = ["broadcast", "receive"].map(|name| named(&spans, name));
    assert_eq!((&*broadcast.trace_id, &*receipt.trace_id), (TRACE, TRACE));
    assert_eq!((&receipt.parent_span_id, receipt.kind), (&broadcast.span_id, 5));
    assert_eq!(receipt.attribute("messaging.destination.name"), "room");
    assert_ne!(broadcast.resource["service.instance.id"], receipt.resource["service.instance.id"]);
    one.stop().await;
    two.stop().await;
}
