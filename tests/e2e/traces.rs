//! Traces as a collector receives them (docs/protocol/operations.md#traces).

use std::time::Duration;

use harness::{
    Accepts, Certificate, Client, Dialect, Frame, Postgres, ReceivedSpan, Request, SpanReceiver, Token,
    TokenIssuer, World, eventually,
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
fn to(receiver: &SpanReceiver) -> impl FnOnce(&mut Settings) + use<> {
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
    assert_eq!(status["address"], format!("{}/v1/traces?…", receiver.url()));
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
